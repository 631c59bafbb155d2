"""Training on a data set: a loop that can stop after any step and go on later with the same bits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from workloads.atomic import check_writable
from workloads.checkpoint import EpochResult, Progress, read_checkpoint, write_checkpoint
from workloads.dataset import Samples, SampleSource, as_inputs
from workloads.learner import Learner, make_learner
from workloads.network import Network
from workloads.record import StepRecord
from workloads.sealed_file import open_sealed
from workloads.trace_file import write_trace
from workloads.trace_schema import TRACE
from workloads.training_settings import FLOAT32, TrainingSettings

_LARGEST_EVALUATION_BATCH = 72
SAVE_SECONDS = 300.0  # of work that a killed process may lose
_EVALUATION_BYTES = 1 << 28  # of potentials, spikes, masks and sums that an evaluation holds at once


@dataclass(frozen=True)
class TrainingResult:
    """How a call of ``train`` ended; `started_at` is the step it went on from (all steps: there was nothing to do)."""

    progress: Progress
    started_at: int

    @property
    def loss(self) -> float:
        """Mean over the steps of the last epoch, or of the part of it that the run had."""
        return self.progress.history[-1].loss

    @property
    def held_out_accuracy(self) -> float:
        """Share of the held-out images, 0..1, that are told right after the last step."""
        return self.progress.history[-1].held_out_accuracy

    def __repr__(self) -> str:
        steps, accuracy = self.progress.step, self.held_out_accuracy
        return f"TrainingResult({steps} steps, loss {self.loss:.3f}, held-out accuracy {accuracy:.1%})"


def train(
    settings: TrainingSettings,
    trace: Path | None = None,
    checkpoint: Path | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    learner: Learner | None = None,
) -> TrainingResult:
    """Train to the end, from the checkpoint if there is one; the captured step's record is written to `trace`.

    The checkpoint is written after every epoch, captured step and five minutes, at the end and on Ctrl-C; a run that
    went on from it has the same bits as one that was never interrupted. `report` is called after every step. `learner`
    replaces the one that `settings` names. Raises InputError for settings that cannot be used, another run's
    checkpoint, a folder that cannot be written, and a captured trace that has disappeared.
    """
    settings.check()
    if settings.learner == FLOAT32 and trace is not None:
        raise InputError("the float32 baseline has no trace", "learner", FLOAT32, "machine")
    for path in (trace, checkpoint):
        if path is not None:
            check_writable(path)
    progress = None if checkpoint is None else read_checkpoint(checkpoint, settings.to_dict())
    if progress is not None and trace is not None:
        _check_captured(settings, progress, trace)
    if progress is not None and progress.step == settings.steps:
        return TrainingResult(progress, settings.steps)
    learner = learner or make_learner(settings)
    if progress is None:
        progress = Progress(state=learner.initial_state())
    started_at = progress.step
    captures = {} if trace is None else {settings.capture: trace}
    progress = take_steps(settings, learner, progress, captures, checkpoint, settings.to_dict(), report)
    return TrainingResult(progress, started_at)


def accuracy(settings: TrainingSettings, learner: Learner, progress: Progress, samples: SampleSource) -> float:
    """Share of `samples`, 0..1, whose largest logit is that of their label."""
    correct = 0
    batch = evaluation_batch(settings.network)
    for start in range(0, len(samples.labels), batch):
        chosen = samples.take(np.arange(start, min(start + batch, len(samples.labels))))
        logits = learner.logits(progress.state, as_inputs(chosen.images, settings.network))
        correct += _correct(logits, chosen.labels)
    return correct / len(samples.labels)


def evaluation_samples(settings: TrainingSettings) -> SampleSource:
    """The held-out images that accuracy is measured on: all, or as many as `settings` allow, at even distances."""
    held_out = settings.dataset.load().held_out
    images, evaluated = len(held_out.labels), settings.evaluated_images
    if evaluated == images:
        return held_out
    return held_out.take((2 * np.arange(evaluated) + 1) * images // (2 * max(1, evaluated)))


def evaluation_batch(network: Network) -> int:
    """Images that an evaluation runs at once: as many as memory allows, which changes no bit of their logits."""
    neurons = sum(layer.out_positions * layer.out_channels for layer in network.layers)
    image_bytes = network.timesteps * neurons * (4 + 1 + 1 + 4)
    return max(1, min(_LARGEST_EVALUATION_BATCH, _EVALUATION_BYTES // image_bytes))


def take_steps(
    settings: TrainingSettings,
    learner: Learner,
    progress: Progress,
    captures: Mapping[int, Path],
    checkpoint: Path | None,
    kept: dict[str, Any],
    report: Callable[[Progress], None],
    last: int | None = None,
) -> Progress:
    """Take the steps that are left up to step `last` (None: all); records of the steps in `captures` become traces.

    The checkpoint, which names the run by `kept`, is written after every epoch, captured step and five minutes, at the
    end and on Ctrl-C. `progress` is replaced whole after each step, so an interruption finds it consistent.
    """
    last = settings.steps if last is None else last
    saved_at = time.monotonic()

    def save() -> None:
        if checkpoint is not None:
            write_checkpoint(checkpoint, kept, progress)

    try:
        for batch in _batches(settings, progress.step, last):
            progress = _advance(settings, learner, progress, batch, captures)
            step = progress.step
            due = time.monotonic() - saved_at > SAVE_SECONDS
            if due or step in captures or step % settings.steps_per_epoch == 0 or step == last:
                save()
                saved_at = time.monotonic()
            report(progress)
    except KeyboardInterrupt:
        save()
        raise
    return progress


def _batches(settings: TrainingSettings, done: int, last: int) -> Iterator[Samples]:
    """Batches of steps `done` + 1 to `last`."""
    while done < last:
        epoch, first = divmod(done, settings.steps_per_epoch)
        for batch in settings.dataset.epoch_batches(settings.seed, epoch, settings.batch, first):
            if done == last:
                return
            yield batch
            done += 1


def _advance(
    settings: TrainingSettings, learner: Learner, progress: Progress, batch: Samples, captures: Mapping[int, Path]
) -> Progress:
    """Take one step, capture it if it is the one, and close the epoch if it is the epoch's last."""
    started = time.monotonic()
    number = progress.step + 1
    optimiser = settings.optimiser(number, progress.state.scale_log2)
    captured = progress.captured
    path, part = captures.get(number), settings.captured_images
    if path is not None and part < settings.batch:
        few = as_inputs(batch.images[:part], settings.network)
        record = learner.step(progress.state, few, batch.labels[:part], optimiser, number, capture=True).record
        captured, path = _write(record, path), None
    inputs = as_inputs(batch.images, settings.network)
    outcome = learner.step(progress.state, inputs, batch.labels, optimiser, number, path is not None)
    if path is not None:
        captured = _write(outcome.record, path)
    progress = replace(
        progress,
        state=outcome.state,
        step=number,
        loss=outcome.loss,
        loss_sum=progress.loss_sum + outcome.loss,
        correct=progress.correct + _correct(outcome.logits, batch.labels),
        skipped_steps=progress.skipped_steps + outcome.skipped,
        nonfinite=progress.nonfinite + outcome.nonfinite,
        subnormal=progress.subnormal + outcome.subnormal,
        captured=captured,
        observed=progress.observed if outcome.observed is None else (*progress.observed, outcome.observed),
    )
    if number % settings.steps_per_epoch == 0 or number == settings.steps:
        progress = _close_epoch(settings, learner, progress)
    return replace(progress, seconds=progress.seconds + time.monotonic() - started)


