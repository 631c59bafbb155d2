"""Runs jobs in processes of their own, one a processor; those of a process that dies are run again."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rtl_models.reference.threads import set_threads
from rtl_models.simulators import SimulatorError
from tlm.cosim.runner import Outcome

if TYPE_CHECKING:
    from tlm.cosim.everything import Job, JobRunner, Setting

MOST_DEATHS = 3  # of processes, while the same job was under way

Finished = Generator["tuple[Job, Outcome]", None, None]

_worker: dict[str, JobRunner] = {}


def run_jobs(jobs: Sequence[Job], setting: Setting, processes: int | None = None) -> Finished:
    """Yield every job with its outcome, in the order in which they finish.

    `processes` None is one a processor; 1 runs all in this process. Raises SimulatorError where processes have died
    `MOST_DEATHS` times while the same job was under way.
    """
    count = min(processes or len(os.sched_getaffinity(0)), len(jobs))
    return _here(jobs, setting) if count < 2 else _in_pools(jobs, setting, count)


def _here(jobs: Sequence[Job], setting: Setting) -> Finished:
    runner = setting.open()
    try:
        for job in jobs:
            yield job, runner.run(job)
    finally:
        runner.close()


def _in_pools(jobs: Sequence[Job], setting: Setting, processes: int) -> Finished:
    """Run jobs in a pool; when one of its processes dies, in a new pool, with the jobs that had not finished first."""
    waiting = deque(jobs)
    deaths: Counter[int] = Counter()
    while waiting:
        running: dict[Future[Outcome], Job] = {}
        try:
            yield from _in_pool(waiting, running, setting, processes)
        except BrokenProcessPool as error:
            lost = []
            for future, job in running.items():
                if future.done() and not future.cancelled() and future.exception() is None:
                    yield job, future.result()
                    continue
                lost.append(job)
                deaths[job.number] += 1
                if deaths[job.number] == MOST_DEATHS:
                    what = f"processes died {MOST_DEATHS} times while {job.engine} of layer {job.layer}"
                    rows = f"rows {job.rows.start}..{job.rows.stop - 1}"
                    raise SimulatorError("co-simulation", f"{what}, {rows}, was under way: out of memory?") from error
            waiting.extendleft(reversed(lost))


def _in_pool(waiting: deque[Job], running: dict[Future[Outcome], Job], setting: Setting, processes: int) -> Finished:
    """Give jobs to fresh processes, the next when one is done, so that a failure or Ctrl-C leaves few under way."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_start_worker, initargs=(setting,)) as pool:
        try:
            while waiting or running:
                while waiting and len(running) <= processes:
                    with _interrupt_blocked():
                        running[pool.submit(_run_job, waiting[0])] = waiting[0]
                    waiting.popleft()
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    outcome = future.result()
                    yield running.pop(future), outcome
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupt_blocked() -> Iterator[None]:
    """Keep Ctrl-C from processes that are started here: theirs is the parent's to answer, their start-up included."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(setting: Setting) -> None:
    set_threads(1)  # every processor has a process of its own
    _worker["runner"] = setting.open()


def _run_job(job: Job) -> Outcome:
    return _worker["runner"].run(job)
