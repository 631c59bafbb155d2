"""The benchmarks of the simulator: they measure what they say, limits can be missed, and mistakes have their words."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rtl_models.simulators.build import cache_folder
from tests.workloads.synthetic import random_record
from workloads.network import load_network
from workloads.trace_file import write_trace

SCRIPTS = Path(__file__).parents[2] / "scripts"
SIMULATOR = SCRIPTS / "bench_simulator.py"
SCALESIM = SCRIPTS / "bench_scalesim.py"


def run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, check=False)


def functions(script: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return runpy.run_path(str(script))


@pytest.mark.slow
def test_measures_a_stored_step(tmp_path: Path) -> None:
    trace, out = tmp_path / "step.h5", tmp_path / "figures.json"
    write_trace(random_record(load_network("digits-mlp"), batch=2), trace)
    missing = str(tmp_path / "none.h5")
    result = run(
        SIMULATOR,
        "--networks",
        "no-such",
        "--traces",
        str(trace),
        missing,
        "--set",
        "dram.model=flat",
        "--no-growth",
        "--json",
        str(out),
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "none.h5 left out: " in result.stdout
    assert "no-such              left out: network: unknown network, got 'no-such'" in result.stdout
    (figures,) = json.loads(out.read_text())["networks"]
    assert (figures["network"], figures["batch"], figures["layers"], figures["timesteps"]) == ("digits-mlp", 2, 2, 6)
    assert figures["dense_macs"] == 3 * 6 * 2 * (64 * 128 + 128 * 10)
    assert figures["cycles"] > 1000
    assert 0 < figures["simulate_processor_s"] < figures["processor_s"]
    assert 1 << 26 < figures["peak_bytes"] < 1 << 30


def test_limits_can_be_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    misses = functions(SIMULATOR, monkeypatch)["misses"]
    good = {"network": "cifar-cnn", "batch": 1, "wall_s": 5.0, "peak_bytes": 2 << 30}
    assert misses(good) == []
    assert misses(good | {"wall_s": 5.1}) == ["cifar-cnn: 5.1 s, limit 5 s"]
    assert misses(good | {"peak_bytes": 2147483649}) == ["cifar-cnn: 2,147,483,649 bytes, limit 2,147,483,648"]
    assert misses(good | {"batch": 8, "wall_s": 40.0}) == []
    assert misses(good | {"network": "digits-mlp", "wall_s": 40.0}) == []


def test_growth_is_fitted_and_its_networks_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    found = functions(SIMULATOR, monkeypatch)
    line = found["fit"]([1, 2, 4, 8], [1.5, 2.0, 3.0, 5.0])
    assert line == pytest.approx({"constant_s": 1.0, "slope_s": 0.5, "r2": 1.0, "exponent": 0.737}, abs=1e-3)
    square = found["fit"]([1, 2, 4, 8], [1.0, 4.0, 16.0, 64.0])
    assert square["r2"] < found["LEAST_R2"] < 1
    assert square["exponent"] == pytest.approx(2)
    network = found["small_network"](12, 5)
    assert (network.timesteps, len(network.layers), network.layers[-1].fully_connected) == (12, 5, True)


def test_a_process_that_fails_gives_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    run_measured = functions(SIMULATOR, monkeypatch)["run_measured"]
    with pytest.raises(RuntimeError, match=r"^no such thing$"):
        run_measured([sys.executable, "-c", "print(1); raise SystemExit('no such thing')"])
    with pytest.raises(RuntimeError, match=r"^exit code 7$"):
        run_measured([sys.executable, "-c", "raise SystemExit(7)"])
    assert run_measured([sys.executable, "-c", "print(5)"]).output == "5\n"


@pytest.mark.slow
def test_without_scale_sim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("H2LEARN_CACHE", str(tmp_path))
    result = run(SCALESIM)
    assert (result.returncode, result.stdout) == (2, "")
    words = "SCALE-Sim is not installed; `--install` makes an environment of its own for it"
    assert result.stderr == f"bench_scalesim: {words}\n"
    python = cache_folder() / "scalesim" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to("/bin/false")
    assert "does not start" in run(SCALESIM).stderr
