"""The search: every machine of the grid bounded by its laws, the promising ones simulated, the rest proved slower.

Machines within the budget are simulated in the order of a guess, in rounds; one whose bound is no better than the best
simulated time is left out, since it cannot be faster. So when no machine is left, the best one is the best of the grid.
A share of the simulations goes to smaller areas, for the front of area and time. Nothing depends on chance or on the
number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from tlm.analysis.area.chip_area import check_budget, chip_area
from tlm.analysis.evaluation.design.bounds import Bound, Bounds
from tlm.analysis.evaluation.design.space import Machine, machines, parse_space
from tlm.analysis.evaluation.first_images import first_images
from tlm.analysis.evaluation.measure import measure
from tlm.analysis.evaluation.ratios import PJ_PER_J, PS_PER_S
from tlm.analysis.simulations import (
    ERROR,
    Done,
    Measurement,
    Processes,
    Runner,
    Task,
    open_journal,
    simulate_all,
)
from tlm.analysis.technology.range import Range
from tlm.config import Config
from tlm.journal import Journal
from tlm.schedule.step_counts import StepCounts
from tlm.trace_config import config_for_trace
from workloads.trace_file import Trace, open_trace
from workloads.training_settings import check_whole

SCHEMA = "h2learn-search/1"
JOURNAL = "search.journal"
ROUND = 4
"""Machines that are simulated before the next ones are chosen: fixed, so that processes do not change the outcome."""
FRONT_SHARES = (0.3, 0.45, 0.6, 0.75, 0.9)
"""Shares of the budget below which a machine each is simulated for the front."""

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SearchOptions:
    """What to search: traces whose steps are added up, an area, a grid, and how many machines to simulate at most.

    `images`: the steps of so many first images of each trace; None: of all.
    """

    traces: tuple[Path, ...]
    budget_mm2: float
    vary: tuple[str, ...] = ()
    config: str | None = None
    overrides: tuple[str, ...] = ()
    images: int | None = None
    simulations: int = 40
    workers: int | None = None


@dataclass(frozen=True)
class Candidate:
    """A machine within the budget: its area, and the least and the guessed time of all traces' steps."""

    number: int
    machine: Machine
    area_mm2: Range
    least_ps: float
    guess_ps: float


@dataclass(frozen=True)
class Point:
    """A simulated machine: time and energy of all traces' steps; `error` where it cannot be simulated."""

    candidate: Candidate
    time_ps: float
    energy_pj: Range | None
    error: str | None = None


def run_search(options: SearchOptions, out: Path, report: Report = lambda phase, done, total: None) -> dict[str, Any]:
    """Search and return the content of `search.json`; every simulation stands in a journal in `out`.

    Raises InputError for a user's mistake, traces of different arithmetic, and where no machine is within the budget.
    """
    if not options.traces:
        raise InputError("no trace to simulate", "--trace")
    check_whole("--simulations", options.simulations, 1)
    config, digests = _start(options)
    found, too_large, impossible = _candidates(options, config, report)
    with open_journal(out / JOURNAL, "a search") as journal, Processes(options.workers) as processes:
        run = _Run(options, digests, journal, processes, report)
        start = run.simulate([_as_candidate(config, options)])[0]
        points, proved = run.search(found)
    return {
        "schema": SCHEMA,
        "traces": [{"path": str(path), "sha256": digest} for path, digest in digests.items()],
        "budget_mm2": options.budget_mm2,
        "grid": {key: list(values) for key, values in parse_space(options.vary).items()},
        "machines": len(found) + too_large + impossible,
        "within_budget": len(found),
        "too_large": too_large,
        "impossible": impossible,
        "proved": proved,
        "start": _described(start, start),
        "best": _described(points[0], start),
        "front": [_described(point, start) for point in pareto([start, *points], options.budget_mm2)],
        "points": [_described(point, start) for point in points],
    }


def pareto(points: Sequence[Point], budget_mm2: float) -> list[Point]:
    """Return the points within the budget than which none is both smaller and faster, by area."""
    good = [p for p in points if p.error is None and p.candidate.area_mm2.nominal <= budget_mm2]
    front: list[Point] = []
    for point in sorted(good, key=lambda p: (p.candidate.area_mm2.nominal, p.time_ps, p.candidate.number)):
        if not front or point.time_ps < front[-1].time_ps:
            front.append(point)
    return front


def _start(options: SearchOptions) -> tuple[Config, dict[Path, str]]:
    """The configuration that the grid varies, and every trace with its digest."""
    digests: dict[Path, str] = {}
    configs: list[Config] = []
    for path in options.traces:
        with open_trace(path) as trace:
            digests[path] = trace.digest
            configs.append(config_for_trace(trace.arithmetic, options.config, options.overrides))
        if configs[-1].contract != configs[0].contract:
            raise InputError("the traces are of different arithmetic", "--trace", str(path), str(options.traces[0]))
    return configs[0], digests


