"""Runs jobs of a co-simulation in processes of their own, one a processor."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from rtl_models.simulators import SimulatorError
from tlm.cosim.runner import Outcome
from tlm.processes import Died, Pool

if TYPE_CHECKING:
    from tlm.cosim.everything import Job, JobRunner, Setting

Finished = Generator["tuple[Job, Outcome]", None, None]

_worker: dict[str, JobRunner] = {}


def run_jobs(jobs: Sequence[Job], setting: Setting, processes: int | None = None) -> Finished:
    """Yield every job with its outcome, in the order in which they finish.

    `processes` None is one a processor; 1 runs all in this process. Raises SimulatorError where processes have died
    again and again while the same job was under way.
    """
    count = min(processes or len(os.sched_getaffinity(0)), len(jobs))
    return _here(jobs, setting) if count < 2 else _in_pool(jobs, setting, count)


def _here(jobs: Sequence[Job], setting: Setting) -> Finished:
    runner = setting.open()
    try:
        for job in jobs:
            yield job, runner.run(job)
    finally:
        runner.close()


def _in_pool(jobs: Sequence[Job], setting: Setting, processes: int) -> Finished:
    for job, outcome in Pool(processes, _start_worker, (setting,)).run(jobs, _run_job):
        if isinstance(outcome, Died):
            what = f"processes died {outcome.times} times while {job.engine} of layer {job.layer}"
            rows = f"rows {job.rows.start}..{job.rows.stop - 1}"
            raise SimulatorError("co-simulation", f"{what}, {rows}, was under way: out of memory?")
        yield job, outcome


def _start_worker(setting: Setting) -> None:
    _worker["runner"] = setting.open()


def _run_job(job: Job) -> Outcome:
    return _worker["runner"].run(job)
