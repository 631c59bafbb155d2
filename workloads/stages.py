"""Traces over the stages of one training run: sparsity belongs to a stage, so a figure needs several of them.

A stage of p % is the step that completes p % of the run's steps; 0 % is the first step. Each stage is a trace file of
its own, named by network, data set, seed, batch, steps, learning rate and percentage, and is kept and used again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from rtl_models.errors import InputError
from workloads.atomic import check_writable
from workloads.checkpoint import Progress, read_checkpoint
from workloads.learner import Learner, make_learner
from workloads.record import TrainingRun
from workloads.trace_file import Trace, open_trace
from workloads.trace_statistics import LayerSparsity
from workloads.trainer import take_steps
from workloads.training_settings import MACHINE, TrainingSettings, check_whole

DEFAULT_PERCENTS = (0, 10, 50, 100)
_NOT_OF_THE_RUN = ("capture", "capture-batch", "evaluated")  # settings that change no bit of the training


@dataclass(frozen=True)
class Stage:
    """The trace at `path` of the step (from 1) that stands for `percent` % of a run; `reused` if it was there."""

    percent: int
    step: int
    path: Path
    reused: bool = False


@dataclass(frozen=True)
class StageFigures:
    """What a stage's trace says: loss and sparsity (by layer) of its step, and the run that it belongs to."""

    percent: int
    step: int
    loss: float
    skipped: bool
    training: TrainingRun | None
    layers: tuple[LayerSparsity, ...]


def capture_stages(
    settings: TrainingSettings,
    folder: Path,
    percents: Sequence[int] = DEFAULT_PERCENTS,
    report: Callable[[Progress], None] = lambda progress: None,
    learner: Learner | None = None,
) -> tuple[Stage, ...]:
    """Capture a trace at each of `percents` of one training run of `settings.steps` steps; ascending by percentage.

    `settings.capture` plays no part. Traces lie in `folder`, which is made. A stage whose trace is there, sound and of
    these settings is used again; the others are captured in one run, which goes on from its checkpoint where that
    stands before the first of them, and ends with the same bits as a run that nobody interrupted. The checkpoint stays
    beside the traces; without it a missing stage starts from the first step. `learner` replaces the machine's.

    Raises InputError for settings that cannot be used, percentages that name no step of their own, a folder that
    cannot be written, and traces or a checkpoint of the same name that belong to a run with other settings.
    """
    settings = replace(settings, capture=settings.steps)
    settings.check()
    if settings.learner != MACHINE:
        raise InputError("the float32 baseline has no traces", "learner", settings.learner, MACHINE)
    stages = plan_stages(settings, folder, percents)
    _make_folder(folder)
    stages = tuple(replace(stage, reused=_is_captured(stage, settings)) for stage in stages)
    missing = [stage for stage in stages if not stage.reused]
    if missing:
        _capture(settings, missing, checkpoint_path(settings, folder), report, learner or make_learner(settings))
    return stages


