"""What may go wrong beside the hardware: processes that die, interrupted runs, damaged caches, failing builds."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rtl_models.errors import InputError
from rtl_models.neuron_unit import neuron_unit
from rtl_models.pipeline import PipelineGeometry
from rtl_models.simulators import SimulatorError
from rtl_models.simulators.build import build_unit, cache_folder
from rtl_models.units import Unit
from tests.cosim.conftest import OVERRIDES
from tests.cosim.test_cosimulate import counts, needs_verilator
from tests.cosim.traces import ARITHMETIC
from tlm.config import Config
from tlm.cosim import CosimResult, config_for_trace, cosimulate, everything, journal, processes
from tlm.cosim.journal import Journal, run_identity
from tlm.cosim.result import Comparison
from tlm.cosim.under_test import UnderTest
from tlm.cosim.units import HARDWARE

pytestmark = pytest.mark.slow

COUNTS = [Comparison("neuron", 1, "fc2", "verilator", streams=3, results=7)]
SHORT_JOBS = 1500  # cycles: some 40 jobs of the small trace


@pytest.fixture
def short_jobs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Many jobs, and journals in a folder of the test's own."""
    monkeypatch.setattr(everything, "JOB_CYCLES", SHORT_JOBS)
    monkeypatch.setattr(journal, "cache_folder", lambda: tmp_path / "cache")


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch, short_jobs: None) -> None:
    """However small, the work goes to two processes."""
    monkeypatch.setattr(everything, "SMALL_CYCLES", 0)
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda _: {0, 1})


@pytest.fixture(scope="module")
def undisturbed(trace_path: Path, config: Config) -> CosimResult:
    """Everything, in one process."""
    return cosimulate(trace_path, config, "all", "verilator")


@needs_verilator
def test_the_tiles_of_a_process_that_is_killed_are_run_again(
    trace_path: Path, config: Config, undisturbed: CosimResult, two_processes: None
) -> None:
    seen: list[int] = []

    def kill_once(done: int, _total: int) -> None:
        seen.append(done)
        if len(seen) == 3:
            victim = multiprocessing.active_children()[0].pid
            assert victim is not None
            os.kill(victim, signal.SIGKILL)

    result = cosimulate(trace_path, config, "all", "verilator", progress=kill_once)
    assert result.passed
    assert counts(result) == counts(undisturbed)
    assert seen == sorted(set(seen))
    assert seen[-1] == sum(int(count["cycles"]) for count in result.available)


def deadly_unit(geometry: PipelineGeometry) -> Unit:
    """Our neuron unit, but the processes of a pool that ask for it are killed."""
    if multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return neuron_unit(geometry)


@needs_verilator
def test_processes_that_die_again_and_again_end_the_run(trace_path: Path, config: Config, two_processes: None) -> None:
    words = r"^co-simulation: processes died 3 times while \w+ of layer \d, rows \d+\.\.\d+, was under way: out of mem"
    with pytest.raises(SimulatorError, match=words):
        cosimulate(trace_path, config, "all", "verilator", units={"neuron_unit": deadly_unit})


@needs_verilator
def test_an_interrupted_run_goes_on_where_it_was(
    trace_path: Path, config: Config, undisturbed: CosimResult, short_jobs: None, tmp_path: Path
) -> None:
    seen: list[int] = []

    def interrupt(done: int, _total: int) -> None:
        seen.append(done)
        if len(seen) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cosimulate(trace_path, config, "all", "verilator", progress=interrupt)
    again: list[int] = []
    other = cosimulate(trace_path, config, "all", "verilator", sample_seed=1)
    result = cosimulate(
        trace_path, config, "all", "verilator", progress=lambda done, _: again.append(done), out=tmp_path
    )
    assert other.notes == []
    assert result.notes == ["5 jobs are taken over from a run that was interrupted"]
    assert counts(result) == counts(undisturbed)
    assert again[0] > seen[-1]
    assert list((tmp_path / "cache" / "cosim").iterdir()) == []  # nothing is left to resume


