"""From stages to layers of the machine: a walk along a chain, with what has become of the maps so far."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rtl_models.errors import InputError
from workloads.importers.joined import Joined, as_convolution, joined, scaled_bias
from workloads.importers.stages import (
    AVERAGE,
    Convolution,
    Dense,
    Flattening,
    Neurons,
    Numbers,
    Pooling,
    Scaling,
    Shortcut,
    Stage,
)
from workloads.network import DIRECT, SPIKES, InputSpec
from workloads.record import Floats

READ_OUT = "read-out"  # the `where` of a layer that is added behind the last neurons
SAME = 1e-6  # relative: constants of two layers that differ by less are the same, being binary32


def constant_of(source: InputSpec) -> int:
    """Return the byte (or bit) of the constant channel that a bias gets: 1, or the power of two next below.

    Scaling by it is exact, and a training's steps of such a weight are those of a bias.
    """
    if source.coding == SPIKES:
        return 1
    return min(1 << source.exponent, 64 if source.signed else 128)


@dataclass
class _Layer:
    """A layer that waits for its neurons: weights [M, R, S, C] and bias [M] as the machine is to have them."""

    where: str
    entry: dict[str, Any]
    weights: Numbers
    bias: Numbers | None
    tap: int  # row and column of the kernel that lies inside the plane at every position
    pool: int = 1
    shortcut: Joined | None = None
    inside: list[str] = field(default_factory=list)  # stages that have become part of it


class Chain:
    """The state of a walk along a chain: the maps that the next stage sees, and what is built so far."""

    def __init__(self, source: InputSpec, neurons: Neurons) -> None:
        self.source = source
        self.threshold = neurons.threshold
        self.shape = (source.height, source.width, source.channels)
        self.flat = source.height == source.width == 1
        self.window = 1  # side of the windows of spikes (or input) that pooling in front of weights has joined
        self.share = 1.0  # of a spike in such a window's value
        self.pooled: list[str] = []  # stages that did so
        self.open: _Layer | None = None
        self.below = "the input"
        self.entries: list[dict[str, Any]] = []
        self.weights: list[Floats] = []
        self.notes: list[str] = []
        self.places: dict[str, int] = {}
        self.projections: dict[str, int] = {}  # places of the layers that they join
        self.fired: dict[str, tuple[int, int, int]] = {}  # [H, W, C] of the maps behind neurons
        self.constant = source.constant
        self.added = False  # a constant channel, behind those of the source

    def add(self, stage: Stage) -> None:
        """Take one more stage into the chain."""
        match stage:
            case Convolution():
                self._open(stage.where, self._convolution(stage))
            case Dense():
                self._open(stage.where, self._dense(stage))
            case Pooling():
                self._pool(stage)
            case Scaling():
                self._scale(stage)
            case Shortcut():
                self._join(stage)
            case Flattening():
                self.flat = True
            case Neurons():
                self._neurons(stage)

    def finish(self) -> None:
        """Close the last layer, behind a read-out of its own where the chain ends in neurons."""
        if self.open is None:
            outputs = math.prod(self.shape)
            if not self.flat and outputs != self.shape[2]:
                what = "the output is maps; the machine's is a vector"
                raise InputError(what, self.below, list(self.shape), "a flattening or weights behind it")
            self._open(READ_OUT, self._dense(Dense(READ_OUT, np.eye(outputs))))
            self.notes.append(
                f"the chain ends in neurons ({self.below}): a layer of {outputs} x {outputs} weights, 1 on the "
                "diagonal, reads their mean firing out, and is trained with the others"
            )
        if self.open is not None:
            self._close(self.open, 1.0)

    def _open(self, where: str, layer: _Layer) -> None:
        if self.open is not None:
            raise InputError(f"weights follow the weights of {self.open.where} without neurons between", where)
        if where in self.places:
            raise InputError("a second stage of this name", where)
        for matrix in (layer.weights, layer.bias):
            if matrix is not None and not np.isfinite(matrix).all():
                raise InputError("a weight is not finite", where)
        if self.window > 1:
            pooling = ", ".join(self.pooled)
            self.notes.append(
                f"{where}: what {pooling} pools of {self.below} is a kernel {self.window} times as wide, each weight "
                f"{self.window**2} times in it; the copies are trained separately"
            )
        layer.inside += self.pooled
        self.open, self.window, self.share, self.pooled = layer, 1, 1.0, []

    def _convolution(self, stage: Convolution) -> _Layer:
        outputs, channels, rows, columns = stage.weights.shape
        height, width, wanted = self.shape
        if self.flat and height * width > 1:
            raise InputError("a convolution of a vector", stage.where, allowed="maps")
        if channels != wanted:
            raise InputError("the weights are for another number of channels", stage.where, channels, str(wanted))
        plane = [
            (side + 2 * stage.padding - kernel) // stage.stride + 1
            for side, kernel in ((height, rows), (width, columns))
        ]
        if min(plane) < 1:
            raise InputError("the kernel is larger than its padded input", stage.where, [rows, columns])
        p = self.window
        kernel = self._spread(stage.weights.transpose(0, 2, 3, 1))
        self.shape = (plane[0], plane[1], outputs)
        inside = (plane[0] - 1) * stage.stride < height and (plane[1] - 1) * stage.stride < width
        if stage.bias is not None and not self.entries and not (inside and stage.padding < min(rows, columns)):
            what = "a bias of the first layer needs a weight of the kernel that lies inside the plane everywhere"
            raise InputError(what, stage.where, f"padding {stage.padding}", "less than half of the kernel")
        conv = {"channels": outputs, "kernel": list(kernel.shape[1:3])}
        entry = {"conv": conv | {"stride": p * stage.stride, "padding": p * stage.padding}}
        return _Layer(stage.where, entry, kernel, stage.bias, p * stage.padding)

    def _dense(self, stage: Dense) -> _Layer:
        outputs, elements = stage.weights.shape
        height, width, channels = self.shape
        if not self.flat and height * width > 1:
            raise InputError("a dense layer on maps", stage.where, [height, width, channels], "a flattening before it")
        if elements != height * width * channels:
            allowed = str(height * width * channels)
            raise InputError("the weights are for another number of inputs", stage.where, elements, allowed)
        kernel = self._spread(stage.weights.reshape(outputs, channels, height, width).transpose(0, 2, 3, 1))
        self.shape, self.flat = (1, 1, outputs), True
        return _Layer(stage.where, {"linear": {"channels": outputs}}, kernel, stage.bias, 0)

    def _spread(self, kernel: Numbers) -> Numbers:
        """Return [M, R, S, C] with every weight over the window of spikes that pooling joined before it."""
        wide = np.asarray(kernel, np.float64).repeat(self.window, axis=1).repeat(self.window, axis=2)
        return np.asarray(wide * self.share)

    def _pool(self, stage: Pooling) -> None:
        height, width, channels = self.shape
        if self.flat:
            raise InputError("pooling of a vector", stage.where, allowed="maps")
        if height % stage.size or width % stage.size:
            allowed = f"a divisor of both sides of {height} x {width}"
            raise InputError("the windows do not cover the plane", stage.where, stage.size, allowed)
        self.shape = (height // stage.size, width // stage.size, channels)
        if self.open is None:
            self.window *= stage.size
            self.share /= stage.size**2 if stage.kind == AVERAGE else 1
            self.pooled.append(stage.where)
            return
        self.open.pool *= stage.size
        self.open.inside.append(stage.where)
        if stage.kind == AVERAGE:
            self.open.weights = self.open.weights / stage.size**2
        elif self.open.bias is not None:
            self.open.bias = self.open.bias * stage.size**2

    def _scale(self, stage: Scaling) -> None:
        if self.open is None:
            what = "a scale and shift by channel is part of weights, and must follow them"
            raise InputError(what, stage.where, f"behind {self.below}")
        channels = len(self.open.weights)
        if any(part is not None and part.shape != (channels,) for part in (stage.factor, stage.shift)):
            what = "the scale is for another number of channels"
            raise InputError(what, stage.where, len(stage.factor), str(channels))
        self.open.weights = self.open.weights * stage.factor[:, np.newaxis, np.newaxis, np.newaxis]
        self.open.bias = scaled_bias(self.open.bias, stage)
        self.open.inside.append(stage.where)

    def _join(self, stage: Shortcut) -> None:
        """Have the open layer take a shortcut; the bias of its projection goes into the layer's own."""
        if self.open is None or not self.entries:
            raise InputError("a shortcut joins the weights behind the first neurons", stage.where)
        self.open.shortcut = joined(stage, self.places[stage.source], self.fired[stage.source], self.shape)
        bias = None if stage.projection is None else stage.projection.bias
        if bias is not None:
            self.open.bias = bias if self.open.bias is None else self.open.bias + bias
        as_convolution(self.open.entry, self.open.weights.shape)

    def _neurons(self, stage: Neurons) -> None:
        if self.open is None:
            raise InputError(f"neurons follow {self.below} without weights between", stage.where)
        if stage.gain != 1.0:
            self.notes.append(f"{stage.where}: the gain {stage.gain:g} is in the weights of {self.open.where}")
        factor = 1.0
        if not math.isclose(stage.threshold, self.threshold, rel_tol=SAME):
            factor = self.threshold / stage.threshold
            self.notes.append(
                f"{stage.where}: the threshold {stage.threshold:g} is {self.threshold:g} as in the first layer, "
                f"weights and bias of {self.open.where} times {factor:g}; the surrogate's width goes along"
            )
        self.open.inside.append(stage.where)
        self._close(self.open, stage.gain * factor)
        self.below = stage.where
        self.fired[stage.where] = self.shape

    def _close(self, layer: _Layer, factor: float) -> None:
        """Put the open layer, times `factor`, among the finished ones."""
        (content,) = layer.entry.values()
        if layer.pool > 1:
            content["pool"] = layer.pool
        kernel = layer.weights * factor
        if layer.bias is not None:
            bias = np.asarray(layer.bias, np.float64) * factor
            if self.entries:
                content["bias"] = True
                self.weights.append(_binary32(bias.reshape(-1, 1, 1, 1), layer.where))
            else:
                kernel = self._with_constant(layer, kernel, bias)
        if layer.shortcut is not None:
            self._shortcut(layer, layer.shortcut, factor)
        for where in (layer.where, *layer.inside):
            self.places[where] = len(self.entries)
        self.weights.append(_binary32(kernel, layer.where))
        self.entries.append(layer.entry)
        self.open = None

    def _shortcut(self, layer: _Layer, shortcut: Joined, factor: float) -> None:
        """Put a shortcut into the entry of its layer, and the weights of a projection among the finished ones."""
        (content,) = layer.entry.values()
        content["shortcut"] = {"from": shortcut.place + 1}
        weights = shortcut.weights
        if weights is None and factor != 1.0:  # the machine adds spikes as ones
            weights = np.eye(self.shape[2])[:, np.newaxis, np.newaxis, :]
            self.notes.append(
                f"{shortcut.where}: what is added counts {factor:g}, as do the inputs of {layer.where}: 1x1 weights, "
                f"{self.shape[2]} x {self.shape[2]} of them with {factor:g} on the diagonal, trained with the others"
            )
        if weights is None:
            layer.inside.append(shortcut.where)
            return
        content["shortcut"]["projection"] = True
        self.projections[shortcut.where] = len(self.entries)
        self.weights.append(_binary32(weights * factor, shortcut.where))

    def _with_constant(self, layer: _Layer, kernel: Numbers, bias: Numbers) -> Numbers:
        """Return the first layer's kernel with one channel more: its bias, from a channel of the input that is 1."""
        if self.constant:
            raise InputError("a bias of the first layer beside a constant channel of the input", layer.where)
        self.constant, self.added = constant_of(self.source), True
        one = self.constant * 2.0**-self.source.exponent
        added = np.zeros((*kernel.shape[:3], 1))
        added[:, layer.tap, layer.tap, 0] = bias / (one * layer.pool**2)
        what = "bytes are" if self.source.coding == DIRECT else "bits are"
        self.notes.append(
            f"{layer.where}: the bias of the first layer takes a channel more of the input, whose {what} "
            f"{self.constant}; the weights beside it start at 0 and are trained with the others"
        )
        return np.concatenate([kernel, added], axis=3)


def _binary32(matrix: Numbers, where: str) -> Floats:
    """Round weights once; raises InputError for those that binary32 cannot hold."""
    with np.errstate(over="ignore"):
        rounded = np.asarray(matrix, np.float32)
    if not np.isfinite(rounded).all():
        raise InputError("a weight is too large", where, float(np.abs(matrix).max()), "binary32 numbers")
    return rounded
