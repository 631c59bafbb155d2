"""The optimiser unit as a function: the exact bits that `rtl_models.optimiser_unit` must send."""

from __future__ import annotations

import numpy as np

from rtl_models.errors import InputError
from rtl_models.formats import BINARY32, encode
from rtl_models.pipeline import PipelineGeometry
from rtl_models.pipeline_task import Payload, PipelineTask
from rtl_models.reference.optimiser import sgd


def optimiser_elements(task: PipelineTask, geometry: PipelineGeometry) -> dict[str, Payload]:
    """Return v, w (patterns of binary32) and w16 (of the value format) of every element.

    Raises InputError where a group's scale is not a power of two.
    """
    dw = task.numbers("dw", geometry.sum_format)
    v, w = task.numbers("v", BINARY32), task.numbers("w", BINARY32)
    new_v, new_w, w16 = (np.empty(len(dw), np.float32) for _ in range(3))
    for number, group in task.groups:
        scale, mu, lr, wd = task.constants_of(number, ("scale", "mu", "lr", "wd"))
        fraction, exponent = np.frexp(scale)
        if fraction != 0.5:
            raise InputError("scale", f"optimiser task, group {number}", float(scale), "a power of two")
        new_w[group], new_v[group], w16[group] = sgd(
            w[group], v[group], dw[group], (lr, mu, wd), 1 - int(exponent), geometry.value_format
        )
    return {"v": encode(new_v, BINARY32), "w": encode(new_w, BINARY32), "w16": encode(w16, geometry.value_format)}
