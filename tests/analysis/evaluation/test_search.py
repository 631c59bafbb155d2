"""The search: bounds that no simulation falls below, the best machine of a grid, its words, and what is done once."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rtl_models.errors import InputError
from tests.end_to_end.steps import TINY, make_record, make_trace, small_buffers, tiny_config
from tests.pictures import assert_shows_something, texts
from tlm.analysis import simulations
from tlm.analysis.area.chip_area import chip_area
from tlm.analysis.evaluation.design import search as design_search
from tlm.analysis.evaluation.design.bounds import Bound, Bounds
from tlm.analysis.evaluation.design.report import search_figure, write_search
from tlm.analysis.evaluation.design.search import JOURNAL, Candidate, Point, SearchOptions, _Run, pareto, run_search
from tlm.analysis.evaluation.design.space import DEFAULT_SPACE, Machine, machines, parse_space
from tlm.analysis.evaluation.measure import measure
from tlm.analysis.simulations import Worker, open_journal
from tlm.analysis.technology.range import Range
from tlm.config import Config, load_config
from tlm.schedule.placement import place
from tlm.schedule.step_counts import StepCounts
from tlm.simulation import simulate
from workloads.network import load_network
from workloads.record import Arithmetic
from workloads.trace_file import write_trace

STEP = ("direct", "conv", 3)
GRID = (
    "forward_engine.arrays=1,2",
    "weight_update_engine.arrays=2",
    "backward_engine.units=1,3",
    "backward_engine.items_in_flight=4",
    "buffers=1",
    "dram.channels=2",
)
FLAT = ("dram.model=flat", "dram.interleave_bytes=16")


@pytest.fixture
def options(tmp_path: Path) -> SearchOptions:
    """Four machines around the tiny one."""
    path = tmp_path / "step.h5"
    write_trace(make_record(*STEP), path)
    return SearchOptions((path,), 110.4, GRID, overrides=TINY, simulations=100, workers=1)


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    run = Worker.run

    def counted(self: Worker, task: simulations.Task) -> Any:
        names.append(task.name)
        return run(self, task)

    monkeypatch.setattr(Worker, "run", counted)
    return names


@pytest.mark.parametrize("step", [STEP, ("spikes", "linear", 9)])
def test_no_simulation_falls_below_its_bound(step: tuple[str, str, int]) -> None:
    trace, counts = make_trace(*step), StepCounts(make_trace(*step))
    bounds = Bounds(trace, counts)
    for overrides in (small_buffers(step, "weights", "gradients"), ("pipeline=none",)):
        for machine in machines(tiny_config(*overrides), parse_space(GRID)):
            bound, result = bounds.bound(machine.config), simulate(trace, machine.config, counts=counts)
            assert 0 < bound.least_ps <= result.time_ps
            clock = machine.config.clock_period_ps
            assert bound.forward_ps <= result.engines["forward"].busy_ps
            assert bound.weight_update_ps <= result.engines["weight_update"].busy_ps
            assert bound.backward_ps - clock <= result.engines["backward"].busy_ps
            moved = sum(result.dram_read_bytes.values()) + sum(result.dram_written_bytes.values())
            assert bound.dram_ps == pytest.approx(moved / result.dram_peak_bytes_per_us * 1e6)
            assert bound.guess_ps >= bound.least_ps


@pytest.mark.parametrize("step", [STEP, ("spikes", "linear", 9)])
def test_bounds_are_all_of_the_work_and_the_longest_counts(step: tuple[str, str, int]) -> None:
    """One row or lane a unit does an operation a cycle."""
    one = "arrays: 1, rows: 1, accumulator_depth: 16"
    overrides = (f"forward_engine={{{one}}}", f"weight_update_engine={{{one}}}", "backward_engine={units: 1, lanes: 1}")
    config, trace = tiny_config(*overrides), make_trace(*step)
    bound, work = Bounds(trace, StepCounts(trace)).bound(config), simulate(trace, config).work
    clock, lanes = config.clock_period_ps, config.lut.lanes
    parts = [bound.forward_ps, bound.weight_update_ps, bound.backward_ps, bound.dram_ps]
    looked_up = [work["forward_look_ups"] // lanes, work["weight_update_look_ups"] // lanes]
    assert parts[:3] == [cycles * clock for cycles in (*looked_up, work["backward_macs"])]
    assert bound.least_ps == max(parts)
    assert Bound(1, 2, 4, 3).least_ps == Bound(4, 1, 2, 3).least_ps == Bound(1, 4, 3, 2).least_ps == 4
    three = config.model_copy(update={"backward_engine": config.backward_engine.model_copy(update={"units": 3})})
    cycles = -(-work["backward_macs"] // 3)
    assert Bounds(trace, StepCounts(trace)).bound(three).backward_ps == cycles * clock


def test_engines_of_adders_and_skipped_tiles_are_not_bounded_by_look_ups() -> None:
    bounds = Bounds(make_trace(*STEP), StepCounts(make_trace(*STEP)))
    assert bounds.bound(tiny_config("forward_engine.element=adders")).forward_ps == 0
    skipping = Bounds(make_trace(*STEP), StepCounts(make_trace(*STEP)))
    assert skipping.bound(tiny_config("lut.skip_zero_tiles=true")).weight_update_ps == 0


def test_banked_and_flat_dram_have_their_peak() -> None:
    bounds = Bounds(make_trace(*STEP), StepCounts(make_trace(*STEP)))
    flat, banked = tiny_config(), tiny_config("dram={model: banked, standard: HBM2, channels: 2}")
    ratio = bounds.bound(flat).dram_ps / bounds.bound(banked).dram_ps
    assert ratio == pytest.approx(32_000 / 3_000, rel=0.01)


def test_the_best_machine_of_the_grid_is_found(options: SearchOptions, tmp_path: Path) -> None:
    content = run_search(options, tmp_path)
    config = load_config("h2learn", TINY)
    times = {m.choice: simulate(make_trace(*STEP), m.config).time_ps for m in machines(config, parse_space(GRID))}
    assert content["machines"] == content["within_budget"] == len(times) == 4
    assert content["proved"]
    assert content["best"]["time_s"] == pytest.approx(min(times.values()) / 1e12)
    for point in content["points"]:
        assert point["time_s"] == pytest.approx(times[tuple(point["changes"].items())] / 1e12)
        assert point["times_faster"] == pytest.approx(content["start"]["time_s"] / point["time_s"])
    assert [point["time_s"] for point in content["points"]] == sorted(point["time_s"] for point in content["points"])
    start = measure(make_trace(*STEP), config, 5)
    assert content["start"]["time_s"] == pytest.approx(start["time_ps"] / 1e12)
    assert content["start"]["energy_j"]["nominal"] == pytest.approx(start["energy_pj"]["nominal"] / 1e12)


def test_traces_are_added_up_and_images_cut(options: SearchOptions, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    write_trace(make_record(*STEP, seed=1), other)
    both = replace(options, traces=(*options.traces, other), images=2, simulations=2)
    content = run_search(both, tmp_path / "out")
    config = load_config("h2learn", TINY)
    total = sum(measure(make_trace(*STEP, seed=seed), config, 2)["time_ps"] for seed in (0, 1))
    assert content["start"]["time_s"] == pytest.approx(total / 1e12)
    assert len(content["points"]) == 2


def test_what_was_simulated_is_taken_over(options: SearchOptions, tmp_path: Path, simulated: list[str]) -> None:
    content = run_search(options, tmp_path)
    once = len(simulated)
    assert 1 < once <= 5
    assert run_search(options, tmp_path) == content
    assert len(simulated) == once


@pytest.mark.slow
def test_two_processes_find_the_same(options: SearchOptions, tmp_path: Path) -> None:
    assert run_search(replace(options, workers=2), tmp_path / "two") == run_search(options, tmp_path / "one")


def test_machines_that_cannot_be_better_are_left_out(
    options: SearchOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulated: list[str]
) -> None:
    """Once a machine takes less than the bound of all others, they are proved slower without a simulation."""
    monkeypatch.setattr(Worker, "run", lambda self, task: (simulated.append(task.name), measured(task))[1])
    content = run_search(replace(options, vary=(*GRID, "backward_engine.units=1,2,3,4")), tmp_path)
    assert content["proved"]
    assert len(content["points"]) < content["within_budget"] == 8


def measured(task: simulations.Task) -> dict[str, Any]:
    """A step that takes no time."""
    return {"time_ps": 1, "energy_pj": {"low": 1.0, "nominal": 1.0, "high": 1.0}}


def test_what_may_be_faster_is_simulated_and_smaller_machines_for_the_front(
    options: SearchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second machine is guessed slower than the first one is, and is faster; the third cannot be."""

    def candidate(number: int, area: float, least: float, guess: float) -> Candidate:
        return Candidate(number, Machine((), Config()), Range.exact(area), least, guess)

    def at_their_bounds(_: _Run, chosen: list[Candidate]) -> list[Point]:
        return [Point(one, one.least_ps, Range.exact(1)) for one in chosen]

    monkeypatch.setattr(design_search, "ROUND", 1)
    monkeypatch.setattr(_Run, "simulate", at_their_bounds)
    guessed = [candidate(0, 100, 10, 10), candidate(1, 100, 9, 14), candidate(2, 100, 11, 15), candidate(3, 40, 50, 60)]
    points, proved = _Run(options, {}, None, None, lambda *_: None).search(guessed)  # type: ignore[arg-type]
    assert [point.candidate.number for point in points] == [1, 0, 3]
    assert proved


