"""A whole sweep: rows, the same bytes from any number of processes and after kills, searches, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rtl_models.errors import InputError
from tests.end_to_end.steps import make_trace, tiny_config
from tests.sweep.conftest import STEP, raw_spec
from tlm.analysis.area.chip_area import chip_area
from tlm.analysis.evaluation.measure import measure
from tlm.analysis.simulations import Processes, Task, Worker, open_journal
from tlm.sweep.spec import SweepSpec, parse_spec
from tlm.sweep.store import STORE, read_store
from tlm.sweep.summary import SUMMARY
from tlm.sweep.sweep import JOURNAL, SweepResult, run_sweep

ROOT = Path(__file__).parents[2]
NETWORK = """
name: tiny
input: {shape: [8, 8, 1], exponent: 4}
timesteps: 2
layers: [{linear: 5}, {linear: 10}]
"""


@pytest.fixture
def spec(trace_path: Path) -> SweepSpec:
    """Six points, two of which fail."""
    return parse_spec(raw_spec(trace_path), "spec")


@pytest.fixture(scope="session")
def whole(trace_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the six points, simulated without a disturbance."""
    out = tmp_path_factory.mktemp("whole")
    with Processes(1) as processes:
        run_sweep(parse_spec(raw_spec(trace_path), "spec"), out, processes, "h2learn sweep")
    return out


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


