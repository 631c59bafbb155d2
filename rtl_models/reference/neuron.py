"""The leaky integrate-and-fire neuron, and its masks (docs/contract.md, "Neuron")."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtl_models.formats import FloatFormat
from rtl_models.reference.rounding import Rounding, round_float, round_product, round_sum, rounding
from rtl_models.reference.threads import run_parts, split
from rtl_models.reset import TO_ZERO, Reset

Floats = NDArray[np.float32]
Flags = NDArray[np.uint8]
_LEAST_NEURONS = 1 << 14  # smaller jobs are not worth a second thread


def neuron(
    sums: Floats,
    timesteps: int,
    constants: tuple[np.float32, np.float32, np.float32, np.float32],
    value: FloatFormat,
    total: FloatFormat,
    reset: Reset = TO_ZERO,
) -> tuple[Floats, Flags, Flags]:
    """Return potentials, spikes and masks, each [T, N], of the sums x [T, N], or [1, N] where x is the same for all t.

    u[t] = round_value(round_sum(p + x[t])); p = +0 at first, else l = round_sum(alpha u[t-1]), after a spike +0, or
    round_sum(l - drop) where `reset` subtracts; s = u > threshold; f = low < u < high. `constants` are alpha,
    threshold, low, high.
    """
    shape = (timesteps, sums.shape[1])
    potentials, spikes, masks = np.zeros(shape, np.float32), np.zeros(shape, np.uint8), np.empty(shape, np.uint8)
    parts = split(shape[1], _LEAST_NEURONS)
    run_parts(_fire, parts, sums, potentials, spikes, masks, constants, reset, rounding(value), rounding(total))
    return potentials, spikes, masks


@njit(nogil=True, cache=True)
def _fire(
    sums: Floats,
    potentials: Floats,
    spikes: Flags,
    masks: Flags,
    constants: tuple[np.float32, np.float32, np.float32, np.float32],
    reset: Reset,
    value: Rounding,
    total: Rounding,
    start: int,
    stop: int,
) -> None:
    held = held_reset(reset, total)
    for t in range(potentials.shape[0]):
        x = sums[min(t, sums.shape[0] - 1)]
        before = max(t - 1, 0)
        for i in range(start, stop):
            u, s, f = fire(x[i], potentials[before, i], (t == 0, spikes[before, i] == 1), constants, held, value, total)
            potentials[t, i] = u
            spikes[t, i] = s
            masks[t, i] = f


@njit(nogil=True, cache=True)
def held_reset(reset: Reset, total: Rounding) -> Reset:
    """Return `reset` with its drop as it is added and multiplied: rounded to the sum format."""
    return Reset(reset.subtract, np.float32(round_float(reset.drop, total)), reset.detached)


@njit(nogil=True, cache=True, inline="always")
def fire(
    x: np.float32,
    before: np.float32,
    gates: tuple[bool, bool],
    constants: tuple[np.float32, np.float32, np.float32, np.float32],
    reset: Reset,
    value: Rounding,
    total: Rounding,
) -> tuple[np.float32, bool, bool]:
    """Return u, s and f of one neuron and timestep.

    `before` is u one timestep earlier; `gates`: this is the first timestep, it fired one timestep earlier.
    """
    alpha, threshold, low, high = constants
    first, fired = gates
    p = round_product(alpha, before, total)
    if fired:
        p = round_sum(np.float32(p - reset.drop), total) if reset.subtract else np.float32(0.0)
    if first:
        p = np.float32(0.0)
    u = round_float(round_sum(np.float32(p + x), total), value)
    return u, u > threshold, low < u and u < high
