"""The size of a lane of a vector unit (neuron, gradient, optimiser, weight gradient)."""

from __future__ import annotations

from rtl_models.errors import InputError
from rtl_models.formats import FloatFormat
from rtl_models.gradient_unit import gradient_unit
from rtl_models.neuron_unit import neuron_unit
from rtl_models.optimiser_unit import optimiser_unit
from rtl_models.pipeline import PipelineGeometry
from rtl_models.transistors import transistor_counts
from rtl_models.weight_gradient_unit import weight_gradient_unit
from tlm.analysis.area.block_size import FLIP_FLOP_TRANSISTORS, BlockSize
from tlm.analysis.technology.range import Range

UNITS = {
    "neuron_unit": neuron_unit,
    "gradient_unit": gradient_unit,
    "optimiser_unit": optimiser_unit,
    "weight_gradient_unit": weight_gradient_unit,
}


def vector_size(
    block: str, value: FloatFormat, total: FloatFormat, latency_cycles: int, any_reset: bool = False
) -> BlockSize:
    """Return one lane of `block`, a name of `UNITS`.

    `any_reset` is a choice of the neuron and the gradient unit. The lane was counted with one register behind its
    logic; each further cycle of latency adds one as wide as the output. Raises InputError for formats that were not
    synthesised.
    """
    records = [
        r
        for r in transistor_counts().blocks
        if r.block == block and r.geometry["latency_cycles"] == 1 and r.geometry.get("any_reset", False) == any_reset
    ]
    for record in records:
        if (record.geometry["value_format"], record.geometry["sum_format"]) == (value.name, total.name):
            unit = UNITS[block](PipelineGeometry(value, total, latency_cycles))
            output_bits = 1 + sum(field.width_bits for field in unit.outputs[0].fields)
            registers = (latency_cycles - 1) * output_bits
            transistors = record.transistors + registers * FLIP_FLOP_TRANSISTORS
            return BlockSize(logic=Range.exact(transistors), flip_flops=record.flip_flops + registers)
    allowed = "; ".join(f"{r.geometry['value_format']} and {r.geometry['sum_format']}" for r in records)
    formats = f"{value.name} and {total.name}"
    raise InputError(f"transistors of the {block.replace('_', ' ')} were not counted", "area", formats, allowed)
