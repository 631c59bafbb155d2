"""SGD with momentum in binary32, and the loss scale (docs/contract.md, "Optimiser")."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_models.formats import FloatFormat, round_to

Floats = NDArray[np.float32]
GROWTH_STEPS = 2000  # finite steps after which a dynamic loss scale doubles (docs/contract.md, "Optimiser")


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
    rate, mu, decay = (np.float32(constant) for constant in constants)
    with np.errstate(all="ignore"):
        gradient = np.ldexp(weight_gradient.astype(np.float64), -scale_log2).astype(np.float32)
        if decay != 0:
            gradient = gradient + decay * master
        velocity = mu * momentum + gradient
        updated = master - rate * velocity
    return updated, velocity, round_to(updated, value)


def next_scale(scale_log2: int, finite_steps: int, skipped: bool) -> tuple[int, int]:
    """Return the dynamic loss scale (q, finite steps) after a step: q - 1 if skipped, q + 1 after 2,000 finite."""
    if skipped:
        return scale_log2 - 1, 0
    if finite_steps + 1 >= GROWTH_STEPS:
        return scale_log2 + 1, 0
    return scale_log2, finite_steps + 1
