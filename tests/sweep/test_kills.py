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
SIMULATED = 50


@pytest.mark.slow
def test_kills_at_random_moments(trace_path: Path, tmp_path: Path) -> None:
    grid = {"backward_engine.units": {"from": 1, "to": 10}, "dram.channels": {"from": 0, "to": 5}}
    spec = tmp_path / "sweep.yaml"
    spec.write_text(yaml.safe_dump(raw_spec(trace_path, grid=grid), sort_keys=False))
    assert start(spec, tmp_path / "whole").wait() == 0
    whole = (tmp_path / "whole" / STORE).read_bytes()
    chance = random.Random(SEED)
    for number in range(MOMENTS):
        out, done, later_s = tmp_path / str(number), chance.randrange(SIMULATED), chance.uniform(0.0, 0.1)
        words = f"seed {SEED}, moment {number}: {later_s:.3f} s after {done} points"
        sweep = start(spec, out)
        while len(journal(out)) < done and sweep.poll() is None:
            time.sleep(0.005)
        time.sleep(later_s)
        sweep.send_signal(signal.SIGKILL)
        ended = sweep.wait()
        lines = journal(out)
        assert start(spec, out).wait() == 0
        assert (out / STORE).read_bytes() == whole, words
        after = journal(out)
        assert after[: len(lines)] == lines, words
        assert len(after) == len(set(after)) == SIMULATED, words
        sys.stdout.write(f"{words}, {len(lines)} recorded, ended by {ended}\n")


def start(spec: Path, out: Path) -> subprocess.Popen[bytes]:
    """A sweep on two processes."""
    command = [sys.executable, "-m", "tlm.cli", "sweep", str(spec), "--out", str(out), "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def journal(out: Path) -> list[str]:
    """The keys of the whole lines of a journal."""
    path = out / "sweep.journal"
    text = path.read_text() if path.exists() else ""
    return [line.split('"')[3] for line in text.splitlines(keepends=True) if line.endswith("\n")]
