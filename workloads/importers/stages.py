"""Stages of a chain of layers, in the words of the frameworks that chains come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError

AVERAGE = "average"
SUM = "sum"
ZERO = "zero"
SUBTRACT = "subtract"

Numbers = NDArray[Any]  # float32 or float64


@dataclass(frozen=True)
class Convolution:
    """Weights [M, C, R, S], bias [M] or None, one stride and one padding (zeros) for both directions."""

    where: str
    weights: Numbers
    bias: Numbers | None = None
    stride: int = 1
    padding: int = 0


@dataclass(frozen=True)
class Dense:
    """Weights [M, N], bias [M] or None; N elements in the order c, y, x where they were maps."""

    where: str
    weights: Numbers
    bias: Numbers | None = None


@dataclass(frozen=True)
class Pooling:
    """Average or sum over windows of `size` x `size` side by side."""

    where: str
    kind: str
    size: int


@dataclass(frozen=True)
class Scaling:
    """What the weights in front give, by channel times `factor` [M] and, where there is one, plus `shift` [M]."""

    where: str
    factor: Numbers
    shift: Numbers | None = None


@dataclass(frozen=True)
class Shortcut:
    """What the neurons `source` fire joins the sums in front of the next neurons: as it is, or through a projection."""

    where: str
    source: str
    projection: Convolution | None = None


@dataclass(frozen=True)
class Flattening:
    """Maps become a vector in the order c, y, x."""

    where: str


@dataclass(frozen=True)
class Neurons:
    """u[t] = gain x[t] + (what the reset leaves of alpha u[t-1]); fires above `threshold`, or at it and above.

    `reset_by` None stands for the threshold; with `reset_gradient` False the reset is a constant backwards.
    """

    where: str
    alpha: float
    threshold: float
    gain: float = 1.0
    reset: str = ZERO
    reset_by: float | None = None
    reset_gradient: bool = True
    fires_at_threshold: bool = False


Stage = Convolution | Dense | Pooling | Scaling | Shortcut | Flattening | Neurons


def equal_sides(value: object, where: str, what: str) -> int:
    """Return the one whole number of a setting for both directions; raises InputError where the two differ."""
    sides = {int(side) for side in np.atleast_1d(np.asarray(value)).ravel()}
    if len(sides) != 1:
        raise InputError(f"the {what} differs by direction", where, value, "the same in both directions")
    return sides.pop()
