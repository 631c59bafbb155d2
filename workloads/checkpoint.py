"""How far a training run has come, and the file that keeps it so that the run can go on with the same bits."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from rtl_models.errors import InputError
from workloads.record import Floats
from workloads.sealed_file import Kind, open_sealed, write_sealed
from workloads.training_state import TrainingState

CHECKPOINT = Kind("checkpoint", 1)
_TENSORS = ("master", "momentum", "weights")


@dataclass(frozen=True)
class EpochResult:
    """One epoch, or the part of it that the run had: means over its steps, and the accuracy after it."""

    epoch: int
    steps: int
    loss: float
    accuracy: float  # of the training batches as they came, 0..1
    held_out_accuracy: float  # of the held-out images after the last step, 0..1


@dataclass(frozen=True)
class Progress:
    """State after `step` steps. The sums belong to the running epoch; `counts` to the whole run.

    `captured` is the SHA-256 of the trace, once it is written. `seconds` is the time that all steps took. `observed` is
    what the learner noted, step by step, as JSON holds it.
    """

    state: TrainingState
    step: int = 0
    loss: float = float("nan")
    loss_sum: float = 0.0
    correct: int = 0
    skipped_steps: int = 0
    nonfinite: int = 0
    subnormal: int = 0
    seconds: float = 0.0
    captured: str = ""
    history: tuple[EpochResult, ...] = ()
    observed: tuple[dict[str, Any], ...] = ()


def write_checkpoint(path: Path, settings: dict[str, Any], progress: Progress) -> None:
    """Write `progress` of the run with these `settings` to `path`, whole or not at all; raises InputError."""
    write_sealed(path, CHECKPOINT, lambda file: _fill(file, settings, progress))


def read_checkpoint(path: Path, settings: dict[str, Any]) -> Progress | None:
    """Return the progress kept at `path`, or None if there is no file.

    Raises InputError if the file is no sound checkpoint or belongs to a run with other settings, naming the first.
    """
    if not path.exists():
        return None
    file, _ = open_sealed(path, CHECKPOINT)
    with file:
        try:
            kept, scalars = (json.loads(file[name].asstr()[()]) for name in ("settings", "progress"))
            state = _read_state(file)
            history = tuple(EpochResult(**entry) for entry in scalars.pop("history"))
            observed = tuple(scalars.pop("observed", ()))
            progress = Progress(state=state, history=history, observed=observed, **scalars)
        except (KeyError, ValueError, TypeError, OSError) as error:
            what = f"does not hold what schema {CHECKPOINT.schema} of a checkpoint demands ({error})"
            raise InputError(what, str(path)) from error
    _compare(path, kept, settings)
    return progress


def _fill(file: h5py.File, settings: dict[str, Any], progress: Progress) -> None:
    state = progress.state
    scalars = {name: value for name, value in vars(progress).items() if name not in ("state", "history")}
    scalars["history"] = [asdict(entry) for entry in progress.history]
    file.create_dataset("settings", data=json.dumps(settings))
    file.create_dataset("progress", data=json.dumps(scalars))
    file.attrs["scale_log2"] = np.int64(state.scale_log2)
    file.attrs["finite_steps"] = np.int64(state.finite_steps)
    for name in _TENSORS:
        for index, array in enumerate(getattr(state, name)):
            file.create_dataset(f"{name}/{index}", data=np.asarray(array, "<f4"))


def _read_state(file: h5py.File) -> TrainingState:
    tensors: dict[str, tuple[Floats, ...]] = {}
    for name in _TENSORS:
        group = file[name]
        tensors[name] = tuple(np.asarray(group[str(index)][()], np.float32) for index in range(len(group)))
    scale_log2, finite_steps = int(file.attrs["scale_log2"]), int(file.attrs["finite_steps"])
    return TrainingState(**tensors, scale_log2=scale_log2, finite_steps=finite_steps)


def _compare(path: Path, kept: dict[str, Any], settings: dict[str, Any]) -> None:
    """Raise InputError for the first setting that differs."""
    settings = json.loads(json.dumps(settings))
    for key in settings | kept:
        if kept.get(key) == settings.get(key):
            continue
        what = "the checkpoint belongs to a run with another value; give that, or another output file"
        if key == "steps":
            what = (
                "the learning rate falls along a cosine over the whole run, so a run of another length is another "
                "training and cannot go on from this checkpoint; give another output file"
            )
        raise InputError(what, f"{path}: {key}", settings.get(key), str(kept.get(key)))
