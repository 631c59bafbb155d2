"""Nodes of a NIR graph as stages of a chain; neuron constants become those of a step in discrete time.

NIR's neurons are differential equations. As the frameworks that export them do, they are stepped by Euler's method:
alpha = 1 - dt / tau, and an input counts r dt / tau (r dt without a leak).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from workloads.importers.joined import projection_of
from workloads.importers.nir_graph import NEURONS, Link, kind_of
from workloads.importers.stages import (
    AVERAGE,
    SUBTRACT,
    SUM,
    ZERO,
    Convolution,
    Dense,
    Flattening,
    Neurons,
    Pooling,
    Scaling,
    Shortcut,
    Stage,
    equal_sides,
)

SUBTRACT_DELAYED = "subtract-delayed"
RESETS = (ZERO, SUBTRACT, SUBTRACT_DELAYED)
SUPPORTED = "Affine, AvgPool2d, Conv2d, CubaLIF, Flatten, IF, LIF, Linear, Scale, SumPool2d, nested graphs of these"
_NOISE = {np.dtype(np.float32): 2.5e-7, np.dtype(np.float64): 1e-12}
"""What arithmetic in a type may have changed a constant by: 1 - dt / tau of a tau that was dt / (1 - alpha)."""
_DIGITS = {np.dtype(np.float32): 4, np.dtype(np.float64): 12}
"""Of constants that somebody has chosen, and that are made such again; one that was learned stays as it is."""

Numbers = NDArray[Any]


@dataclass(frozen=True)
class Dynamics:
    """What NIR leaves open about neurons.

    `reset` is ``zero``, ``subtract`` (of the threshold, before the decay) or ``subtract-delayed`` (behind the decay);
    `reset_by` is what ``subtract`` takes away where that is not the threshold.
    """

    dt: float = 1e-4
    reset: str = ZERO
    reset_by: float | None = None
    reset_gradient: bool = True
    fires_at_threshold: bool = False


def stages_of(links: Sequence[Link], dynamics: Dynamics) -> list[Stage]:
    """Return the stages of a chain of nodes; raises InputError naming the node that the machine cannot have."""
    stages: list[Stage] = []
    open_weights: Convolution | Dense | None = None  # those that wait for their neurons, at this place
    place = 0
    scale = 1.0  # of what reaches the next weights
    for link in links:
        node, here = link.node, f"node {link.name}"
        match kind_of(node):
            case "Conv2d" | "Linear" | "Affine":
                weights = _convolution(node, here) if kind_of(node) == "Conv2d" else _dense(node, here)
                open_weights = weights if scale == 1.0 else replace(weights, weights=weights.weights * scale)
                place, scale = len(stages), 1.0
                stages.append(open_weights)
            case "Scale":
                factors = _by_channel(node, here)
                if factors is not None:
                    stages.append(Scaling(here, factors))
                elif open_weights is not None:
                    stages[place] = open_weights = _scaled(open_weights, _one(node, "scale", here).number)
                else:
                    scale *= _one(node, "scale", here).number
            case "AvgPool2d" | "SumPool2d":
                stages.append(_pooling(node, here))
            case "Flatten":
                stages.append(_flattening(node, here))
            case kind if kind in NEURONS:
                if link.joins is not None:
                    stages.append(_shortcut(link, link.joins, dynamics))
                stages.append(_neurons(node, dynamics, here))
                open_weights = None
            case kind:
                raise InputError("no such node on the machine", here, kind, SUPPORTED)
    if scale != 1.0:
        raise InputError("a scale of the output", f"node {links[-1].name}", scale, "weights behind it")
    return stages


def _shortcut(link: Link, joins: str, dynamics: Dynamics) -> Shortcut:
    """Return the shortcut from the neurons `joins` to those of a link."""
    projection = projection_of(stages_of([Link(*named) for named in link.between], dynamics))
    where = f"shortcut to node {link.name}" if projection is None else projection.where
    return Shortcut(where, f"node {joins}", projection)


@dataclass(frozen=True)
class _Value:
    """The one value of a parameter, and the type that it was computed in."""

    number: float
    dtype: np.dtype[Any]

    def rounded(self, result: float, size: float = 1.0) -> float:
        """Return the decimal of few digits that `result`, of this `size`, stands for, or itself if there is none."""
        for digits in range(1, _DIGITS[self.dtype] + 1):
            candidate = float(f"{result:.{digits}g}")
            if abs(candidate - result) <= self.noise * size:
                return candidate
        return result

    @property
    def noise(self) -> float:
        """What arithmetic in the type may have changed a number near 1 by."""
        return _NOISE[self.dtype]


def _by_channel(node: Any, where: str) -> Numbers | None:
    """Return the factors [C] of a scale that differs by channel, None for one value; [C], [C, 1, 1] and [C, H, W]."""
    scale = np.asarray(node.scale)
    if scale.size == 0 or (scale == scale.flat[0]).all():
        return None
    planes = scale.reshape(len(scale), -1)
    if scale.ndim not in (1, 3) or (planes != planes[:, :1]).any():
        raise InputError("a scale that differs within a channel", where, list(scale.shape), "one value by channel")
    return np.asarray(planes[:, 0])


def _scaled(stage: Convolution | Dense, factor: float) -> Convolution | Dense:
    """Return weights and bias times `factor`."""
    bias = None if stage.bias is None else stage.bias * factor
    return replace(stage, weights=stage.weights * factor, bias=bias)


def _convolution(node: Any, where: str) -> Convolution:
    weights = np.asarray(node.weight)
    if weights.ndim != 4:
        raise InputError("weights must be [M, C, R, S]", where, list(weights.shape))
    if int(node.groups) != 1:
        raise InputError("the machine's convolutions have one group", where, int(node.groups), "groups 1")
    if equal_sides(node.dilation, where, "dilation") != 1:
        raise InputError("the machine's convolutions are not dilated", where, node.dilation, "dilation 1")
    stride = equal_sides(node.stride, where, "stride")
    return Convolution(where, weights, _bias(node), stride, _padding(node.padding, weights.shape[2:], stride, where))


def _padding(padding: Any, kernel: tuple[int, ...], stride: int, where: str) -> int:
    """Return the padding that every side of the plane has."""
    if not isinstance(padding, str):
        return equal_sides(padding, where, "padding")
    if padding == "valid":
        return 0
    if stride != 1:
        raise InputError("padding 'same' goes with stride 1", where, stride)
    if any(side % 2 == 0 for side in kernel):
        raise InputError("padding 'same' of an even kernel differs by side", where, list(kernel), "odd kernels")
    return equal_sides([side // 2 for side in kernel], where, "padding")


def _dense(node: Any, where: str) -> Dense:
    weights = np.asarray(node.weight)
    if weights.ndim != 2:
        raise InputError("weights must be [M, N]", where, list(weights.shape))
    return Dense(where, weights, _bias(node))


def _bias(node: Any) -> Numbers | None:
    """Return a bias, or None for one of zeros: NIR's Conv2d cannot do without."""
    bias = getattr(node, "bias", None)
    return None if bias is None or not np.any(np.asarray(bias)) else np.asarray(bias)