def test_a_row_a_point_with_what_its_simulation_says(whole: Path) -> None:
    rows, about = read_store(whole / STORE)
    assert [(row["point"], row["backward_engine.units"], row["dram.channels"]) for row in rows] == [
        (number, units, channels) for number, (units, channels) in enumerate((u, c) for u in (1, 3) for c in (0, 1, 2))
    ]
    assert [row["status"] for row in rows] == ["failed", "good", "good"] * 2
    assert rows[0]["error"] == "config: dram.channels: wrong value, got 0, allowed: greater than or equal to 1"
    assert rows[0]["time_s"] is rows[0]["busy"] is None
    row, config, trace = rows[4], tiny_config("dram.channels=1"), make_trace(*STEP)
    step, area = measure(trace, config, trace.batch), chip_area(config).area_mm2
    assert (row["network"], row["timesteps"], row["batch"], row["images"]) == ("spikes-linear", 2, 5, 5)
    assert row["time_ps"] == step["time_ps"] == round(row["time_s"] * 1e12)
    assert row["cycles"] == -(-row["time_ps"] // config.clock_period_ps)
    energy = {end: row[f"energy_j{end}"] for end in ("", "_low", "_high")}
    assert energy == pytest.approx({e: step["energy_pj"][e[1:] or "nominal"] / 1e12 for e in energy})
    assert (row["area_mm2_low"], row["area_mm2"], row["area_mm2_high"]) == (area.low, area.nominal, area.high)
    assert row["dram_read_bytes"] + row["dram_written_bytes"] == step["dram_bytes"]
    assert {entry["engine"]: entry["share"] for entry in row["busy"]} == pytest.approx(
        {name: busy / step["time_ps"] for name, busy in step["busy_ps"].items()}
    )
    totals = dict.fromkeys(step["busy_ps"], 0)
    for entry in row["engines"]:
        totals[entry["engine"]] += entry["time_ps"]
    assert set(totals.values()) == {row["time_ps"]}
    assert about["keys"] == ["backward_engine.units", "dram.channels"]
    assert about["spec"]["grid"]["dram.channels"] == [0, 1, 2]


def test_the_summary_says_what_stands_in_the_store(whole: Path) -> None:
    summary = json.loads((whole / SUMMARY).read_text())
    rows, about = read_store(whole / STORE)
    assert (summary["complete"], summary["points"], summary["failed"]) == (True, 6, 2)
    assert summary["errors"] == [{"error": rows[0]["error"], "points": [0, 3]}]
    assert (summary["spec"], summary["keys"]) == (about["spec"], about["keys"])
    front = [row for row in rows if row["on_front"]]
    assert sorted(point["point"] for point in summary["front"]) == [row["point"] for row in front]
    assert [point["time_s"] for point in summary["front"]] == sorted(row["time_s"] for row in front)
    for point in summary["front"]:
        row = rows[point["point"]]
        assert point["values"] == {key: row[key] for key in ("backward_engine.units", "dram.channels")}
        for name in ("energy_j", "area_mm2"):
            ends = {"low": row[f"{name}_low"], "nominal": row[name], "high": row[f"{name}_high"]}
            assert point[name] == ends
            assert ends["low"] < ends["nominal"] < ends["high"]
        for name in ("network", "trace", "timesteps", "batch", "images", "time_s"):
            assert point[name] == row[name] is not None
    assert summary["provenance"]["command"] == "h2learn sweep"


def test_the_same_bytes_whatever_the_number_of_processes(spec: SweepSpec, whole: Path, tmp_path: Path) -> None:
    with Processes(2) as processes:
        run_sweep(spec, tmp_path, processes)
    assert (tmp_path / STORE).read_bytes() == (whole / STORE).read_bytes()
    journal = (tmp_path / JOURNAL).read_text()
    assert journal.count('"wall_s"') == journal.count('"host": "') == 4


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.sweep.conftest import raw_spec
from tlm.analysis.simulations import Processes
from tlm.sweep.spec import parse_spec
from tlm.sweep.sweep import run_sweep
def kill(phase, done, total):
    if done == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    with Processes(1) as processes:
        run_sweep(parse_spec(raw_spec(Path(sys.argv[1])), "spec"), Path(sys.argv[2]), processes, "", kill)
"""


@pytest.mark.parametrize("done", [pytest.param(done, marks=pytest.mark.slow) for done in (3, 5)])
def test_a_killed_sweep_goes_on_and_repeats_nothing(
    done: int, spec: SweepSpec, trace_path: Path, whole: Path, here: Processes, tmp_path: Path, simulated: list[str]
) -> None:
    """Two of the points fail before anything is simulated, so they count as done at once."""
    command = [sys.executable, "-c", KILLED, str(trace_path), str(tmp_path), str(done)]
    killed = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / STORE).exists()
    assert json.loads((tmp_path / SUMMARY).read_text())["complete"] is False
    result = run_sweep(spec, tmp_path, here)
    assert (result.taken_over, len(simulated)) == (done - 2, 6 - done)
    assert (tmp_path / STORE).read_bytes() == (whole / STORE).read_bytes()


def test_a_finished_sweep_is_written_again_without_a_simulation(
    spec: SweepSpec, whole: Path, here: Processes, simulated: list[str]
) -> None:
    before = (whole / STORE).read_bytes()
    (whole / STORE).unlink()
    assert run_sweep(spec, whole, here, "h2learn sweep").taken_over == 4
    assert simulated == []
    assert (whole / STORE).read_bytes() == before


def test_a_search_finds_the_front_and_repeats_no_point(
    trace_path: Path, here: Processes, tmp_path: Path, simulated: list[str]
) -> None:
    space = {"backward_engine.units": [1, 2, 3], "dram.channels": [1, 0, 2]}
    search = {"space": space, "points": 60, "population": 6, "seed": 1}
    raw = raw_spec(trace_path, search=search, objectives=["time_s", "area_mm2"])
    del raw["grid"]
    spec = parse_spec(raw, "spec")
    reports: list[tuple[int, int]] = []
    result = run_sweep(spec, tmp_path / "one", here, "", lambda _, done, total: reports.append((done, total)))
    points = {(row["backward_engine.units"], row["dram.channels"]) for row in result.rows}
    assert len(points) == len(result.rows) == 9
    assert len(simulated) == 6
    assert reports[-1] == (60, 60)
    grid = parse_spec(raw_spec(trace_path, grid=space, objectives=["time_s", "area_mm2"]), "spec")
    same = run_sweep(grid, tmp_path / "grid", here)
    chosen = [
        {(row["backward_engine.units"], row["dram.channels"]) for row in r.rows if row["on_front"]}
        for r in (result, same)
    ]
    assert chosen[0] == chosen[1]
    run_sweep(spec, tmp_path / "again", here)
    assert (tmp_path / "again" / STORE).read_bytes() == (tmp_path / "one" / STORE).read_bytes()
    before = len(simulated)
    assert run_sweep(spec, tmp_path / "one", here).taken_over == 6  # in several rounds
    assert len(simulated) == before


def front(result: SweepResult) -> set[tuple[int, int]]:
    """Units and channels of the points on the front."""
    return {(row["backward_engine.units"], row["dram.channels"]) for row in result.rows if row["on_front"]}


def test_captures_are_shared_and_other_arithmetic_is_the_same_step(
    here: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("H2LEARN_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tiny.yaml"
    path.write_text(NETWORK)
    raw = {
        "config": "tiny",
        "workload": {"network": str(path), "batch": 3},
        "list": [{"lut.k": 3}, {"lut.k": 2}, {"timesteps": 3}, {"batch": 2}, {"buffers.output_bytes": 1}],
    }
    phases: list[str] = []
    rows = run_sweep(parse_spec(raw, "spec"), tmp_path / "out", here, "", lambda phase, *_: phases.append(phase)).rows
    trainings = [phase for phase in dict.fromkeys(phases) if phase.startswith("training")]
    assert trainings == [f"training tiny (T {t}, batch {b})" for t, b in ((2, 3), (3, 3), (2, 2))]
    assert [(row["timesteps"], row["batch"], row["lut.k"]) for row in rows[:4]] == [
        (2, 3, 3),
        (2, 3, 2),
        (3, 3, None),
        (2, 2, None),
    ]
    assert rows[4]["error"].startswith("buffers.output_bytes: the output buffer is smaller than one tile")
    assert len({row["trace_sha256"] for row in rows}) == 4
    assert rows[4]["trace_sha256"] == rows[0]["trace_sha256"]
    assert len(list((tmp_path / "cache" / "traces").iterdir())) == 3


def test_a_sweep_whose_points_all_fail(trace_path: Path, here: Processes, tmp_path: Path) -> None:
    spec = parse_spec(raw_spec(trace_path, grid={"dram.channels": [0, -1]}), "spec")
    with pytest.raises(InputError, match=r"^sweep: no point can be simulated; the first says: config: dram.channels: "):
        run_sweep(spec, tmp_path, here)
    assert [row["status"] for row in read_store(tmp_path / STORE)[0]] == ["failed", "failed"]


def test_nothing_is_begun_for_a_workload_that_is_not_there(trace_path: Path, here: Processes, tmp_path: Path) -> None:
    for workload, words in (({"trace": "no.h5"}, "no.h5"), ({"network": "digits-cnv"}, "network: unknown network")):
        with pytest.raises(InputError, match=words):
            run_sweep(parse_spec(raw_spec(trace_path, workload=workload), "spec"), tmp_path / "out", here)
    assert not (tmp_path / "out").exists()


def test_folders_of_others(spec: SweepSpec, trace_path: Path, whole: Path, here: Processes, tmp_path: Path) -> None:
    other = parse_spec(raw_spec(trace_path, grid={"lut.lanes": [2]}, name="b"), "spec")
    with pytest.raises(InputError, match=r"^--out: the folder has a sweep of another spec, which differs in grid, na"):
        run_sweep(other, whole, here)
    summary = tmp_path / SUMMARY
    summary.write_text('{"schema": "h2learn-sweep/0", "spec": {}}')
    words = r"sweep\.json: the folder has a sweep of another version, got 'h2learn-sweep/0', allowed: h2learn-sweep/1"
    with pytest.raises(InputError, match=words):
        run_sweep(spec, tmp_path, here)
    summary.write_text("{")
    with pytest.raises(InputError, match=r"sweep\.json: is not the summary of a sweep"):
        run_sweep(spec, tmp_path, here)
    summary.unlink()
    words = r"^--out: a sweep is being written into this folder by another process, got '"
    with open_journal(tmp_path / JOURNAL, "a sweep"), pytest.raises(InputError, match=words):
        run_sweep(spec, tmp_path, here)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 KiB, where one may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(
    spec: SweepSpec, whole: Path, small_disk: Path, here: Processes, tmp_path: Path, simulated: list[str]
) -> None:
    """It ends the sweep in one line; what was recorded goes on where there is room."""
    out = small_disk / "out"
    words = r"sweep\.journal: cannot write the journal of a sweep \(No space left on device\)"
    with pytest.raises(InputError, match=words):
        run_sweep(spec, out, here)
    before = len(simulated)
    shutil.copytree(out, tmp_path / "roomy")
    assert 0 < run_sweep(spec, tmp_path / "roomy", here).taken_over == before - 1
    assert (tmp_path / "roomy" / STORE).read_bytes() == (whole / STORE).read_bytes()


def test_a_trace_that_was_written_anew_is_another_one(trace_path: Path) -> None:
    task = Task("a point", trace_path, "0" * 64, 1, {}, lambda *_: {})
    with pytest.raises(InputError, match=r"step\.h5: is another trace than it was, got '.*', allowed: 000"):
        Worker().run(task)
