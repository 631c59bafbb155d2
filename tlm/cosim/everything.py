"""Runs every stream of a trace through one simulator, in jobs of bounded memory, on all processors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tlm.config import Config
from tlm.cosim.engine import Engine
from tlm.cosim.journal import Journal
from tlm.cosim.prepare import whole_case
from tlm.cosim.processes import run_jobs
from tlm.cosim.runner import Outcome, Prepared, run_cases
from tlm.cosim.under_test import UnderTest
from tlm.cosim.units import open_engines
from workloads.trace_file import open_trace

MOST_BEATS = 1 << 18  # beats simulated in one call: about 100 bytes each
JOB_CYCLES = 1 << 20  # cycles of a job, about a second of a Verilated row of 16 lanes
SMALL_CYCLES = 1 << 18  # fewer are not worth starting processes for


@dataclass(frozen=True)
class Job:
    """Some rows of an engine and layer, in ascending micro-batches (the sums of a weight update go on through them)."""

    number: int
    engine: str
    layer: int
    micro_batches: tuple[int, ...]
    rows: range
    cycles: int


def cut_jobs(engines: dict[str, Engine]) -> list[Job]:
    """Cut all streams of a step into jobs of about `JOB_CYCLES`, at least one row each."""
    jobs: list[Job] = []
    for name, engine in engines.items():
        everything = tuple(range(engine.micro_batch_count))
        together = [everything] if engine.accumulates else [(index,) for index in everything]
        for layer in engine.layers:
            for batches in together:
                per_row = sum(engine.row_cycles(layer, batch) for batch in batches)
                rows = engine.rows(layer, batches[0])
                step = max(1, JOB_CYCLES // per_row)
                for first in range(0, rows, step):
                    part = range(first, min(first + step, rows))
                    jobs.append(Job(len(jobs), name, layer, batches, part, per_row * len(part)))
    return jobs


@dataclass(frozen=True)
class Setting:
    """What a process needs to run jobs."""

    path: Path
    config: Config
    simulator: str
    seed: int
    under_test: UnderTest

    def open(self) -> JobRunner:
        """Open the trace."""
        return JobRunner(self)


class JobRunner:
    """Runs jobs on one trace, one after the other."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._trace = open_trace(setting.path)
        self._engines = open_engines(self._trace, setting.config)

    def run(self, job: Job) -> Outcome:
        """Run a job in calls of at most `MOST_BEATS` beats; ends with the first failing case."""
        engine = self._engines[job.engine]
        outcome = Outcome()
        batch: list[Prepared] = []
        beats = 0
        for key in engine.keys(job.layer, job.micro_batches, job.rows):
            for expectation in engine.expect(key):
                case = whole_case(engine, expectation, self._setting.seed)
                if batch and beats + case.beats > MOST_BEATS:
                    outcome.add(self._run(engine, batch))
                    if outcome.failing is not None:
                        return outcome
                    batch, beats = [], 0
                batch.append(Prepared(key, case, expectation))
                beats += case.beats
        outcome.add(self._run(engine, batch))
        return outcome

    def close(self) -> None:
        """Close the trace."""
        self._trace.close()

    def _run(self, engine: Engine, batch: list[Prepared]) -> Outcome:
        return run_cases(self._setting.simulator, engine.geometry, self._setting.under_test, batch)


def run_everything(
    setting: Setting,
    engines: dict[str, Engine],
    journal: Journal,
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Run every stream; `progress` is called with (cycles done, cycles in all, both as if nothing were left out).

    Jobs that the journal holds are taken over. Raises SimulatorError where processes die again and again.
    """
    jobs = cut_jobs(engines)
    total = sum(job.cycles for job in jobs)
    outcome = Outcome([count for counts in journal.done.values() for count in counts])
    outcome.add(Outcome())
    left = [job for job in jobs if job.number not in journal.done]
    done = total - sum(job.cycles for job in left)
    small = sum(job.cycles for job in left) < SMALL_CYCLES
    results = run_jobs(left, setting, 1 if small else None)
    try:
        for job, part in results:
            outcome.add(part)
            done += job.cycles
            if outcome.failing is not None:
                break
            journal.add(job.number, part.comparisons)
            if progress is not None:
                progress(done, total)
    finally:
        results.close()
    if outcome.failing is None:
        journal.finish()
    return outcome
