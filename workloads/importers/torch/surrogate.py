"""Surrogate derivatives, asked of the framework itself: where they are zero, and what a firing mask takes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from rtl_models.errors import InputError

_NEGLIGIBLE = 2.0**-30  # of the largest derivative: below it a derivative fades out, it is not cut off
_FINEST, _FARTHEST, _PER_OCTAVE = -20, 40, 64  # distances from the threshold that are looked at, powers of two
_REFINEMENTS = 6  # each looks at as many distances between two neighbours: 2e-13 of an octave at last


@dataclass(frozen=True)
class Support:
    """Where a surrogate's derivative counts as not zero.

    `exact`: it is cut off, or never fades, so that the mask is that of its zeros. Otherwise the mask takes what is at
    least `least`. `largest` is the derivative's largest value, `reach` the farthest distance between potential and
    threshold inside the mask (infinite where there is none).
    """

    exact: bool
    largest: float
    least: float
    reach: float

    def mask(self, derivative: Tensor) -> Tensor:
        """Return the firing mask of derivatives."""
        return derivative != 0 if self.exact else derivative.abs() >= self.least


def derivative(surrogate: Callable[[Tensor], Tensor], distance: Tensor, where: str) -> Tensor:
    """Return the surrogate derivative at potentials that lie `distance` above the threshold; raises InputError."""
    with torch.enable_grad():
        point = distance.detach().requires_grad_()
        spikes = surrogate(point)
        if not spikes.requires_grad:
            raise InputError("the neurons have no surrogate gradient", where)
        (slope,) = torch.autograd.grad(spikes, point, torch.ones_like(spikes))
    return slope


def support(surrogate: Callable[[Tensor], Tensor], threshold: float, where: str) -> Support:
    """Find the support of a surrogate derivative; `threshold` is the mask's where it fades, relative to the largest.

    Raises InputError where the derivative is zero everywhere.
    """
    distances = _distances()
    slopes = _slopes(surrogate, distances, where)
    largest = float(slopes.max())
    if largest == 0.0:
        raise InputError("the surrogate gradient is zero everywhere", where)
    exact = not bool(((slopes > 0) & (slopes < _NEGLIGIBLE * largest)).any())
    least = 0.0 if exact else threshold * largest
    found = Support(exact, largest, least, 0.0)
    reach = max(_edge(surrogate, found, distances, slopes, sign, where) for sign in (-1.0, 1.0))
    return Support(exact, largest, least, reach)


@cache
def _distances() -> Tensor:
    """Distances on one side, ascending; off the powers of two, where a support may well end."""
    exponents = torch.arange(_FINEST * _PER_OCTAVE, _FARTHEST * _PER_OCTAVE, dtype=torch.float64) / _PER_OCTAVE
    return 1.00123 * 2.0**exponents


def _slopes(surrogate: Callable[[Tensor], Tensor], distances: Tensor, where: str) -> Tensor:
    """Absolute derivatives [2, distances] below and above the threshold; those that overflow count as 0."""
    both = torch.stack((-distances, distances))
    return torch.nan_to_num(derivative(surrogate, both, where).abs(), 0.0, 0.0, 0.0)


def _edge(
    surrogate: Callable[[Tensor], Tensor], found: Support, distances: Tensor, slopes: Tensor, sign: float, where: str
) -> float:
    """Return the farthest distance on one side that the mask takes, found between two of `distances`."""
    inside = torch.nonzero(found.mask(slopes[int(sign > 0)]))
    if len(inside) == 0:
        return 0.0
    last = int(inside[-1])
    if last == len(distances) - 1:
        return float("inf")
    low, high = float(distances[last]), float(distances[last + 1])
    for _ in range(_REFINEMENTS):
        between = torch.linspace(low, high, _PER_OCTAVE, dtype=torch.float64)
        taken = torch.nonzero(found.mask(derivative(surrogate, sign * between, where)))
        last = int(taken[-1]) if len(taken) else 0
        low, high = float(between[last]), float(between[min(last + 1, _PER_OCTAVE - 1)])
    return float(f"{low:.6g}")