def test_without_room_for_more_simulations_nothing_is_proved(options: SearchOptions, tmp_path: Path) -> None:
    assert not run_search(replace(options, simulations=1), tmp_path)["proved"]


def test_the_front() -> None:
    def point(number: int, area: float, time: float) -> Point:
        return Point(Candidate(number, Machine((), Config()), Range.exact(area), 0, 0), time, Range.exact(1))

    broken = Point(Candidate(9, Machine((), Config()), Range.exact(1), 0, 0), float("inf"), None, "no room")
    points = [point(0, 5, 10), point(1, 4, 12), point(2, 4.5, 13), point(3, 9, 1), point(4, 5, 10), broken]
    assert [found.candidate.number for found in pareto(points, 8)] == [1, 0]


def test_what_a_machine_needs_around_it_grows_with_it() -> None:
    config = Config()
    (large,) = machines(config, {"forward_engine.arrays": (6,), "backward_engine.units": (704,), "buffers": (0.5,)})
    found = large.config
    assert found.buffers.output_bytes == 6 * 64 * 1024 * 4
    assert found.buffers.backward_sums_bytes == 3 * 704 * 2 * 64 * 4
    assert found.buffers.weights_bytes == config.buffers.weights_bytes // 2
    for name in ("weights", "gradients", "potentials", "backward_sums", "output"):
        assert getattr(found.buffer_ports, name).banks == 2 * getattr(config.buffer_ports, name).banks, name
    assert found.buffer_ports.partial_sums == config.buffer_ports.partial_sums
    (wide,) = machines(config, {"backward_engine.lanes": (2 * config.backward_engine.lanes,)})
    assert wide.config.buffer_ports.backward_sums.banks == 2 * config.buffer_ports.backward_sums.banks
    assert wide.config.buffer_ports.potentials == config.buffer_ports.potentials
    (tall,) = machines(config, {"weight_update_engine.rows": (2 * config.weight_update_engine.rows,)})
    assert tall.config.buffer_ports.partial_sums.banks == 2 * config.buffer_ports.partial_sums.banks
    assert tall.config.buffer_ports.output == config.buffer_ports.output
    (own,) = machines(config, {"backward_engine.units": (704,), "buffers.backward_sums_bytes": (2**16,)})
    assert own.config.buffers.backward_sums_bytes == 2**16
    (small,) = machines(config, {"backward_engine.units": (96,)})
    assert small.config.buffer_ports == config.buffer_ports
    (same,) = machines(config, {})
    assert same.config == config