def plan_stages(settings: TrainingSettings, folder: Path, percents: Sequence[int]) -> tuple[Stage, ...]:
    """Return the stages, ascending, without capturing them; raises InputError as `capture_stages` does."""
    if not percents:
        raise InputError("at least one percentage is needed", "stages")
    stages: list[Stage] = []
    for percent in sorted(percents):
        check_whole("stages", percent, 0, 100)
        step = max(1, -(-settings.steps * percent // 100))
        if stages and stages[-1].step == step:
            what = (
                f"{stages[-1].percent} % and {percent} % of the run are the same step; take more steps or fewer stages"
            )
            raise InputError(what, "stages", f"step {step} of {settings.steps}")
        stages.append(Stage(percent, step, folder / f"{_stem(settings)}-{_part(settings)}at{percent:03d}.h5"))
    return tuple(stages)


def checkpoint_path(settings: TrainingSettings, folder: Path) -> Path:
    """Where the run of these settings keeps how far it has come."""
    return folder / f"{_stem(settings)}.checkpoint"


def read_progress(settings: TrainingSettings, folder: Path) -> Progress | None:
    """Return how far the run in `folder` has come, with its history of epochs; None where its checkpoint is gone."""
    return read_checkpoint(checkpoint_path(settings, folder), _run_settings(settings))


def stage_figures(stage: Stage) -> StageFigures:
    """Read and count a stage's trace, in bounded memory; raises InputError if it cannot be read."""
    with open_trace(stage.path) as trace:
        layers = tuple(trace.sparsity(index) for index in range(len(trace.network.layers)))
        return StageFigures(stage.percent, stage.step, trace.loss, trace.skipped, trace.training, layers)


def _capture(
    settings: TrainingSettings,
    missing: list[Stage],
    checkpoint: Path,
    report: Callable[[Progress], None],
    learner: Learner,
) -> None:
    """Train to the last of the missing stages, from the checkpoint unless it stands behind the first of them."""
    kept = _run_settings(settings)
    progress = read_checkpoint(checkpoint, kept)
    if progress is None or progress.step >= missing[0].step:
        progress = Progress(state=learner.initial_state())
    captures = {stage.step: stage.path for stage in missing}
    take_steps(settings, learner, progress, captures, checkpoint, kept, report, missing[-1].step)


def _is_captured(stage: Stage, settings: TrainingSettings) -> bool:
    """Whether the stage's trace is there and sound; one that another version wrote or that is damaged is not.

    Raises InputError, naming the first setting that differs, if it belongs to another run.
    """
    if not stage.path.exists():
        return False
    try:
        trace = open_trace(stage.path)
    except InputError:
        return False
    with trace:
        if trace.versions["h2learn"] != metadata.version("h2learn"):
            return False
        found, expected = _trace_identity(trace, settings), _expected_identity(stage, settings)
    for key, value in expected.items():
        if found[key] != value:
            what = "the trace belongs to a run with another value; give that, or another folder"
            raise InputError(what, f"{stage.path}: {key}", value, str(found[key]))
    return True


def _expected_identity(stage: Stage, settings: TrainingSettings) -> dict[str, Any]:
    network = {f"network {key}": value for key, value in settings.network.to_dict().items()}
    optimiser = settings.optimiser(stage.step, settings.scale_log2)
    return network | {
        "dataset": settings.dataset.name,
        "step": stage.step,
        "seed": settings.seed,
        "capture-batch": settings.captured_images,
        "arithmetic": settings.arithmetic,
        **_run_identity(settings.training_run),
        "momentum": float(optimiser.momentum),
        "weight-decay": float(optimiser.weight_decay),
        "dynamic-scale": settings.dynamic_scale,
        "scale-log2": None if settings.dynamic_scale else settings.scale_log2,
    }


def _trace_identity(trace: Trace, settings: TrainingSettings) -> dict[str, Any]:
    """What a trace says of itself, by the keys of `_expected_identity`."""
    network = dict.fromkeys(f"network {key}" for key in settings.network.to_dict())
    network |= {f"network {key}": value for key, value in trace.network.to_dict().items()}
    optimiser = trace.optimiser
    return network | {
        "dataset": trace.dataset,
        "step": trace.step,
        "seed": trace.seed,
        "capture-batch": trace.batch,
        "arithmetic": trace.arithmetic,
        **_run_identity(trace.training),
        "momentum": float(np.float32(optimiser.momentum)),
        "weight-decay": float(np.float32(optimiser.weight_decay)),
        "dynamic-scale": optimiser.dynamic_scale,
        "scale-log2": None if settings.dynamic_scale else optimiser.scale_log2,
    }


def _run_identity(run: TrainingRun | None) -> dict[str, Any]:
    names = ("steps", "batch", "training_images", "learning_rate", "data", "weights")
    return {name.replace("_", "-"): getattr(run, name, None) for name in names}


def _run_settings(settings: TrainingSettings) -> dict[str, Any]:
    """What the checkpoint of a run is compared by: all that decides the bits of the training."""
    return {key: value for key, value in settings.to_dict().items() if key not in _NOT_OF_THE_RUN}


def _stem(settings: TrainingSettings) -> str:
    """The run's part of its file names, safe for any file system."""
    names = re.sub(r"[^\w.-]", "_", f"{settings.network.name}-{settings.dataset.name}")
    return f"{names}-seed{settings.seed}-batch{settings.batch}-steps{settings.steps}-rate{settings.learning_rate:g}"


def _part(settings: TrainingSettings) -> str:
    """Tells captures of a part of the batch apart."""
    return "" if settings.captured_images == settings.batch else f"first{settings.captured_images}-"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder of traces cannot be made ({error.strerror})", str(folder)) from error
    check_writable(folder / "probe")
