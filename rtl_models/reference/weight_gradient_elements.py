"""The weight gradient unit as a function: the exact bits that `rtl_models.weight_gradient_unit` must send."""

from __future__ import annotations

from rtl_models.formats import encode
from rtl_models.pipeline import PipelineGeometry
from rtl_models.pipeline_task import Payload, PipelineTask
from rtl_models.reference.lut import scale_sums
from rtl_models.reference.rounding import add_in_place, rounding


def weight_gradient_elements(task: PipelineTask, geometry: PipelineGeometry) -> dict[str, Payload]:
    """Return the new dw of every element, patterns of the sum format."""
    total = geometry.sum_format
    dw, h = task.numbers("dw", total).copy(), task.numbers("h", total).copy()
    for number, group in task.groups:
        (scale,) = task.constants_of(number, ("scale",))
        scale_sums(h[group], scale, rounding(total))
    add_in_place(dw, h, rounding(total))
    return {"dw": encode(dw, total)}
