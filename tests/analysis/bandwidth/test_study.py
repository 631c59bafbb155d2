"""A whole study: the same file from any number of processes, points that fail, kills, and work that is not repeated."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rtl_models.errors import InputError
from tests.analysis.bandwidth.conftest import SHORT_OF_ROOM
from tlm.analysis.bandwidth import captures
from tlm.analysis.bandwidth import study as study_module
from tlm.analysis.bandwidth.measure import measure as measure_point
from tlm.analysis.bandwidth.study import JOURNAL, STUDY, BandwidthStudy, run_study
from tlm.analysis.bandwidth.study_file import read_study
from tlm.analysis.simulations import Processes, Task, Worker
from tlm.kernel.errors import CapacityError
from tlm.processes import Died

NETWORK = """
name: tiny
input: {shape: [8, 8, 1], exponent: 4}
timesteps: 2
layers: [{linear: 5}, {linear: 10}]
"""
TINY_NETWORK = ("buffers.spikes_bytes=200000",)


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BandwidthStudy:
    """A study of a network, whose traces are kept in a folder of the test's own."""
    monkeypatch.setattr(captures, "cache_folder", lambda: tmp_path / "cache")
    path = tmp_path / "tiny.yaml"
    path.write_text(NETWORK)
    return BandwidthStudy(str(path), dram="1GB/s", buffers="1", batch="16", potentials="store", workers=1)


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the points that are really simulated, in this process."""
    names: list[str] = []
    run = Worker.run

    def counted(self: Worker, task: Task) -> Any:
        names.append(task.name)
        return run(self, task)

    monkeypatch.setattr(Worker, "run", counted)
    return names


def test_rows_are_those_of_the_file_and_of_the_grid(study: BandwidthStudy, tmp_path: Path) -> None:
    result = run_study(study, tmp_path)
    rows, asked = read_study(tmp_path / STUDY)
    assert [row["dram"] for row in rows] == ["2GB/s", "16GB/s", "unlimited"] * 2
    assert json.dumps(rows) == json.dumps([{**dict.fromkeys(rows[0]), **row} for row in result.rows])
    assert (asked["dram"], asked["config"]["lut"]["lanes"]) == ("2GB/s,16GB/s", 2)
    slow, fast, unlimited = (row["step_ps"] for row in rows[:3])
    assert slow > fast > unlimited
    less, more = rows[0], rows[3]
    assert less["dram_read_bytes"] > more["dram_read_bytes"]
    assert less["buffers"][0]["capacity_bytes"] * 4 == more["buffers"][0]["capacity_bytes"]


@pytest.mark.slow
def test_the_file_has_the_same_bytes_whatever_the_number_of_processes(study: BandwidthStudy, tmp_path: Path) -> None:
    for workers in (1, 2):
        run_study(replace(study, workers=workers), tmp_path / str(workers))
    assert (tmp_path / "1" / STUDY).read_bytes() == (tmp_path / "2" / STUDY).read_bytes()


def test_a_point_that_cannot_be_has_its_error_and_stops_no_other(study: BandwidthStudy, tmp_path: Path) -> None:
    rows = run_study(replace(study, buffers="0.5,1"), tmp_path).rows
    assert [bool(row.get("error")) for row in rows] == [True] * 3 + [False] * 3
    assert rows[0]["error"].startswith("buffers.")
    assert read_study(tmp_path / STUDY)[0][0]["step_ps"] is None


def test_what_the_kernel_refuses_is_a_point_s_error(
    study: BandwidthStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(trace: Any, config: Any, images: Any, counts: Any) -> Any:
        if config.dram.channel_bytes_per_us == 16_000:
            raise CapacityError("nothing can go on", "chip")
        return measure_point(trace, config, images, counts)

    monkeypatch.setattr(study_module, "measure", measure)
    rows = run_study(study, tmp_path).rows
    assert [row.get("error") for row in rows] == [None, "chip: nothing can go on", None] * 2


def test_if_every_point_fails_the_first_says_why(study: BandwidthStudy, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^buffers\.\w+_bytes: .*cannot hold"):
        run_study(replace(study, buffers="0.5"), tmp_path)


def test_if_no_dram_can_be_simulated_there_is_no_study(
    study: BandwidthStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(trace: Any, config: Any, images: Any, counts: Any) -> Any:
        if config.dram.channel_bytes_per_us < 10**9:
            raise CapacityError("nothing can go on", "chip")
        return measure_point(trace, config, images, counts)

    monkeypatch.setattr(study_module, "measure", measure)
    words = "study bandwidth: no DRAM can be simulated; the first says: chip: nothing can go on"
    with pytest.raises(InputError, match=words):
        run_study(study, tmp_path)


def test_a_process_that_dies_is_its_point_s_error_and_is_tried_again_next_time(
    study: BandwidthStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulated: list[str]
) -> None:
    run = Processes.run

    def dying(self: Processes, tasks: Any) -> Any:
        for task, result in run(self, tasks):
            yield task, Died(3) if task.name == tasks[1].name else result

    monkeypatch.setattr(Processes, "run", dying)
    rows = run_study(study, tmp_path).rows
    assert rows[1]["error"] == "its process died 3 times: out of memory?"
    monkeypatch.setattr(Processes, "run", run)
    simulated.clear()
    again = run_study(study, tmp_path)
    assert (again.taken_over, simulated) == (5, ["16GB/s, buffers x1, T 9, batch 5"])
    assert not again.rows[1].get("error")


def test_a_wider_study_runs_only_what_is_new(study: BandwidthStudy, tmp_path: Path, simulated: list[str]) -> None:
    run_study(study, tmp_path)
    simulated.clear()
    wider = run_study(replace(study, dram="1GB/s,2GB/s,16GB/s"), tmp_path)
    assert simulated == [f"1GB/s, buffers x{factor}, T 9, batch 5" for factor in (1, 4)]
    assert wider.taken_over == 6
    simulated.clear()
    other = run_study(replace(study, overrides=(*SHORT_OF_ROOM, "pipeline=layer")), tmp_path)
    assert (len(simulated), other.taken_over) == (6, 0)


KILLED = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from tests.analysis.bandwidth.conftest import SHORT_OF_ROOM, TWO_DRAMS
from tlm.analysis.bandwidth.study import BandwidthStudy, run_study
def kill(phase, done, total):
    if done == 3:
        os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    asked = BandwidthStudy(sys.argv[1], dram=TWO_DRAMS, buffers="1,4", potentials="store", overrides=SHORT_OF_ROOM)
    run_study(replace(asked, workers=int(sys.argv[3])), Path(sys.argv[2]), kill)
"""


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_killed_study_goes_on_where_it_was(
    study: BandwidthStudy, trace_path: Path, tmp_path: Path, simulated: list[str], workers: int
) -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", KILLED, str(trace_path), str(tmp_path / "killed"), str(workers)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, check=False, capture_output=True, cwd=root, env=environment)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    result = run_study(study, tmp_path / "killed")
    assert result.taken_over == 3
    assert len(simulated) == 3
    run_study(study, tmp_path / "whole")
    assert (tmp_path / "killed" / STUDY).read_bytes() == (tmp_path / "whole" / STUDY).read_bytes()


