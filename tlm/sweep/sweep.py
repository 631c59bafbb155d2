"""A sweep from its spec to its store: every point simulated once, in a journal as soon as it is there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from tlm.analysis.simulations import ERROR, Done, Measurement, Runner, open_journal, simulate_all
from tlm.journal import Journal
from tlm.report.result import write_json
from tlm.sweep.front import front_of
from tlm.sweep.points import Point, listed_points, workload_of
from tlm.sweep.prepare import Preparation, Prepared, Report
from tlm.sweep.search import run_rounds
from tlm.sweep.spec import SweepSpec, Value, Values
from tlm.sweep.store import FAILED, FORMAT, GOOD, STORE, Row, config_keys, write_store
from tlm.sweep.summary import SUMMARY, summarise

JOURNAL = "sweep.journal"


@dataclass(frozen=True)
class SweepResult:
    """The rows of a sweep in the order of its points, its summary, and how many points were there already."""

    rows: list[Row]
    summary: dict[str, Any]
    taken_over: int


def run_sweep(
    spec: SweepSpec,
    out: Path,
    runner: Runner,
    command: str = "",
    report: Report = lambda phase, done, total: None,
) -> SweepResult:
    """Run a sweep; write `sweep.parquet` and `sweep.json` into the folder `out`.

    Every result is kept in a journal in `out` as soon as it is there, so that the same spec goes on where a killed
    sweep was and repeats nothing. A point that cannot be simulated has its `error` and stops no other. Raises
    InputError for a user's mistake, for a folder of another sweep, and, once the store is written, where every point
    failed.
    """
    preparation = Preparation(spec, report)
    listed = None if spec.search else listed_points(spec)
    preparation.check(listed if listed is not None else _corners(spec))
    with open_journal(out / JOURNAL, "a sweep") as journal:
        _claim(out, spec)
        run = _Run(preparation, journal, runner, report, len(listed) if listed is not None else _asked(spec))
        if listed is not None:
            run.simulate(listed)
        elif spec.search is not None:
            run_rounds(spec.search, len(spec.objectives), run.simulate_values)
        for number in front_of(run.rows, spec.objectives):
            run.rows[number]["on_front"] = True
        write_store(run.rows, spec, out / STORE)
        summary = summarise(run.rows, spec, command)
        write_json(summary, out / SUMMARY)
    if all(row["error"] is not None for row in run.rows):
        raise InputError(f"no point can be simulated; the first says: {run.rows[0]['error']}", "sweep")
    return SweepResult(run.rows, summary, run.taken_over)


def _claim(out: Path, spec: SweepSpec) -> None:
    """Say in the folder whose it is; raises InputError where it is another spec's or another version's."""
    path = out / SUMMARY
    if not path.exists():
        write_json({"schema": FORMAT, "complete": False, "spec": spec.to_dict()}, path)
        return
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
        schema, theirs = there["schema"], there["spec"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError("is not the summary of a sweep", str(path), allowed="another --out") from error
    if schema != FORMAT:
        raise InputError("the folder has a sweep of another version", str(path), schema, f"{FORMAT}, or another --out")
    ours = json.loads(json.dumps(spec.to_dict()))
    if theirs != ours:
        differing = sorted(key for key in {*theirs, *ours} if theirs.get(key) != ours.get(key))
        what = f"the folder has a sweep of another spec, which differs in {', '.join(differing)}"
        raise InputError(what, "--out", str(out), "another folder, or the spec that it has")


def _asked(spec: SweepSpec) -> int:
    return spec.search.points if spec.search is not None else 0


def _corners(spec: SweepSpec) -> list[Point]:
    """A point for every value of a search, the other keys at their first: enough to find what cannot be at all."""
    space = spec.search.space if spec.search is not None else {}
    first: Values = {key: values[0] for key, values in space.items()}
    chosen = [first | {key: value} for key, values in space.items() for value in values]
    return [Point(number, values, workload_of(spec, values)) for number, values in enumerate(chosen)]


@dataclass
class _Run:
    """One sweep under way."""

    preparation: Preparation
    journal: Journal[str, Done]
    runner: Runner
    report: Report
    total: int
    rows: list[Row] = field(default_factory=list)
    taken_over: int = 0
    _asked: int = 0
    _known: dict[tuple[tuple[str, Value], ...], int] = field(default_factory=dict)

    def simulate(self, points: Sequence[Point]) -> None:
        """Add the rows of some points; those in the journal are taken over."""
        prepared = [self.preparation.prepare(point) for point in points]
        tasks = [entry.task for entry in prepared if entry.task is not None]
        self.taken_over += sum(task.key in self.journal.done for task in tasks)
        before, failed = self._asked, len(prepared) - len(tasks)

        def told(done: int, _: int) -> None:
            self.report("simulation", before + failed + done, self.total)

        found = simulate_all(tasks, self.journal, self.runner, told)
        self.rows += [self._row(entry, found) for entry in prepared]
        self._asked += len(points)

    def simulate_values(self, chosen: Sequence[Values]) -> list[tuple[float, ...] | None]:
        """Return the objectives of some points of a search; one that was there before has no second row."""
        spec, keys = self.preparation.spec, [tuple(values.items()) for values in chosen]
        fresh = [key for key in dict.fromkeys(keys) if key not in self._known]
        for number, key in enumerate(fresh, start=len(self.rows)):
            self._known[key] = number
        self._asked += len(chosen) - len(fresh)
        self.simulate([Point(self._known[key], dict(key), workload_of(spec, dict(key))) for key in fresh])
        rows = [self.rows[self._known[key]] for key in keys]
        return [None if row["error"] is not None else tuple(row[name] for name in spec.objectives) for row in rows]

    def _row(self, entry: Prepared, found: dict[str, Measurement]) -> Row:
        point, trace, spec = entry.point, entry.trace, self.preparation.spec
        result = {ERROR: entry.error} if entry.task is None else found[entry.task.key]
        return {
            "point": point.number,
            "status": FAILED if result.get(ERROR) is not None else GOOD,
            "error": None,
            "on_front": False,
            "network": point.workload.network if trace is None else trace.network,
            "trace": point.workload.trace,
            "trace_sha256": None if trace is None else trace.digest,
            "timesteps": point.workload.timesteps if trace is None else trace.timesteps,
            "batch": point.workload.batch if trace is None or point.workload.batch else trace.batch,
            "images": None if entry.task is None else entry.task.images,
            **{key: point.values.get(key) for key in config_keys(spec)},
            **result,
        }
