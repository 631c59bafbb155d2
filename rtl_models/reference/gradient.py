"""The gradient unit, the last layer's gradient and the sum of gradients over time (docs/contract.md)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtl_models.formats import FloatFormat, round_to
from rtl_models.reference.neuron import held_reset
from rtl_models.reference.rounding import Rounding, round_float, round_product, round_sum, rounding
from rtl_models.reference.threads import run_parts, split
from rtl_models.reset import TO_ZERO, Reset

Floats = NDArray[np.float32]
Flags = NDArray[np.uint8]
_LEAST_NEURONS = 1 << 14  # smaller jobs are not worth a second thread


def gradient_unit(
    sums: Floats,
    potentials: Floats,
    spikes: Flags,
    masks: Flags,
    constants: tuple[np.float32, np.float32],
    value: FloatFormat,
    total: FloatFormat,
    reset: Reset = TO_ZERO,
) -> Floats:
    """Return du [T, N] of backward sums [T, N], or [1, N] where they are the same for all t; T descending.

    r = round_sum(c du_next), c = drop where `reset` subtracts, else round_sum(alpha u); ds = sum where it is detached,
    else round_sum(sum - r); g = round_sum(beta ds) if f, else +0; h = +0 if s and the reset is to zero, else
    round_sum(alpha du_next); du = round_value(round_sum(g + h)); du_next = +0 at t = T. `constants` are alpha, beta.
    """
    gradients = np.zeros(potentials.shape, np.float32)
    parts = split(potentials.shape[1], _LEAST_NEURONS)
    arguments = (sums, potentials, spikes, masks, gradients, constants, reset, rounding(value), rounding(total))
    run_parts(_gradients, parts, *arguments)
    return gradients


def output_gradient(
    logits: NDArray[np.float64],
    labels: NDArray[np.int64],
    divisor: int,
    scale_log2: int,
    formats: tuple[FloatFormat, ...],
) -> tuple[Floats, float]:
    """Return the last layer's g16 [B, classes] and the batch's mean cross entropy, computed in binary64.

    g16 = scale (softmax(logits) - onehot(labels)) / `divisor` (B T), rounded to each of `formats` in turn (sum, value).
    """
    with np.errstate(all="ignore"):
        shifted = logits - logits.max(axis=1, keepdims=True)
        exponentials = np.exp(shifted)
        totals = exponentials.sum(axis=1, keepdims=True)
        rows = np.arange(labels.size)
        loss = float(np.mean(np.log(totals[:, 0]) - shifted[rows, labels]))
        errors = exponentials / totals
        errors[rows, labels] -= 1.0
    return scaled_gradient(errors, divisor, scale_log2, formats), loss


def scaled_gradient(
    gradient: NDArray[np.float64], divisor: int, scale_log2: int, formats: tuple[FloatFormat, ...]
) -> Floats:
    """Return 2^`scale_log2` `gradient` / `divisor`, in binary64, rounded to each of `formats` in turn (sum, value)."""
    with np.errstate(all="ignore"):
        scaled: NDArray[np.floating] = np.ldexp(gradient, scale_log2) / divisor
        for fmt in formats:
            scaled = round_to(scaled, fmt)
    return np.asarray(scaled, np.float32)


def sum_over_time(gradients: Floats, value: FloatFormat, total: FloatFormat) -> Floats:
    """Return d16 [N] of gradients [T, N]: a = round_sum(a + du[t]) from +0, t descending, then rounded to `value`."""
    sums = np.empty(gradients.shape[1], np.float32)
    parts = split(gradients.shape[1], _LEAST_NEURONS)
    run_parts(_sum_over_time, parts, gradients, sums, rounding(value), rounding(total))
    return sums


@njit(nogil=True, cache=True)
def _gradients(
    sums: Floats,
    potentials: Floats,
    spikes: Flags,
    masks: Flags,
    gradients: Floats,
    constants: tuple[np.float32, np.float32],
    reset: Reset,
    value: Rounding,
    total: Rounding,
    start: int,
    stop: int,
) -> None:
    held = held_reset(reset, total)
    last = potentials.shape[0] - 1
    for t in range(last, -1, -1):
        row = sums[min(t, sums.shape[0] - 1)]
        after = min(t + 1, last)
        for i in range(start, stop):
            later = gradients[after, i]
            following = later if t < last else np.float32(0.0)
            gates = (spikes[t, i], masks[t, i])
            gradients[t, i] = differentiate(row[i], potentials[t, i], following, gates, constants, held, value, total)


@njit(nogil=True, cache=True, inline="always")
def differentiate(
    backward_sum: np.float32,
    potential: np.float32,
    following: np.float32,
    gates: tuple[np.uint8, np.uint8],
    constants: tuple[np.float32, np.float32],
    reset: Reset,
    value: Rounding,
    total: Rounding,
) -> np.float32:
    """Return du of one neuron and timestep; `following` is du one timestep later; `gates` are its s and f."""
    alpha, beta = constants
    spike, mask = gates
    ds = backward_sum
    if not reset.detached:
        c = reset.drop if reset.subtract else round_product(alpha, potential, total)
        r = round_sum(np.float32(c * following), total)
        ds = round_sum(np.float32(backward_sum - r), total)
    through = round_product(beta, ds, total)
    kept = round_product(alpha, following, total)
    g = through if mask else np.float32(0.0)
    h = np.float32(0.0) if spike and not reset.subtract else kept
    return np.float32(round_float(round_sum(np.float32(g + h), total), value))


@njit(nogil=True, cache=True)
def _sum_over_time(gradients: Floats, sums: Floats, value: Rounding, total: Rounding, start: int, stop: int) -> None:
    for i in range(start, stop):
        a = np.float32(0.0)
        for t in range(gradients.shape[0] - 1, -1, -1):
            a = round_sum(np.float32(a + gradients[t, i]), total)
        sums[i] = round_float(a, value)
