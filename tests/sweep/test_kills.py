"""kill -9 at random moments: after starting again the store has the bytes of an undisturbed sweep."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.sweep.conftest import raw_spec
from tlm.sweep.store import STORE

ROOT = Path(__file__).parents[2]
MOMENTS = 20
SEED = int(os.environ.get("H2LEARN_SEED", "6"))
POINTS = 60


@pytest.mark.slow
def test_kills_at_random_moments(trace_path: Path, tmp_path: Path) -> None:
    grid = {"backward_engine.units": {"from": 1, "to": 10}, "dram.channels": {"from": 0, "to": 5}}
    spec = tmp_path / "sweep.yaml"
    spec.write_text(yaml.safe_dump(raw_spec(trace_path, grid=grid), sort_keys=False))
    began_s = time.monotonic()
    assert start(spec, tmp_path / "whole").wait() == 0
    lasts_s = time.monotonic() - began_s
    whole = (tmp_path / "whole" / STORE).read_bytes()
    random_moments = random.Random(SEED)
    killed = 0
    for number in range(MOMENTS):
        out, moment_s = tmp_path / str(number), random_moments.uniform(0.0, lasts_s)
        sweep = start(spec, out)
        time.sleep(moment_s)
        sweep.send_signal(signal.SIGKILL)
        killed += sweep.wait() == -signal.SIGKILL
        lines = journal(out)
        assert start(spec, out).wait() == 0
        words = f"seed {SEED}, moment {number}, {moment_s:.3f} s of {lasts_s:.3f} s, {len(lines)} points done"
        assert (out / STORE).read_bytes() == whole, words
        after = journal(out)
        assert after[: len(lines)] == lines, words
        assert len(after) == len(set(after)) == POINTS * 5 // 6, words
        sys.stdout.write(f"{words}\n")
    assert killed > MOMENTS // 2


def start(spec: Path, out: Path) -> subprocess.Popen[bytes]:
    """A sweep on two processes."""
    command = [sys.executable, "-m", "tlm.cli", "sweep", str(spec), "--out", str(out), "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)


def journal(out: Path) -> list[str]:
    """The keys of the whole lines of a journal."""
    path = out / "sweep.journal"
    text = path.read_text() if path.exists() else ""
    return [line.split('"')[3] for line in text.splitlines(keepends=True) if line.endswith("\n")]
