"""The runs of a comparison of number formats: one for each format and seed, resumable, several at once."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import rtl_models
import workloads
from rtl_models.errors import InputError
from tlm.journal import run_identity
from tlm.processes import Died, Pool
from workloads.checkpoint import Progress, read_checkpoint
from workloads.learner import make_learner
from workloads.observer import ObservingLearner
from workloads.trainer import take_steps
from workloads.training_settings import FLOAT32, TrainingSettings

Result = dict[str, Any]
"""What is kept of a run, as JSON holds it: "history" by epoch, "observed" by step, "skipped_steps" and "seconds"."""
Report = Callable[[str, int, int], None]
"""Called with (phase, done, in all) as the runs go on."""


@dataclass(frozen=True)
class Run:
    """A training run in the format called `label`, whose stored values are counted at `points` of its steps."""

    label: str
    settings: TrainingSettings
    points: int

    @property
    def name(self) -> str:
        """What tells the run from the others."""
        return f"{self.label} seed {self.settings.seed}"

    @property
    def kept(self) -> dict[str, Any]:
        """Everything that decides the outcome, as plain values."""
        return self.settings.to_dict() | {"points": self.points}

    @cached_property
    def key(self) -> str:
        """The same for the same settings and programs."""
        return run_identity([json.dumps(self.kept, sort_keys=True)], (rtl_models, workloads))

    @property
    def observed(self) -> tuple[int, ...]:
        """Steps, from 1, at even distances from the first to the last; none in float32, which counts nothing."""
        if self.settings.learner == FLOAT32:
            return ()
        steps, last = self.settings.steps, max(1, self.points - 1)
        return tuple(dict.fromkeys(1 + number * (steps - 1) // last for number in range(self.points)))

    def checkpoint(self, folder: Path) -> Path:
        """The file in `folder` from which the run goes on."""
        return folder / f"{self.key}.checkpoint"


def train_run(
    run: Run,
    folder: Path,
    stopping: Callable[[], bool] = lambda: False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Result:
    """Train to the end, from the checkpoint in `folder` if there is one, and return what is kept.

    The checkpoint is written as in `workloads.trainer.train`; once `stopping` says so, after the step under way, and
    KeyboardInterrupt follows.
    """
    checkpoint = run.checkpoint(folder)
    learner = ObservingLearner(make_learner(run.settings), run.observed)
    progress = read_checkpoint(checkpoint, run.kept) or Progress(state=learner.initial_state())

    def after_step(now: Progress) -> None:
        report(now)
        if stopping() and now.step < run.settings.steps:
            raise KeyboardInterrupt

    progress = take_steps(run.settings, learner, progress, {}, checkpoint, run.kept, after_step)
    return {
        "history": [asdict(epoch) for epoch in progress.history],
        "observed": list(progress.observed),
        "skipped_steps": progress.skipped_steps,
        "seconds": progress.seconds,
    }


def train_runs(
    runs: Sequence[Run], folder: Path, workers: int | None, report: Report
) -> Generator[tuple[Run, Result], None, None]:
    """Yield every run with what is kept of it, in the order in which they finish.

    `workers` processes (None: one a processor) train one run each; a single one is this process itself. When the
    iteration ends early, each keeps its steps in its checkpoint. Raises InputError if a run's process keeps dying.
    """
    count = min(len(runs), workers or len(os.sched_getaffinity(0)))
    if count < 2:
        for run in runs:
            yield run, train_run(run, folder, report=partial(_report_step, report, run))
        return
    pool = Pool(count, _start_process, (folder,), terminate=True)
    for run, result in pool.run(runs, _train_in_process):
        if isinstance(result, Died):
            raise InputError(f"its process died {result.times} times: out of memory?", run.name)
        yield run, result


def _report_step(report: Report, run: Run, progress: Progress) -> None:
    report(run.name, progress.step, run.settings.steps)


_stopping = threading.Event()
_folder: list[Path] = []


def _start_process(folder: Path) -> None:
    """Let SIGTERM, which is what an interrupted parent sends, end the run after its step."""
    _folder[:] = [folder]
    signal.signal(signal.SIGTERM, lambda *_: _stopping.set())


def _train_in_process(run: Run) -> Result:
    if _stopping.is_set():
        raise KeyboardInterrupt
    return train_run(run, _folder[0], _stopping.is_set)