def _pooling(node: Any, where: str) -> Pooling:
    size = equal_sides(node.kernel_size, where, "kernel_size")
    stride = equal_sides(node.stride, where, "stride")
    if stride != size:
        raise InputError("the windows of the machine's pooling lie side by side", where, stride, f"stride {size}")
    if equal_sides(node.padding, where, "padding"):
        raise InputError("the machine's pooling has no padding", where, node.padding, "padding 0")
    return Pooling(where, AVERAGE if kind_of(node) == "AvgPool2d" else SUM, size)


def _flattening(node: Any, where: str) -> Flattening:
    start, end = int(node.start_dim), int(node.end_dim)
    if start != 0 or end not in (-1, 2):
        what = "only the whole of [C, H, W] can be flattened, without the batch's axis"
        raise InputError(what, where, f"axes {start}..{end}", "start_dim 0, end_dim -1")
    return Flattening(where)


def _neurons(node: Any, dynamics: Dynamics, where: str) -> Neurons:
    for name in ("v_leak", "v_reset"):
        if np.any(np.asarray(getattr(node, name, 0.0)) != 0.0):
            raise InputError(f"{name} must be 0", where, _one(node, name, where).number, "0")
    threshold, resistance = _one(node, "v_threshold", where).number, _one(node, "r", where)
    alpha, share, least = 1.0, dynamics.dt, resistance
    if kind_of(node) != "IF":
        alpha, share, least = _decay(node, "tau" if kind_of(node) == "LIF" else "tau_mem", dynamics.dt, where)
    gain = resistance.number * share
    if kind_of(node) == "CubaLIF":
        keeps, share, _ = _decay(node, "tau_syn", dynamics.dt, where)
        if keeps:
            what = "the machine's synapses keep nothing from one timestep to the next"
            raise InputError(what, where, f"tau_syn {dynamics.dt / share:g}", f"dt, {dynamics.dt:g}")
        gain *= _one(node, "w_in", where).number * share
    if not gain > 0.0:
        raise InputError("an input must count more than nothing", where, gain, "r dt / tau > 0")
    return Neurons(
        where,
        alpha,
        threshold,
        least.rounded(gain, gain),
        ZERO if dynamics.reset == ZERO else SUBTRACT,
        _reset_by(dynamics, alpha, threshold, where),
        dynamics.reset_gradient,
        dynamics.fires_at_threshold,
    )


def _decay(node: Any, name: str, dt: float, where: str) -> tuple[float, float, _Value]:
    """Return 1 - dt / tau as somebody has chosen it, dt / tau, and tau."""
    tau = _one(node, name, where)
    if not tau.number >= dt * (1.0 - tau.noise):
        raise InputError(f"{name} must not be below the timestep", where, tau.number, f">= {dt:g} (--dt)")
    share = dt / tau.number
    return max(0.0, tau.rounded(1.0 - share)), share, tau


def _reset_by(dynamics: Dynamics, alpha: float, threshold: float, where: str) -> float | None:
    """Return what the reset subtracts from the potential before its decay; None for the threshold."""
    if dynamics.reset != SUBTRACT_DELAYED:
        return dynamics.reset_by
    if alpha == 0.0:
        raise InputError("a potential that keeps nothing cannot lose the threshold later", where, alpha, "a decay > 0")
    return threshold / alpha


def _one(node: Any, name: str, where: str) -> _Value:
    """Return the one value of a parameter, as the shortest decimal of its type."""
    array = np.asarray(getattr(node, name))
    if array.dtype.kind not in "fiu" or array.size == 0 or not np.isfinite(array).all():
        raise InputError(f"{name} must be finite numbers", where, str(array.ravel()[:1].tolist()))
    low, high = array.min(), array.max()
    if low != high:
        what = f"neuron parameters per channel: {name} differs within the layer"
        raise InputError(what, where, f"{low:g}..{high:g}", "one value for the whole layer")
    return _Value(float(str(low)), np.dtype(np.float32 if array.dtype == np.float32 else np.float64))