def test_a_line_of_the_journal_that_was_cut_short_is_simulated_again(
    study: BandwidthStudy, tmp_path: Path, simulated: list[str]
) -> None:
    run_study(study, tmp_path)
    journal = tmp_path / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-5])
    simulated.clear()
    assert run_study(study, tmp_path).taken_over == 5
    assert len(simulated) == 1


def test_two_studies_do_not_share_a_folder(study: BandwidthStudy, tmp_path: Path) -> None:
    def second(phase: str, done: int, total: int) -> None:
        with pytest.raises(InputError, match="--out: a study is being written into this folder by another"):
            run_study(study, tmp_path)

    run_study(replace(study, dram="16GB/s", buffers="1"), tmp_path, second)


def test_a_network_is_trained_once_and_its_trace_shared(
    network: BandwidthStudy, tmp_path: Path, simulated: list[str]
) -> None:
    phases: list[str] = []
    asked = replace(network, timesteps="1,2", batch="8,16")
    result = run_study(asked, tmp_path / "one", lambda phase, done, total: phases.append(phase))
    assert [phase for phase in dict.fromkeys(phases) if phase.startswith("training")] == [
        f"training (T {t}, batch {b})" for t in (1, 2) for b in (8, 16)
    ]
    assert [(row["timesteps"], row["batch_images"]) for row in result.rows[::2]] == [(1, 8), (1, 16), (2, 8), (2, 16)]
    assert len({row["trace_sha256"] for row in result.rows}) == 4
    assert all(before["step_ps"] < after["step_ps"] for before, after in [result.rows[0:3:2], result.rows[0:5:4]])
    phases.clear()
    again = run_study(replace(asked, dram="2GB/s"), tmp_path / "two", lambda phase, *_: phases.append(phase))
    assert {*phases} == {"simulation"}
    assert [row["trace_sha256"] for row in again.rows] == [row["trace_sha256"] for row in result.rows]
    assert len(list((tmp_path / "cache" / "traces").iterdir())) == 4


def test_a_damaged_captured_trace_is_made_again(network: BandwidthStudy, tmp_path: Path) -> None:
    first = run_study(network, tmp_path / "one")
    (path,) = (tmp_path / "cache" / "traces").iterdir()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert run_study(network, tmp_path / "two").rows == first.rows


def test_a_cache_that_cannot_be_written(network: BandwidthStudy, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(InputError, match=r"traces: the folder of captured traces cannot be written \("):
        run_study(network, tmp_path / "out")


def test_nothing_is_trained_for_a_study_that_cannot_be(network: BandwidthStudy, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"buffers\."):
        run_study(replace(network, overrides=("buffers.output_bytes=1",)), tmp_path / "out")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch": "4"}, "--batch: a trace has its own; give a network to have others trained, got '4', allowed: 5"),
        ({"batch": "5,6"}, "--batch: a trace has its own; .*, got '5,6', allowed: 5"),
        ({"timesteps": "2"}, "--timesteps: a trace has its own; .*, got '2', allowed: 9"),
        ({"workers": 0}, "--workers: wrong value, got 0, allowed: a whole number >= 1"),
        ({"steps": 0}, "--steps: wrong value, got 0, allowed: a whole number >= 1"),
        ({"buffers": ""}, "--buffers: wrong value in the list, got ''"),
        ({"potentials": "keep"}, "--potentials: wrong value in the list, got 'keep', allowed: store, recompute"),
        ({"potentials": "store,store"}, "--potentials: is named twice, got 'store'"),
        ({"dram": ""}, "--dram: an empty entry in the list, got ''"),
        ({"target": "digits-cnv"}, "study bandwidth: unknown network or trace, got 'digits-cnv', allowed: cifar-cnn, "),
    ],
)
def test_what_is_refused(study: BandwidthStudy, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        run_study(replace(study, **change), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_trace_s_own_timesteps_and_batch_may_be_named(study: BandwidthStudy, tmp_path: Path) -> None:
    rows = run_study(replace(study, timesteps="9", batch="5", dram="16GB/s", buffers="4"), tmp_path).rows
    assert [(row["timesteps"], row["batch_images"]) for row in rows] == [(9, 5)] * 2
