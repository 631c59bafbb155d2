"""Shortcuts of a chain as those of the machine: an earlier layer's spikes as they are, or through 1x1 weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rtl_models.errors import InputError
from workloads.importers.stages import Convolution, Dense, Flattening, Numbers, Scaling, Shortcut, Stage

Shape = tuple[int, int, int]  # [H, W, C]


@dataclass(frozen=True)
class Joined:
    """A shortcut from the layer at `place` of the file; `weights` [M, 1, 1, C] of its projection, if it has one."""

    where: str
    place: int
    weights: Numbers | None


def projection_of(stages: Iterable[Stage]) -> Convolution | None:
    """Return what stages between spikes and a sum amount to, None for nothing; raises InputError naming a stage."""
    found: Convolution | None = None
    for stage in stages:
        match stage:
            case Flattening():
                pass
            case Convolution() if found is None:
                found = stage
            case Dense() if found is None:
                found = Convolution(stage.where, stage.weights[:, :, np.newaxis, np.newaxis], stage.bias)
            case Scaling() if found is not None:
                weights = found.weights * stage.factor[:, np.newaxis, np.newaxis, np.newaxis]
                found = replace(found, weights=weights, bias=scaled_bias(found.bias, stage))
            case _:
                what = "the machine's shortcuts take spikes as they are, or through one 1x1 convolution"
                raise InputError(what, stage.where, type(stage).__name__)
    return found


def scaled_bias(bias: Numbers | None, stage: Scaling) -> Numbers | None:
    """Return what a scale and shift of the sums makes of their bias."""
    if bias is None:
        return stage.shift
    return bias * stage.factor + (0.0 if stage.shift is None else stage.shift)


def joined(stage: Shortcut, place: int, came: Shape, shape: Shape) -> Joined:
    """Return the machine's shortcut of a stage from maps `came` to sums `shape`; raises InputError naming the stage."""
    height, width, channels = came
    projection = stage.projection
    if projection is None:
        if came != shape:
            allowed = f"{list(shape)} [height, width, channels], or a 1x1 convolution on the way"
            raise InputError("a shortcut adds maps of another shape", stage.where, list(came), allowed)
        return Joined(stage.where, place, None)
    outputs, inputs, rows, columns = projection.weights.shape
    if (rows, columns, projection.padding) != (1, 1, 0):
        got = f"{rows}x{columns}, padding {projection.padding}"
        raise InputError("a shortcut's convolution is 1x1 on the machine", stage.where, got, "1x1, padding 0")
    if (outputs, inputs) != (shape[2], channels):
        allowed = f"{shape[2]} x {channels}"
        raise InputError(
            "the weights are for another number of channels", stage.where, f"{outputs} x {inputs}", allowed
        )
    if (height, width) != (shape[0] * projection.stride, shape[1] * projection.stride):
        allowed = f"{height / shape[0]:g}, from {height} x {width} to {shape[0]} x {shape[1]}"
        raise InputError("the stride does not lead to the plane of the sums", stage.where, projection.stride, allowed)
    if not all(np.isfinite(part).all() for part in (projection.weights, projection.bias) if part is not None):
        raise InputError("a weight is not finite", stage.where)
    return Joined(stage.where, place, np.asarray(projection.weights, np.float64).transpose(0, 2, 3, 1))


def as_convolution(entry: dict[str, Any], shape: tuple[int, ...]) -> None:
    """Turn the entry of a dense layer, weights [M, R, S, C], into that of a convolution, which may have a shortcut."""
    linear = entry.pop("linear", None)
    if linear is not None:
        entry["conv"] = linear | {"kernel": list(shape[1:3]), "stride": 1, "padding": 0}
