"""Runs tasks in processes of their own; those of a process that dies are run again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

from rtl_models.reference.threads import set_threads

MOST_DEATHS = 3  # of processes, while the same task was under way

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Died:
    """What stands for the result of a task while which processes have died `times` times."""

    times: int


@dataclass
class Pool:
    """How many processes there are, and what each does before its first task.

    When a run ends early, the tasks under way are waited for, or with `terminate` ended. The processes end with their
    run, or inside a `with` of the pool with that: the next run finds them there.
    """

    processes: int
    start: Callable[..., None]
    arguments: tuple[Any, ...] = ()
    terminate: bool = False
    _kept: bool = field(default=False, init=False)
    _executor: ProcessPoolExecutor | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        self._kept = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._kept = False
        self._end()

    def run(
        self, tasks: Sequence[Task], work: Callable[[Task], Result]
    ) -> Generator[tuple[Task, Result | Died], None, None]:
        """Yield every task with the result of `work`, in the order in which they finish.

        When a process dies, those tasks that were under way run again one by one, until the one to blame has had
        `MOST_DEATHS` and gets `Died`. What `work` raises ends the run.
        """
        waiting = deque(enumerate(tasks))
        suspects: deque[tuple[int, Task]] = deque()
        deaths: Counter[int] = Counter()
        while waiting or suspects:
            running: dict[Future[Result], tuple[int, Task]] = {}
            queue, most = (deque([suspects.popleft()]), 1) if suspects else (waiting, self.processes)
            try:
                yield from self._run_pool(queue, running, work, most)
            except BrokenProcessPool:
                suspects.extendleft(reversed(queue if queue is not waiting else ()))
                for future, (number, task) in running.items():
                    if future.done() and not future.cancelled() and future.exception() is None:
                        yield task, future.result()
                        continue
                    deaths[number] += 1
                    if deaths[number] < MOST_DEATHS:
                        suspects.append((number, task))
                    else:
                        yield task, Died(MOST_DEATHS)

    def _run_pool(
        self,
        waiting: deque[tuple[int, Task]],
        running: dict[Future[Result], tuple[int, Task]],
        work: Callable[[Task], Result],
        processes: int,
    ) -> Iterator[tuple[Task, Result]]:
        """Give tasks to processes, the next when one is done: a failure or Ctrl-C leaves few under way."""
        pool, kept = self._begin(), False
        try:
            while waiting or running:
                while waiting and len(running) <= processes:
                    with _interrupt_blocked():
                        running[pool.submit(work, waiting[0][1])] = waiting[0]
                    waiting.popleft()
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    result = future.result()
                    yield running.pop(future)[1], result
            kept = self._kept
        except BaseException:
            if self.terminate:
                for child in multiprocessing.active_children():
                    child.terminate()
            raise
        finally:
            if not kept:
                self._end()

    def _begin(self) -> ProcessPoolExecutor:
        """The processes that are there, else fresh ones."""
        if self._executor is None:
            context = multiprocessing.get_context("spawn")
            initial = (self.start, self.arguments)
            self._executor = ProcessPoolExecutor(
                self.processes, mp_context=context, initializer=_start, initargs=initial
            )
        return self._executor

    def _end(self) -> None:
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupt_blocked() -> Iterator[None]:
    """Keep Ctrl-C from processes that are started here: theirs is the parent's to answer, their start-up included."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    set_threads(1)  # every processor has a process of its own
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    start(*arguments)


def _end_with_the_parent() -> None:
    """End this process when the parent is killed, which would leave it waiting for tasks for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
