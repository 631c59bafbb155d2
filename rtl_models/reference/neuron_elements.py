"""The neuron unit as a function: the exact bits that `rtl_models.neuron_unit` must send."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtl_models.formats import encode
from rtl_models.pipeline import PipelineGeometry
from rtl_models.pipeline_task import Payload, PipelineTask
from rtl_models.reference.lut import scale_sums
from rtl_models.reference.neuron import fire
from rtl_models.reference.rounding import Rounding, rounding

Floats = NDArray[np.float32]
Flags = NDArray[np.uint8]


def neuron_elements(task: PipelineTask, geometry: PipelineGeometry) -> dict[str, Payload]:
    """Return u (patterns of the value format), s and f of every element."""
    value, total = geometry.value_format, geometry.sum_format
    fields = task.elements
    x = task.numbers("x", total)
    before = task.numbers("u_before", value)
    leaks = (fields["first"] | fields["s_before"]) == 0
    u = np.empty(len(x), np.float32)
    s, f = np.empty(len(x), np.uint8), np.empty(len(x), np.uint8)
    for number, group in task.groups:
        alpha, threshold, low, high, scale = task.constants_of(number, ("alpha", "threshold", "low", "high", "scale"))
        scaled = x[group].copy()
        scale_sums(scaled, scale, rounding(total))
        lif = (alpha, threshold, low, high)
        _fire(scaled, before[group], leaks[group], u[group], s[group], f[group], lif, rounding(value), rounding(total))
    return {"u": encode(u, value), "s": s, "f": f}


@njit(nogil=True, cache=True)
def _fire(
    x: Floats,
    before: Floats,
    leaks: NDArray[np.bool_],
    u: Floats,
    s: Flags,
    f: Flags,
    constants: tuple[np.float32, np.float32, np.float32, np.float32],
    value: Rounding,
    total: Rounding,
) -> None:
    for i in range(x.size):
        u[i], s[i], f[i] = fire(x[i], before[i], leaks[i], constants, value, total)
