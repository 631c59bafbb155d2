"""SGD with momentum in binary32, and the loss scale (docs/contract.md, "Optimiser")."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtl_models.formats import FloatFormat
from rtl_models.reference.rounding import Rounding, round_float, rounding
from rtl_models.reference.threads import run_parts, split

Floats = NDArray[np.float32]
GROWTH_STEPS = 2000  # finite steps after which a dynamic loss scale doubles (docs/contract.md, "Optimiser")
_LEAST_WEIGHTS = 1 << 16  # smaller jobs are not worth a second thread


def sgd(
    master: Floats,
    momentum: Floats,
    weight_gradient: Floats,
    constants: tuple[np.float32, np.float32, np.float32],
    scale_log2: int,
    value: FloatFormat,
) -> tuple[Floats, Floats, Floats]:
    """Return (w, v, W16) after one step; every operation is one binary32 rounding, W16 is rounded to `value`.

    g = dW 2^-q; with weight decay g = g + wd w; v = mu v + g; w = w - lr v; W16 = w. `constants` are lr, mu, wd.
    """
    before = [np.ascontiguousarray(array, np.float32).reshape(-1) for array in (master, momentum, weight_gradient)]
    after = [np.empty(master.shape, np.float32) for _ in range(3)]
    flat = [array.reshape(-1) for array in after]
    rates = tuple(np.float32(constant) for constant in constants)
    with np.errstate(over="ignore"):
        scale = np.ldexp(1.0, -scale_log2)
    run_parts(_sgd, split(master.size, _LEAST_WEIGHTS), *before, *flat, rates, scale, rounding(value))
    return after[0], after[1], after[2]


def next_scale(scale_log2: int, finite_steps: int, skipped: bool) -> tuple[int, int]:
    """Return the dynamic loss scale (q, finite steps) after a step: q - 1 if skipped, q + 1 after 2,000 finite."""
    if skipped:
        return scale_log2 - 1, 0
    if finite_steps + 1 >= GROWTH_STEPS:
        return scale_log2 + 1, 0
    return scale_log2, finite_steps + 1


@njit(nogil=True, cache=True)
def _sgd(
    master: Floats,
    momentum: Floats,
    weight_gradient: Floats,
    updated: Floats,
    velocity: Floats,
    weights: Floats,
    rates: tuple[np.float32, np.float32, np.float32],
    scale: np.float64,
    value: Rounding,
    start: int,
    stop: int,
) -> None:
    """Update weights start..stop of flat arrays; the product with `scale`, a power of two, is exact in binary64."""
    rate, mu, decay = rates
    for i in range(start, stop):
        gradient = np.float32(np.float64(weight_gradient[i]) * scale)
        if decay != 0:
            gradient = np.float32(gradient + np.float32(decay * master[i]))
        v = np.float32(np.float32(mu * momentum[i]) + gradient)
        w = np.float32(master[i] - np.float32(rate * v))
        velocity[i] = v
        updated[i] = w
        weights[i] = round_float(w, value)
