"""A captured step computed again in another arithmetic, from the same state and images: what another k needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rtl_models.errors import InputError
from workloads.atomic import check_writable
from workloads.record import Arithmetic
from workloads.trace_file import Trace, open_trace, write_trace
from workloads.training_state import TrainingState
from workloads.training_step import training_step


def step_in(trace: Path, arithmetic: Arithmetic, folder: Path) -> Path:
    """Return the trace of the step in `trace` with `arithmetic`: from `folder`, else computed for now.

    Weights, momentum, images, labels and rates before the step are the same; everything after them is computed anew,
    bit for bit. Raises InputError for a file that is no trace and a folder that cannot be written.
    """
    with open_trace(trace) as opened:
        if opened.arithmetic == arithmetic:
            return trace
        path = folder / f"again-{opened.digest[:32]}.h5"
        if path.exists() and _is_sound(path):
            return path
        _make_folder(folder)
        record = training_step(
            opened.network,
            arithmetic,
            state_before(opened),
            opened.inputs(),
            opened.labels,
            opened.optimiser,
            opened.step,
            opened.seed,
            opened.dataset,
        )
        record = replace(record, training=opened.training)
    write_trace(record, path)
    return path


def state_before(trace: Trace) -> TrainingState:
    """Return the state that the step in `trace` started from."""
    layers = range(len(trace.network.layers))
    return TrainingState(
        master=tuple(trace.master(layer) for layer in layers),
        momentum=tuple(trace.momentum(layer) for layer in layers),
        weights=tuple(trace.weights(layer) for layer in layers),
        scale_log2=trace.optimiser.scale_log2,
    )


def _is_sound(path: Path) -> bool:
    try:
        open_trace(path).close()
    except InputError:
        return False
    return True


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder of traces cannot be made ({error.strerror})", str(folder)) from error
    check_writable(folder / "probe")
