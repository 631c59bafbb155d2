"""Simulates steps in processes: what does not depend on the configuration is counted once for each trace."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from tlm.analysis.evaluation.measure import Measurement, measure
from tlm.analysis.open_traces import OpenTraces
from tlm.config import check_config
from tlm.journal import Journal, run_identity
from tlm.kernel.errors import KernelError
from tlm.processes import Died, Pool

ERROR = "error"
"""The only key of what stands for the measurement of a step that could not be simulated."""


@dataclass(frozen=True)
class Task:
    """The step of the first `images` images of a trace on one configuration, as plain data that `name` is for."""

    name: str
    trace: Path
    digest: str
    images: int
    settings: dict[str, Any] = field(compare=False)

    @property
    def key(self) -> str:
        """The same for the same trace, images, configuration and programs."""
        table = Path(str(self.settings["dram"].get("standard")))  # a name, or a user's own table
        own = table.read_text(encoding="utf-8") if table.is_file() else ""
        return run_identity([self.digest, str(self.images), json.dumps(self.settings, sort_keys=True), own])


class Worker:
    """Simulates one task after the other; traces stay open."""

    def __init__(self) -> None:
        self._traces = OpenTraces()

    def run(self, task: Task) -> Measurement:
        """Return the measurement of a task, or {"error": ...} where its configuration cannot be simulated."""
        trace, counts = self._traces.get(task.trace)
        try:
            return measure(trace, check_config(task.settings, task.name), task.images, counts)
        except (InputError, KernelError) as error:
            return failure(str(error))

    def close(self) -> None:
        """Close the traces."""
        self._traces.close()


def failure(text: str) -> Measurement:
    """Return what stands for the measurement of a step that could not be simulated."""
    return {ERROR: " ".join(text.split())}


def simulate_all(
    tasks: Iterable[Task],
    journal: Journal[str, Measurement],
    workers: int | None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Measurement]:
    """Return the measurement of every task by its key; those in the journal are taken over, the others added to it."""
    by_key = {task.key: task for task in tasks}
    found = {key: journal.done[key] for key in by_key if key in journal.done}
    left = [(key, task) for key, task in by_key.items() if key not in found]
    report(len(found), len(by_key))
    with closing(_run(left, workers)) as finished:
        for (key, _), result in finished:
            if isinstance(result, Died):
                found[key] = failure(f"its process died {result.times} times: out of memory?")
            else:
                found[key] = result
                journal.add(key, result)
                journal.done[key] = result
            report(len(found), len(by_key))
    return found


def open_journal(path: Path, what: str) -> Journal[str, Measurement]:
    """Open the journal at `path`; raises InputError where another process writes it, or it cannot be written."""
    journal: Journal[str, Measurement] = Journal(path, what, dict, dict)
    if not journal.recording:
        journal.__exit__(None, None, None)
        raise InputError(f"{what} is being written into this folder by another process", "--out", str(path.parent))
    return journal


_Keyed = tuple[str, Task]


def _run(tasks: Sequence[_Keyed], workers: int | None) -> Generator[tuple[_Keyed, Measurement | Died], None, None]:
    count = min(workers or len(os.sched_getaffinity(0)), len(tasks))
    if count < 2:
        worker = Worker()
        try:
            for entry in tasks:
                yield entry, worker.run(entry[1])
        finally:
            worker.close()
        return
    yield from Pool(count, _start_process, terminate=True).run(tasks, _run_in_process)


_process: dict[str, Worker] = {}


def _start_process() -> None:
    _process["worker"] = Worker()


def _run_in_process(entry: _Keyed) -> Measurement:
    return _process["worker"].run(entry[1])
