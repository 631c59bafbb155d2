"""Simulates chips and clusters in processes; what an earlier study in the same folder has simulated is taken over."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from tlm.analysis.cluster.chip_step import step_times
from tlm.analysis.cluster.collective import Links
from tlm.analysis.cluster.full import simulate_cluster
from tlm.analysis.cluster.overlap import StepTimes
from tlm.analysis.cluster.points import Captured
from tlm.analysis.open_traces import OpenTraces
from tlm.config import check_config
from tlm.journal import Journal, run_identity
from tlm.processes import Died, Pool

JOURNAL = "scaling.journal"
Result = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One simulation: a chip by itself on its share of the trace, or with `links` a whole cluster."""

    trace: Path
    digest: str
    captured: Captured
    shares: tuple[tuple[int, int], ...]
    """(first, count) of the micro-batches of each chip."""
    hold: bool
    links: Links | None
    settings: dict[str, Any] = field(compare=False)
    """The configuration as plain data."""

    @property
    def key(self) -> str:
        """The same for the same trace, images, configuration, links and programs."""
        table = Path(str(self.settings["dram"].get("standard")))  # a name, or a user's own table
        own = table.read_text(encoding="utf-8") if table.is_file() else ""
        what = f"{self.captured} {self.shares} {self.hold} {self.links}"
        return run_identity([self.digest, what, json.dumps(self.settings, sort_keys=True), own])


def times_of(result: Result) -> StepTimes:
    """Return the times of a chip by itself."""
    return StepTimes(tuple(result["ready_ps"]), tuple(result["updated_ps"]), result["end_ps"])


class Worker:
    """Simulates one task after the other; traces stay open."""

    def __init__(self) -> None:
        self._traces = OpenTraces()

    def run(self, task: Task) -> Result:
        """Return the times of a task's step as plain data."""
        trace, counts = self._traces.get(task.trace)
        config = check_config(task.settings, "configuration")
        shares = [task.captured.share(first, count) for first, count in task.shares]
        if task.links is not None:
            return {"end_ps": simulate_cluster(trace, config, shares, task.links, counts)}
        times = step_times(trace, config, shares[0], counts, task.hold)
        return {"ready_ps": times.ready_ps, "updated_ps": times.updated_ps, "end_ps": times.end_ps}

    def close(self) -> None:
        """Close the traces."""
        self._traces.close()


def simulate_all(
    tasks: Sequence[Task], out: Path, workers: int | None, report: Callable[[int, int], None]
) -> dict[Task, Result]:
    """Return the result of every task, each of which is kept in the folder `out` as soon as it is there.

    Raises what the simulations raise, and InputError where a process died again and again.
    """
    journal: Journal[str, Result] = Journal(out / JOURNAL, "the study", dict, dict)
    with journal:
        if not journal.recording:
            raise InputError("another study is being written into this folder", "--out", str(out))
        keys = {task: task.key for task in tasks}
        found = {task: journal.done[key] for task, key in keys.items() if key in journal.done}
        report(len(found), len(keys))
        left = sorted((task for task in keys if task not in found), key=_micro_batches, reverse=True)
        with closing(_run(left, workers)) as finished:
            for task, result in finished:
                if isinstance(result, Died):
                    what = f"the process of a simulation died {result.times} times: out of memory?"
                    raise InputError(what, "study scaling")
                journal.add(keys[task], result)
                found[task] = result
                report(len(found), len(keys))
    return found


def _micro_batches(task: Task) -> int:
    """How much there is to simulate: the longest first, so that the processes end together."""
    return sum(count for _, count in task.shares)


def _run(tasks: Sequence[Task], workers: int | None) -> Generator[tuple[Task, Result | Died], None, None]:
    count = min(workers or len(os.sched_getaffinity(0)), len(tasks))
    if count < 2:
        worker = Worker()
        try:
            for task in tasks:
                yield task, worker.run(task)
        finally:
            worker.close()
        return
    yield from Pool(count, _start_process, terminate=True).run(tasks, _run_in_process)


_process: dict[str, Worker] = {}


def _start_process() -> None:
    _process["worker"] = Worker()


def _run_in_process(task: Task) -> Result:
    return _process["worker"].run(task)
