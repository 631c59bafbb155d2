"""The optimiser unit: SGD with momentum and weight decay in binary32, one weight an element."""

from __future__ import annotations

from typing import Any

from myhdl import Signal, always_comb, block, modbv

from rtl_models.arithmetic.adder import float_adder
from rtl_models.arithmetic.multiplier import float_multiplier
from rtl_models.arithmetic.narrow import float_narrow
from rtl_models.arithmetic.negate import float_negate
from rtl_models.arithmetic.pipeline import delay_line
from rtl_models.formats import BINARY32
from rtl_models.pipeline import (
    CONSTANT_BITS,
    PipelineGeometry,
    constant_registers,
    pipeline_control,
    pipelined_unit,
    registers_for,
)
from rtl_models.units import Field, Unit


def optimiser_unit(geometry: PipelineGeometry) -> Unit:
    """Return the optimiser unit, with streams as of `rtl_models.pipeline.pipelined_unit`.

    g = round32(dw scale), and where wd is not 0 g = round32(g + round32(wd w)); v = round32(round32(mu v) + g);
    w = round32(w - round32(lr v)); w16 = round_value(w). dw is of the sum format, v and w are binary32, w16 is of the
    value format; `scale` is 2^-q.
    """
    single = BINARY32.width_bits
    return pipelined_unit(
        "optimiser",
        optimiser,
        {**geometry.value_parameters, **geometry.sum_parameters},
        geometry.latency_cycles,
        ("scale", "mu", "lr", "wd"),
        (Field("dw", geometry.sum_format.width_bits), Field("v", single), Field("w", single)),
        (Field("v", single), Field("w", single), Field("w16", geometry.value_format.width_bits)),
    )


@block
def descend(
    dw: Any,
    v: Any,
    w: Any,
    scale: Any,
    mu: Any,
    lr: Any,
    wd: Any,
    new_v: Any,
    new_w: Any,
    sum_exponent_bits: int,
    sum_fraction_bits: int,
) -> Any:
    """Drive the new momentum and master weight of one element in the same cycle, as `optimiser_unit` says."""
    bits = CONSTANT_BITS
    SIGN = sum(bits)
    unscaled, decay, decayed, g, kept, velocity, step, minus_step = (Signal(modbv(0)[SIGN + 1 :]) for _ in range(8))

    @always_comb
    def choose() -> None:
        g.next = unscaled
        if wd[SIGN:] != 0:
            g.next = decayed

    @always_comb
    def drive() -> None:
        new_v.next = velocity

    return (
        float_multiplier(dw, scale, unscaled, sum_exponent_bits, sum_fraction_bits, *bits, *bits),
        float_multiplier(wd, w, decay, *bits, *bits, *bits),
        float_adder(unscaled, decay, decayed, *bits),
        choose,
        float_multiplier(mu, v, kept, *bits, *bits, *bits),
        float_adder(kept, g, velocity, *bits),
        float_multiplier(lr, velocity, step, *bits, *bits, *bits),
        float_negate(step, minus_step),
        float_adder(w, minus_step, new_w, *bits),
        drive,
    )


@block
def optimiser(
    clk: Any,
    rst: Any,
    constants_valid: Any,
    constants_ready: Any,
    constants_scale: Any,
    constants_mu: Any,
    constants_lr: Any,
    constants_wd: Any,
    element_valid: Any,
    element_ready: Any,
    element_dw: Any,
    element_v: Any,
    element_w: Any,
    element_renew: Any,
    out_valid: Any,
    out_ready: Any,
    out_v: Any,
    out_w: Any,
    out_w16: Any,
    value_exponent_bits: int,
    value_fraction_bits: int,
    sum_exponent_bits: int,
    sum_fraction_bits: int,
    latency: int,
) -> Any:
    """One optimiser unit; ports and behaviour as `optimiser_unit` says."""
    load, enable = (Signal(bool(0)) for _ in range(2))
    v, w = (Signal(modbv(0)[len(out_w) :]) for _ in range(2))
    w16 = Signal(modbv(0)[len(out_w16) :])
    held_scale, held_mu, held_lr, held_wd = registers_for([constants_scale, constants_mu, constants_lr, constants_wd])
    return (
        pipeline_control(
            clk, rst, constants_valid, constants_ready, element_valid, element_ready, element_renew,
            out_valid, out_ready, load, enable, latency,
        ),
        constant_registers(
            clk, load,
            [constants_scale, constants_mu, constants_lr, constants_wd],
            [held_scale, held_mu, held_lr, held_wd],
        ),
        descend(
            element_dw, element_v, element_w, held_scale, held_mu, held_lr, held_wd, v, w,
            sum_exponent_bits, sum_fraction_bits,
        ),
        float_narrow(w, w16, *CONSTANT_BITS, value_exponent_bits, value_fraction_bits),
        delay_line(clk, enable, v, out_v, latency),
        delay_line(clk, enable, w, out_w, latency),
        delay_line(clk, enable, w16, out_w16, latency),
    )  # fmt: skip