KILLED = """
import os, signal, sys
from tests.cosim.test_recovery import SHORT_JOBS, small_config
from tlm.cosim import cosimulate, everything
everything.JOB_CYCLES = SHORT_JOBS
seen = []
def kill(done, total):
    seen.append(done)
    if len(seen) == 7:
        os.kill(os.getpid(), signal.SIGKILL)
cosimulate(sys.argv[1], small_config(), "all", "verilator", sample_seed=12, progress=kill)
"""


def small_config() -> Config:
    """The configuration of the tests."""
    return config_for_trace(ARITHMETIC, overrides=OVERRIDES)


@needs_verilator
def test_a_killed_run_goes_on_where_it_was(trace_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(everything, "JOB_CYCLES", SHORT_JOBS)
    done = subprocess.run([sys.executable, "-c", KILLED, str(trace_path)], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    result = cosimulate(trace_path, config, "all", "verilator", sample_seed=12)
    assert result.notes == ["6 jobs are taken over from a run that was interrupted"] or result.notes == [
        "7 jobs are taken over from a run that was interrupted"
    ]
    assert result.passed
    for entry, count in zip(result.comparisons, result.available, strict=True):
        assert entry.streams == count["streams"]


def test_a_journal_comes_back(tmp_path: Path) -> None:
    with Journal("name", tmp_path) as one:
        one.add(4, COUNTS)
        one.add(2, [])
    with Journal("name", tmp_path) as again:
        assert again.done == {4: COUNTS, 2: []}
        again.finish()
    with Journal("name", tmp_path) as fresh:
        assert fresh.done == {}


@pytest.mark.parametrize("damage", ["cut short", "flipped"])
def test_what_was_half_written_does_not_count(damage: str, tmp_path: Path) -> None:
    with Journal("name", tmp_path) as one:
        one.add(4, COUNTS)
        one.add(5, COUNTS)
        path = one.path
    content = bytearray(path.read_bytes())
    if damage == "cut short":
        del content[-9:]
    else:
        content[-9] ^= 1
    path.write_bytes(content)
    with Journal("name", tmp_path) as again:
        assert again.done == {4: COUNTS}
        again.add(6, [])
    with Journal("name", tmp_path) as third:
        assert third.done == {4: COUNTS, 6: []}


def test_two_runs_do_not_share_a_journal(tmp_path: Path) -> None:
    with Journal("name", tmp_path) as one, Journal("name", tmp_path) as other:
        assert one.recording
        assert not other.recording
        other.add(3, COUNTS)
        other.finish()
        one.add(4, [])
    with Journal("name", tmp_path) as again:
        assert again.done == {4: []}


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write the journal of the co-simulation \("):
        Journal("name", tmp_path / "file")


def test_another_seed_is_another_run() -> None:
    assert run_identity(["a", "1"]) == run_identity(["a", "1"])
    assert len({run_identity(parts) for parts in (["a", "1"], ["a", "2"], ["a1"])}) == 3


@needs_verilator
def test_a_model_in_the_cache_that_cannot_be_loaded_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for runtime in cache_folder().glob("runtime-*"):  # whose compilation takes some seconds
        shutil.copytree(runtime, tmp_path / runtime.name)
    monkeypatch.setenv("H2LEARN_CACHE", str(tmp_path))
    hardware, geometry = HARDWARE["weight_gradient_unit"], PipelineGeometry()
    library = build_unit(hardware.unit(geometry))
    size = library.stat().st_size
    library.write_bytes(b"not a library")
    UnderTest().build(hardware, geometry)
    assert build_unit(hardware.unit(geometry)) == library
    assert library.stat().st_size == size


def test_a_simulator_that_cannot_be_asked_for(trace_path: Path, config: Config, tmp_path: Path) -> None:
    file = tmp_path / "unit.v"
    file.write_text("module unit (clk); endmodule\n")
    files: dict[str, Any] = {"optimiser_unit": file}
    with pytest.raises(InputError, match=r"^unit: unknown unit, got 'row', allowed: lut_row, neuron_unit, "):
        cosimulate(trace_path, config, verilog={"row": file})
    with pytest.raises(InputError, match=r"^optimiser_unit: simulator: MyHDL cannot run a Verilog file, got 'myhdl'"):
        UnderTest(verilog=files).simulator(HARDWARE["optimiser_unit"], "myhdl")
