"""`h2learn study sparsity`: what it prints and writes, and mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.analysis.sparsity.conftest import trace_path
from tlm.cli.main import main
from workloads.trace_file import open_trace

__all__ = ["trace_path"]


def test_tables_and_files(
    trace_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = ["--config", "tiny", "--workers", "1", "--images", "1", "--out", str(out)]
    assert main(["study", "sparsity", str(trace_path), *options]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    for words in (
        "tables: busy cycles",
        "tables, zero tiles skipped: busy cycles",
        "zero-skipping adders: busy cycles",
        "dense x density",
        f"results: {out}/sparsity.json, sparsity.csv, sparsity_engines.png, sparsity_layers.png",
    ):
        assert words in captured.out
    assert sorted(path.name for path in out.glob("*.png")) == ["sparsity_engines.png", "sparsity_layers.png"]
    monkeypatch.setattr("tlm.analysis.sparsity.plots.write_plots", lambda folder, content: ())
    assert main(["study", "sparsity", str(trace_path), *options, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    content = json.loads((out / "sparsity.json").read_text())
    with open_trace(trace_path) as trace:  # the first image alone
        assert content["structure"]["real"][2]["input_bits"] == pytest.approx(trace.spikes(0, slice(0, 1)).mean())
    real = content["designs"][0]["steps"]["real"]
    assert told[0]["engines"][1]["real_cycles"] == pytest.approx(real["busy_cycles"]["backward"], abs=4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--images", "9"], "--images: the trace has not so many images, got 9, allowed: 1..2"),
        (["--workers", "0"], "--workers: wrong value, got 0"),
        (["--config", "h2learn"], "config: arithmetic.micro_batch: differs from the arithmetic that the trace"),
    ],
)
def test_mistakes_are_one_line(
    trace_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    chosen = [] if "--config" in options else ["--config", "tiny"]
    assert main(["study", "sparsity", str(trace_path), "--out", str(tmp_path), *chosen, *options]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
