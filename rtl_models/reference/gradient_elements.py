"""The gradient unit as a function: the exact bits that `rtl_models.gradient_unit` must send."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtl_models.formats import encode
from rtl_models.pipeline import PipelineGeometry
from rtl_models.pipeline_task import Payload, PipelineTask
from rtl_models.reference.gradient import differentiate
from rtl_models.reference.neuron import held_reset
from rtl_models.reference.rounding import Rounding, add_in_place, rounding
from rtl_models.reset import Reset

Floats = NDArray[np.float32]
Flags = NDArray[np.uint8]


def gradient_elements(task: PipelineTask, geometry: PipelineGeometry) -> dict[str, Payload]:
    """Return du, a_next (patterns of the sum format) and d16 of every element."""
    value, total = geometry.value_format, geometry.sum_format
    fields = task.elements
    sums, u = task.numbers("sum", total), task.numbers("u", value)
    following = np.where(fields["last"] == 1, np.float32(0), task.numbers("du_next", value))
    s, f = np.asarray(fields["s"], np.uint8), np.asarray(fields["f"], np.uint8)
    du = np.empty(len(u), np.float32)
    for number, group in task.groups:
        alpha, beta = task.constants_of(number, ("alpha", "beta"))
        inputs = (sums[group], u[group], following[group], s[group], f[group])
        _differentiate(*inputs, du[group], (alpha, beta), task.reset_of(number), rounding(value), rounding(total))
    a = task.numbers("a", total).copy()
    add_in_place(a, du, rounding(total))
    return {"du": encode(du, value), "a_next": encode(a, total), "d16": encode(a, value)}


@njit(nogil=True, cache=True)
def _differentiate(
    sums: Floats,
    u: Floats,
    following: Floats,
    s: Flags,
    f: Flags,
    du: Floats,
    constants: tuple[np.float32, np.float32],
    reset: Reset,
    value: Rounding,
    total: Rounding,
) -> None:
    held = held_reset(reset, total)
    for i in range(u.size):
        du[i] = differentiate(sums[i], u[i], following[i], (s[i], f[i]), constants, held, value, total)
