"""Many simulations at once: each step measured in a process, kept in a journal as soon as it is there.

What does not depend on the configuration is counted once for each trace and process.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from rtl_models.errors import InputError
from tlm.analysis.open_traces import OpenTraces
from tlm.config import Config, check_config
from tlm.journal import Journal, run_identity
from tlm.kernel.errors import KernelError
from tlm.processes import Died, Pool
from tlm.schedule.step_counts import StepCounts
from workloads.trace_file import Trace

ERROR = "error"
"""The only key of what stands for the measurement of a step that could not be simulated."""

Measurement = dict[str, Any]
"""What was found in a simulated step, as JSON holds it."""
Measure = Callable[[Trace, Config, int, StepCounts], Measurement]
"""Simulates the step of a trace's first images on a configuration; something that can go to another process."""


@dataclass(frozen=True)
class Task:
    """The step of the first `images` images of a trace on one configuration, as plain data that `name` is for."""

    name: str
    trace: Path
    digest: str
    images: int
    settings: dict[str, Any] = field(compare=False)
    measure: Measure
    detail: str = ""
    """What `measure` does beside, where it may do several things with the same images."""

    @cached_property
    def key(self) -> str:
        """The same for the same trace, images, detail, configuration and programs."""
        table = Path(str(self.settings["dram"].get("standard")))  # a name, or a user's own table
        own = table.read_text(encoding="utf-8") if table.is_file() else ""
        settings = json.dumps(self.settings, sort_keys=True)
        return run_identity([self.digest, str(self.images), settings, own, self.detail])


@dataclass(frozen=True)
class Done:
    """A measurement, and what it took where: wall and processor seconds, the machine."""

    measurement: Measurement
    wall_s: float
    processor_s: float
    host: str


class Runner(Protocol):
    """Something that simulates tasks: processes of this machine, or others."""

    def run(self, tasks: Sequence[Task]) -> Generator[tuple[Task, Done | Died], None, None]:
        """Yield every task with what came of it, in the order in which they finish."""


class Worker:
    """Simulates one task after the other; traces stay open."""

    def __init__(self) -> None:
        self._traces = OpenTraces()

    def do(self, task: Task) -> Done:
        """Return the measurement of a task and what it took."""
        began_s, processor_s = time.perf_counter(), time.process_time()
        measurement = self.run(task)
        return Done(measurement, time.perf_counter() - began_s, time.process_time() - processor_s, platform.node())

    def run(self, task: Task) -> Measurement:
        """Return the measurement of a task, or {"error": ...} where its configuration cannot be simulated.

        Raises InputError where the file is not the task's trace.
        """
        trace, counts = self._traces.get(task.trace)
        if trace.digest != task.digest:
            raise InputError("is another trace than it was", str(task.trace), trace.digest, task.digest)
        try:
            return task.measure(trace, check_config(task.settings, task.name), task.images, counts)
        except (InputError, KernelError) as error:
            return failure(str(error))

    def close(self) -> None:
        """Close the traces."""
        self._traces.close()


class Processes:
    """Simulates in processes of this machine, by default one a processor; a single one is this process itself.

    They live, and traces stay open, until the end of the `with`: one call of `run` after the other finds them there.
    Raises InputError for fewer than one.
    """

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise InputError("wrong value", "--workers", workers, "a whole number >= 1")
        self._count = workers or len(os.sched_getaffinity(0))
        self._own = Worker()
        self._pool = Pool(self._count, _start_process, terminate=True)

    def run(self, tasks: Sequence[Task]) -> Generator[tuple[Task, Done | Died], None, None]:
        """Yield every task with what came of it, in the order in which they finish."""
        if min(self._count, len(tasks)) < 2:
            for task in tasks:
                yield task, self._own.do(task)
        else:
            yield from self._pool.run(tasks, _do_in_process)

    def __enter__(self) -> Self:
        self._pool.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._pool.__exit__(kind, error, where)
        self._own.close()


_process: dict[str, Worker] = {}


def _start_process() -> None:
    _process["worker"] = Worker()


def _do_in_process(task: Task) -> Done:
    return _process["worker"].do(task)


def failure(text: str) -> Measurement:
    """Return what stands for the measurement of a step that could not be simulated."""
    return {ERROR: " ".join(text.split())}


def simulate_all(
    tasks: Iterable[Task],
    journal: Journal[str, Done],
    runner: Runner,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Measurement]:
    """Return the measurement of every task by its key; those in the journal are taken over, the others added to it."""
    by_key = {task.key: task for task in tasks}
    found = {key: journal.done[key].measurement for key in by_key if key in journal.done}
    report(len(found), len(by_key))
    with closing(runner.run([task for key, task in by_key.items() if key not in found])) as finished:
        for task, done in finished:
            if isinstance(done, Died):
                found[task.key] = failure(f"its process died {done.times} times: out of memory?")
            else:
                found[task.key] = done.measurement
                journal.add(task.key, done)
                journal.done[task.key] = done
            report(len(found), len(by_key))
    return found


def open_journal(path: Path, what: str) -> Journal[str, Done]:
    """Open the journal at `path`; raises InputError where another process writes it, or it cannot be written."""
    journal: Journal[str, Done] = Journal(path, what, vars, lambda entry: Done(**entry))
    if not journal.recording:
        journal.__exit__(None, None, None)
        raise InputError(f"{what} is being written into this folder by another process", "--out", str(path.parent))
    return journal