def test_buffers_that_are_scaled_keep_room_for_staging() -> None:
    network = load_network("cifar-cnn")
    grid = {"buffers": (0.25, 1.0), "weight_update_engine.arrays": (2, 3)}
    found = {m.choice: m.config for m in machines(Config(), grid, ((network, 8),))}
    for config in found.values():
        place(network, 8, config)
    small, _, _, same = found.values()
    assert same == Config()
    assert small.buffers.partial_sums_bytes < Config().buffers.partial_sums_bytes
    with pytest.raises(InputError, match=r"^buffers\.spikes_bytes: the spikes buffer cannot hold"):
        place(network, 8, next(machines(Config(), grid)).config)


def test_the_grid_can_be_changed() -> None:
    space = parse_space(("dram.channels=4", "host.round_trip_ps=1,2"))
    assert space == {**DEFAULT_SPACE, "dram.channels": (4,), "host.round_trip_ps": (1, 2)}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("units", "--vary: wrong grid, got 'units', allowed: key=v1,v2,..., e.g. backward_engine.units=128,256"),
        ("units=,", "--vary: wrong grid, got 'units=,'"),
        ("lut.k=2,3", "--vary: changes bits, so it is the trace's own, got 'lut.k', allowed: keys that change no bit"),
        (
            f"host.round_trip_ps={','.join(map(str, range(99)))}",
            "--vary: the grid has too many machines, got 495000, allowed: at most 100000",
        ),
    ],
)
def test_grids_that_are_refused(entry: str, words: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(words)}"):
        parse_space((entry,))