def _candidates(options: SearchOptions, config: Config, report: Report) -> tuple[list[Candidate], int, int]:
    """Machines within the budget in the order of their guesses, and how many are too large or cannot be."""
    traces = [open_trace(path) for path in options.traces]
    steps = tuple((trace.network, _images(trace, options)) for trace in traces)
    grid = list(machines(config, parse_space(options.vary), steps))
    bounds = [_bounds(trace, options) for trace in traces]
    found: list[Candidate] = []
    too_large = impossible = 0
    smallest: Machine | None = None
    least_area = float("inf")
    for number, machine in enumerate(grid):
        if number % 100 == 0:
            report("bounds", number, len(grid))
        area = chip_area(machine.config).area_mm2
        if area.nominal < least_area:
            smallest, least_area = machine, area.nominal
        if area.nominal > options.budget_mm2:
            too_large += 1
            continue
        try:
            made = [one.bound(machine.config) for one in bounds]
        except InputError:
            impossible += 1
            continue
        found.append(_candidate(number, machine, area, made))
    for trace in traces:
        trace.close()
    if not found:
        if smallest is not None and impossible == 0:
            check_budget(chip_area(smallest.config), options.budget_mm2, "--budget-mm2")
        raise InputError("no machine of the grid can hold the network within the budget", "--vary", impossible)
    return sorted(found, key=lambda c: (c.guess_ps, c.area_mm2.nominal, c.number)), too_large, impossible


def _images(trace: Trace, options: SearchOptions) -> int:
    return trace.batch if options.images is None else options.images


def _bounds(trace: Trace, options: SearchOptions) -> Bounds:
    step = first_images(trace, _images(trace, options))
    return Bounds(step, StepCounts(step))


def _candidate(number: int, machine: Machine, area: Range, bounds: Sequence[Bound]) -> Candidate:
    least, guess = sum(bound.least_ps for bound in bounds), sum(bound.guess_ps for bound in bounds)
    return Candidate(number, machine, area, least, guess)


def _as_candidate(config: Config, options: SearchOptions) -> Candidate:
    """The configuration that the search starts from, to compare with."""
    made = []
    for path in options.traces:
        with open_trace(path) as trace:
            made.append(_bounds(trace, options).bound(config))
    return _candidate(-1, Machine((), config), chip_area(config).area_mm2, made)


class _Run:
    """One search under way."""

    def __init__(
        self,
        options: SearchOptions,
        digests: Mapping[Path, str],
        journal: Journal[str, Done],
        runner: Runner,
        report: Report,
    ) -> None:
        self._options = options
        self._digests = digests
        self._journal = journal
        self._runner = runner
        self._report = report

    def search(self, candidates: Sequence[Candidate]) -> tuple[list[Point], bool]:
        """Return the simulated points, the fastest first, and whether the fastest is the fastest of the grid."""
        budget, most = self._options.budget_mm2, self._options.simulations
        firsts = [next((c for c in candidates if c.area_mm2.nominal <= share * budget), None) for share in FRONT_SHARES]
        front = list(dict.fromkeys(c.number for c in firsts if c is not None))[: most // 2]
        left = list(candidates)
        points = self.simulate([c for c in left if c.number in front])
        left = [c for c in left if c.number not in front]
        while left and len(points) < most:
            chosen = left[: min(ROUND, most - len(points))]
            points += self.simulate(chosen)
            self._report("simulation", len(points), most)
            best = min(point.time_ps for point in points)
            left = [c for c in left[len(chosen) :] if c.least_ps < best]
        points.sort(key=lambda p: (p.time_ps, p.candidate.area_mm2.nominal, p.candidate.number))
        if points[0].error is not None:
            raise InputError(f"no machine can be simulated; the first says: {points[0].error}", "search")
        return points, not left

    def simulate(self, chosen: Sequence[Candidate]) -> list[Point]:
        """Simulate every trace on some machines."""
        tasks = {
            candidate.number: [self._task(candidate, path) for path in self._options.traces] for candidate in chosen
        }
        everything = [task for made in tasks.values() for task in made]
        found = simulate_all(everything, self._journal, self._runner)
        return [_point(c, [found[task.key] for task in tasks[c.number]]) for c in chosen]

    def _task(self, candidate: Candidate, path: Path) -> Task:
        with open_trace(path) as trace:
            images = _images(trace, self._options)
        settings = candidate.machine.config.model_dump(mode="json")
        return Task(f"machine {candidate.number}", path, self._digests[path], images, settings, measure)


def _point(candidate: Candidate, steps: Sequence[Measurement]) -> Point:
    errors = [step[ERROR] for step in steps if ERROR in step]
    if errors:
        return Point(candidate, float("inf"), None, errors[0])
    energy = Range.total(Range(**step["energy_pj"]) for step in steps)
    return Point(candidate, float(sum(step["time_ps"] for step in steps)), energy)


def _described(point: Point, start: Point) -> dict[str, Any]:
    candidate = point.candidate
    good = point.energy_pj is not None
    return {
        "changes": dict(candidate.machine.choice),
        "area_mm2": candidate.area_mm2.to_dict(),
        "least_s": candidate.least_ps / PS_PER_S,
        "time_s": point.time_ps / PS_PER_S if good else None,
        "energy_j": (point.energy_pj / PJ_PER_J).to_dict() if point.energy_pj is not None else None,
        "times_faster": start.time_ps / point.time_ps if good and start.energy_pj is not None else None,
        "error": point.error,
        "config": candidate.machine.config.model_dump(mode="json"),
    }
