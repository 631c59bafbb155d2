"""The weight gradient unit of a first layer with byte input: adds a micro-batch's scaled sums to dW."""

from __future__ import annotations

from typing import Any

from myhdl import Signal, block, modbv

from rtl_models.arithmetic.adder import float_adder
from rtl_models.arithmetic.multiplier import float_multiplier
from rtl_models.arithmetic.pipeline import delay_line
from rtl_models.pipeline import (
    CONSTANT_BITS,
    PipelineGeometry,
    constant_registers,
    pipeline_control,
    pipelined_unit,
    registers_for,
)
from rtl_models.units import Field, Unit


def weight_gradient_unit(geometry: PipelineGeometry) -> Unit:
    """Return the weight gradient unit, with streams as of `rtl_models.pipeline.pipelined_unit`.

    out dw = round_sum(dw + round_sum(h scale)); h, dw and the result are of the sum format; `scale` is 2^-e.
    """
    total = geometry.sum_format.width_bits
    return pipelined_unit(
        "weight_gradient",
        weight_gradient,
        geometry.sum_parameters,
        geometry.latency_cycles,
        ("scale",),
        (Field("h", total), Field("dw", total)),
        (Field("dw", total),),
    )


@block
def weight_gradient(
    clk: Any,
    rst: Any,
    constants_valid: Any,
    constants_ready: Any,
    constants_scale: Any,
    element_valid: Any,
    element_ready: Any,
    element_h: Any,
    element_dw: Any,
    element_renew: Any,
    out_valid: Any,
    out_ready: Any,
    out_dw: Any,
    sum_exponent_bits: int,
    sum_fraction_bits: int,
    latency: int,
) -> Any:
    """One weight gradient unit; ports and behaviour as `weight_gradient_unit` says."""
    sum_bits = (sum_exponent_bits, sum_fraction_bits)
    load, enable = (Signal(bool(0)) for _ in range(2))
    scaled, dw = (Signal(modbv(0)[len(out_dw) :]) for _ in range(2))
    (held_scale,) = registers_for([constants_scale])
    return (
        pipeline_control(
            clk, rst, constants_valid, constants_ready, element_valid, element_ready, element_renew,
            out_valid, out_ready, load, enable, latency,
        ),
        constant_registers(clk, load, [constants_scale], [held_scale]),
        float_multiplier(element_h, held_scale, scaled, *sum_bits, *CONSTANT_BITS, *sum_bits),
        float_adder(element_dw, scaled, dw, *sum_bits),
        delay_line(clk, enable, dw, out_dw, latency),
    )  # fmt: skip
