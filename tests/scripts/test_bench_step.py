"""The benchmark of a training step: it measures what it says, and its targets can be missed."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_step.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_measures_any_network(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    result = run("--network", "digits-mlp", "--batch", "4", "--repeats", "2", "--threads", "1", "--json", str(out))
    assert (result.returncode, result.stderr) == (0, "")
    (figures,) = json.loads(out.read_text())["runs"]
    assert (figures["batch"], figures["threads"]) == (4, 1)
    assert figures["dense_macs"] == 3 * 6 * 4 * (64 * 128 + 128 * 10)
    assert 0 < figures["fastest_step_s"] <= figures["step_s"]
    assert 1 << 26 < figures["peak_memory_bytes"] < 1 << 31


def test_targets_can_be_missed() -> None:
    missed = runpy.run_path(str(SCRIPT))["missed"]
    good = {"batch": 8, "step_s": 8.0, "peak_memory_bytes": 4 << 30}
    assert missed("cifar-cnn", good) == []
    assert missed("cifar-cnn", good | {"step_s": 8.1}) == ["step of 8: 8.10 s, target 8 s"]
    assert missed("cifar-cnn", good | {"batch": 1}) == ["step of 1: 8.00 s, target 2 s"]
    (words,) = missed("cifar-cnn", good | {"peak_memory_bytes": 4295000000})
    assert words == "memory at 8: 4,295,000,000 bytes, target 4,294,967,296"
    assert missed("cifar-cnn", good | {"batch": 9, "step_s": 100}) == []
    assert missed("digits-mlp", good | {"step_s": 100}) == []


def test_words_for_mistakes() -> None:
    result = run("--batch", "1", "6000")
    assert (result.returncode, result.stdout) == (2, "")
    text = "bench_step: error: batch: wrong value, got 6000, allowed: 1..5440, the number of training images\n"
    assert result.stderr == text
    assert "must be at least 1" in run("--repeats", "0").stderr
