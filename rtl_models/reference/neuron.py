"""The leaky integrate-and-fire neuron, and its masks (docs/contract.md, "Neuron")."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtl_models.formats import FloatFormat
from rtl_models.reference.rounding import Rounding, round_float, round_product, round_sum, rounding
from rtl_models.reference.threads import run_parts, split

Floats = NDArray[np.float32]
Flags = NDArray[np.uint8]
_LEAST_NEURONS = 1 << 14  # smaller jobs are not worth a second thread


def neuron(
    sums: Floats,
    timesteps: int,
    constants: tuple[np.float32, np.float32, np.float32, np.float32],
    value: FloatFormat,
    total: FloatFormat,
) -> tuple[Floats, Flags, Flags]:
    """Return potentials, spikes and masks, each [T, N], of the sums x [T, N], or [1, N] where x is the same for all t.

    u[t] = round_value(round_sum(p + x[t])), p = +0 at first and after a spike, else round_sum(alpha u[t-1]);
    s = u > threshold; f = low < u < high. `constants` are alpha, threshold, low, high.
    """
    shape = (timesteps, sums.shape[1])
    potentials, spikes, masks = np.zeros(shape, np.float32), np.zeros(shape, np.uint8), np.empty(shape, np.uint8)
    parts = split(shape[1], _LEAST_NEURONS)
    run_parts(_fire, parts, sums, potentials, spikes, masks, constants, rounding(value), rounding(total))
    return potentials, spikes, masks


@njit(nogil=True, cache=True)
def _fire(
    sums: Floats,
    potentials: Floats,
    spikes: Flags,
    masks: Flags,
    constants: tuple[np.float32, np.float32, np.float32, np.float32],
    value: Rounding,
    total: Rounding,
    start: int,
    stop: int,
) -> None:
    for t in range(potentials.shape[0]):
        x = sums[min(t, sums.shape[0] - 1)]
        before = max(t - 1, 0)
        for i in range(start, stop):
            leaks = t > 0 and spikes[before, i] == 0
            u, s, f = fire(x[i], potentials[before, i], leaks, constants, value, total)
            potentials[t, i] = u
            spikes[t, i] = s
            masks[t, i] = f


@njit(nogil=True, cache=True, inline="always")
def fire(
    x: np.float32,
    before: np.float32,
    leaks: bool,
    constants: tuple[np.float32, np.float32, np.float32, np.float32],
    value: Rounding,
    total: Rounding,
) -> tuple[np.float32, bool, bool]:
    """Return u, s and f of one neuron and timestep; it `leaks` from u one timestep before, or starts at +0."""
    alpha, threshold, low, high = constants
    leak = round_product(alpha, before, total)
    p = leak if leaks else np.float32(0.0)
    u = round_float(round_sum(np.float32(p + x), total), value)
    return u, u > threshold, low < u and u < high
