"""The neuron unit as a function: the exact bits that `rtl_models.neuron_unit` must send."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtl_models.formats import encode
from rtl_models.pipeline import PipelineGeometry
from rtl_models.pipeline_task import Payload, PipelineTask
from rtl_models.reference.lut import scale_sums
from rtl_models.reference.neuron import fire, held_reset
from rtl_models.reference.rounding import Rounding, rounding
from rtl_models.reset import Reset

Floats = NDArray[np.float32]
Flags = NDArray[np.uint8]


def neuron_elements(task: PipelineTask, geometry: PipelineGeometry) -> dict[str, Payload]:
    """Return u (patterns of the value format), s and f of every element."""
    value, total = geometry.value_format, geometry.sum_format
    fields = task.elements
    x = task.numbers("x", total)
    before = task.numbers("u_before", value)
    first, fired = fields["first"] == 1, fields["s_before"] == 1
    u = np.empty(len(x), np.float32)
    s, f = np.empty(len(x), np.uint8), np.empty(len(x), np.uint8)
    for number, group in task.groups:
        alpha, threshold, low, high, scale = task.constants_of(number, ("alpha", "threshold", "low", "high", "scale"))
        scaled = x[group].copy()
        scale_sums(scaled, scale, rounding(total))
        lif = (alpha, threshold, low, high)
        state = (scaled, before[group], first[group], fired[group], u[group], s[group], f[group])
        _fire(*state, lif, task.reset_of(number), rounding(value), rounding(total))
    return {"u": encode(u, value), "s": s, "f": f}


@njit(nogil=True, cache=True)
def _fire(
    x: Floats,
    before: Floats,
    first: NDArray[np.bool_],
    fired: NDArray[np.bool_],
    u: Floats,
    s: Flags,
    f: Flags,
    constants: tuple[np.float32, np.float32, np.float32, np.float32],
    reset: Reset,
    value: Rounding,
    total: Rounding,
) -> None:
    held = held_reset(reset, total)
    for i in range(x.size):
        u[i], s[i], f[i] = fire(x[i], before[i], (first[i], fired[i]), constants, held, value, total)
