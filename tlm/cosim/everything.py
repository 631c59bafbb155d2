"""Runs every row stream of a trace through one simulator, in jobs of bounded memory, on all processors."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rtl_models.reference.threads import set_threads
from rtl_models.simulators import simulator_by_name
from tlm.cosim.cases import row_geometry
from tlm.cosim.expected import Reference
from tlm.cosim.geometry import FORWARD, StepGeometry, StreamKey
from tlm.cosim.prepare import deepest, stream_cycles, whole_case
from tlm.cosim.runner import Outcome, Prepared, RowUnit, run_cases
from tlm.cosim.streams import StreamReader
from workloads.trace_file import open_trace

MOST_BEATS = 1 << 18  # index beats simulated in one call: about 100 bytes each
JOB_CYCLES = 1 << 20  # cycles of a job, about a second of a Verilated row of 16 lanes
SMALL_CYCLES = 1 << 18  # fewer are not worth starting processes for


@dataclass(frozen=True)
class Job:
    """Some rows of an engine and layer, in ascending micro-batches (the sums of a weight update go on through them)."""

    engine: str
    layer: int
    micro_batches: tuple[int, ...]
    rows: range
    cycles: int

    def keys(self, geometry: StepGeometry) -> Iterator[StreamKey]:
        """Keys of the job's streams, a weight gradient's micro-batches in order."""
        for micro_batch in self.micro_batches:
            blocks = range(len(geometry.shape(self.engine, self.layer, micro_batch).blocks))
            for block in blocks:
                for row in self.rows:
                    yield StreamKey(self.engine, self.layer, micro_batch, row, block)


def cut_jobs(geometry: StepGeometry) -> list[Job]:
    """Cut all streams of a step into jobs of about `JOB_CYCLES`, at least one row each."""
    jobs = []
    everything = tuple(batch.index for batch in geometry.micro_batches)
    for engine, layer in geometry.strata:
        together = [(index,) for index in everything] if engine == FORWARD else [everything]
        for batches in together:
            per_row = sum(
                stream_cycles(StreamKey(engine, layer, batch, 0, block), geometry)
                for batch in batches
                for block in range(len(geometry.shape(engine, layer, batch).blocks))
            )
            rows = geometry.shape(engine, layer, batches[0]).work.rows
            step = max(1, JOB_CYCLES // per_row)
            for first in range(0, rows, step):
                part = range(first, min(first + step, rows))
                jobs.append(Job(engine, layer, batches, part, per_row * len(part)))
    return jobs


class JobRunner:
    """Runs jobs on one trace, one after the other."""

    def __init__(self, path: Path, geometry: StepGeometry, simulator: str, seed: int, row_unit: RowUnit) -> None:
        self._trace = open_trace(path)
        self._reader = StreamReader(self._trace, geometry)
        self._reference = Reference(self._reader)
        self._simulator = simulator_by_name(simulator)
        self._geometry = geometry
        self._row = row_geometry(geometry.config, deepest(geometry))
        self._seed = seed
        self._row_unit = row_unit

    def run(self, job: Job) -> Outcome:
        """Run a job in calls of at most `MOST_BEATS` beats; ends with the first failing case."""
        outcome = Outcome()
        batch: list[Prepared] = []
        beats = 0
        for key in job.keys(self._geometry):
            expectation = self._reference.expect(key)
            length = len(expectation.task.indices)
            if batch and beats + length > MOST_BEATS:
                outcome.add(self._run(batch))
                if outcome.failing is not None:
                    return outcome
                batch, beats = [], 0
            batch.append(Prepared(key, whole_case(self._geometry, expectation, self._seed), expectation))
            beats += length
        outcome.add(self._run(batch))
        return outcome

    def close(self) -> None:
        """Close the trace."""
        self._trace.close()

    def _run(self, batch: list[Prepared]) -> Outcome:
        return run_cases(self._simulator, self._row, self._row_unit, batch)


_worker: dict[str, JobRunner] = {}


def run_everything(
    path: Path,
    geometry: StepGeometry,
    simulator: str,
    seed: int,
    row_unit: RowUnit,
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Run every stream of the trace file `path`; `progress` is called with (cycles done, cycles in all)."""
    jobs = cut_jobs(geometry)
    total = sum(job.cycles for job in jobs)
    processes = min(len(os.sched_getaffinity(0)), len(jobs))
    setting = (path, geometry, simulator, seed, row_unit)
    outcome = Outcome()
    done = 0
    results = _here(jobs, setting) if total < SMALL_CYCLES or processes < 2 else _in_pool(jobs, setting, processes)
    try:
        for job, part in results:
            outcome.add(part)
            done += job.cycles
            if progress is not None:
                progress(done, total)
            if outcome.failing is not None:
                break
    finally:
        results.close()
    return outcome


_Setting = tuple[Path, StepGeometry, str, int, RowUnit]
_Results = Generator[tuple[Job, Outcome], None, None]


def _here(jobs: list[Job], setting: _Setting) -> _Results:
    runner = JobRunner(*setting)
    try:
        for job in jobs:
            yield job, runner.run(job)
    finally:
        runner.close()


def _in_pool(jobs: list[Job], setting: _Setting, processes: int) -> _Results:
    """Give jobs to fresh processes, the next when one is done, so that a failure or Ctrl-C leaves few under way."""
    context = multiprocessing.get_context("spawn")
    waiting = iter(jobs)
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_start_worker, initargs=setting) as pool:
        running: dict[Future[Outcome], Job] = {}
        try:
            for job in waiting:
                with _interrupt_blocked():
                    running[pool.submit(_run_job, job)] = job
                if len(running) <= processes:
                    continue
                yield from _finished(running)
            while running:
                yield from _finished(running)
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


def _finished(running: dict[Future[Outcome], Job]) -> _Results:
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        yield running.pop(future), future.result()


def _start_worker(path: Path, geometry: StepGeometry, simulator: str, seed: int, row_unit: RowUnit) -> None:
    set_threads(1)  # every processor has a process of its own
    _worker["runner"] = JobRunner(path, geometry, simulator, seed, row_unit)


def _run_job(job: Job) -> Outcome:
    return _worker["runner"].run(job)