def test_keys_and_values_that_no_configuration_has() -> None:
    with pytest.raises(InputError, match=r"^--vary: unknown key, got 'engine.units', allowed: name, provisional, "):
        parse_space(("engine.units=1",))
    with pytest.raises(InputError, match=r"^search: backward_engine.units: wrong value, got 0"):
        list(machines(Config(), {"backward_engine.units": (0,)}))


def test_mistakes(options: SearchOptions, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    write_trace(replace(make_record(*STEP), arithmetic=Arithmetic(k=2, lanes=2, micro_batch=2)), other)
    room = chip_area(load_config("h2learn", (*TINY, "forward_engine.arrays=1", "backward_engine.units=1")))
    for changes, words in (
        ({"traces": ()}, r"^--trace: no trace to simulate$"),
        ({"simulations": 0}, r"^--simulations: wrong value, got 0"),
        ({"images": 6}, r"^images: the trace has not so many images, got 6"),
        (
            {"budget_mm2": room.area_mm2.nominal / 2},
            r"^--budget-mm2: the chip takes .* mm2 .*, more than its budget, got",
        ),
        (
            {"vary": (*GRID, "buffers.backward_sums_bytes=1")},
            r"^--vary: no machine of the grid can hold the network within",
        ),
        (
            {"traces": (*options.traces, other), "overrides": TINY[2:], "config": None},
            r"^--trace: the traces are of different arithmetic, got '.*other.h5', allowed: .*step.h5$",
        ),
    ):
        with pytest.raises(InputError, match=words):
            run_search(replace(options, **changes), tmp_path / "out")


def test_machines_that_cannot_be_simulated(
    options: SearchOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Worker.run

    def failing(self: Worker, task: simulations.Task) -> Any:
        return run(self, task) if task.name == "machine -1" else simulations.failure("no way")

    monkeypatch.setattr(Worker, "run", failing)
    with pytest.raises(InputError, match=r"^search: no machine can be simulated; the first says: no way$"):
        run_search(options, tmp_path)


def test_a_folder_that_another_process_writes(options: SearchOptions, tmp_path: Path) -> None:
    words = r"^--out: a search is being written into this folder by another process"
    with open_journal(tmp_path / JOURNAL, "a search"), pytest.raises(InputError, match=words):
        run_search(options, tmp_path)


def test_the_guide_names_every_key_and_the_grid(options: SearchOptions, tmp_path: Path) -> None:
    guide = (Path(__file__).parents[3] / "docs" / "design_point.md").read_text(encoding="utf-8")
    content = run_search(replace(options, simulations=1), tmp_path)
    assert {key for key in (*content, *content["best"], *DEFAULT_SPACE) if f"`{key}`" not in guide} == set()


def test_the_best_machine_is_a_configuration_that_can_be_used(options: SearchOptions, tmp_path: Path) -> None:
    content = run_search(options, tmp_path)
    assert write_search(tmp_path, content) == ["search.json", "best.yaml", "search.png"]
    best = load_config(str(tmp_path / "best.yaml"))
    assert best.name == "best"
    assert chip_area(best).area_mm2.to_dict() == content["best"]["area_mm2"]
    assert simulate(make_trace(*STEP), best).time_ps / 1e12 == pytest.approx(content["best"]["time_s"])
    assert_shows_something(tmp_path / "search.png")
    assert {"front", "start", "simulated", "budget"} <= texts(search_figure(content))