def _close_epoch(settings: TrainingSettings, learner: Learner, progress: Progress) -> Progress:
    """Add the running epoch to the history, with the held-out accuracy after it."""
    epoch = (progress.step - 1) // settings.steps_per_epoch
    held_out = evaluation_samples(settings)
    steps = progress.step - epoch * settings.steps_per_epoch
    result = EpochResult(
        epoch=epoch + 1,
        steps=steps,
        loss=progress.loss_sum / steps,
        accuracy=progress.correct / (steps * settings.batch),
        held_out_accuracy=accuracy(settings, learner, progress, held_out) if len(held_out.labels) else math.nan,
    )
    return replace(progress, loss_sum=0.0, correct=0, history=(*progress.history, result))


def _check_captured(settings: TrainingSettings, progress: Progress, trace: Path) -> None:
    """Raise InputError if the run is past its captured step and the trace is not the one it wrote."""
    if progress.step < settings.capture:
        return
    what = "training is past the captured step, but its trace is not there; remove the checkpoint to start again"
    if not trace.exists():
        raise InputError(what, str(trace))
    file, digest = open_sealed(trace, TRACE)
    file.close()
    if digest != progress.captured:
        raise InputError(what, str(trace), digest, progress.captured)


def _write(record: StepRecord | None, path: Path) -> str:
    """Write the record of a captured step and return its SHA-256."""
    if record is None:
        raise ValueError(f"{path}: the learner made no record of a captured step")
    return write_trace(record, path)


def _correct(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> int:
    """Number of samples whose largest logit (the first, of equals) is that of their label."""
    return int(np.count_nonzero(logits.argmax(axis=-1) == labels))
