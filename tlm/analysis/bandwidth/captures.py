"""Traces for a study: captured by training briefly, once, and kept in the cache folder by what made them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import rtl_models
import workloads
from rtl_models.errors import InputError
from rtl_models.simulators.build import cache_folder
from tlm.journal import run_identity
from workloads.trace_file import open_trace
from workloads.trainer import train
from workloads.training_settings import TrainingSettings

CHECKPOINT_SUFFIX = ".checkpoint"


def captured_trace(
    settings: TrainingSettings, folder: Path | None = None, report: Callable[[int, int], None] = lambda *_: None
) -> Path:
    """Return the trace that a training run of `settings` captures: from the cache, else trained for now.

    An interrupted run goes on where it was. `report` is called with (steps done, steps in all). Raises InputError for
    settings that cannot be used and a folder that cannot be written.
    """
    settings.check()
    folder = folder or cache_folder() / "traces"
    entries = settings.to_dict()
    name = run_identity((f"{key}={entries[key]}" for key in sorted(entries)), (rtl_models, workloads))
    path = folder / f"{name}.h5"
    checkpoint = Path(f"{path}{CHECKPOINT_SUFFIX}")
    if path.exists():
        checkpoint.unlink(missing_ok=True)  # a trace that is there is complete, unless it was damaged later
        if _is_undamaged(path):
            return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder of captured traces cannot be written ({error.strerror})", str(folder)) from error
    train(settings, path, checkpoint, lambda progress: report(progress.step, settings.steps))
    checkpoint.unlink(missing_ok=True)
    return path


def _is_undamaged(path: Path) -> bool:
    """Whether the trace can be opened; one that cannot is removed."""
    try:
        open_trace(path).close()
    except InputError:
        path.unlink()
        return False
    return True
