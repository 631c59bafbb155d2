"""The neuron unit: leaky integration, firing and firing mask, one neuron and timestep an element."""

from __future__ import annotations

from typing import Any

from myhdl import Signal, always_comb, block, modbv

from rtl_models.arithmetic.adder import float_adder
from rtl_models.arithmetic.compare import float_greater
from rtl_models.arithmetic.convert import float_widen
from rtl_models.arithmetic.multiplier import float_multiplier
from rtl_models.arithmetic.narrow import float_narrow
from rtl_models.arithmetic.negate import float_negate
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


def neuron_unit(geometry: PipelineGeometry) -> Unit:
    """Return the neuron unit, with streams as of `rtl_models.pipeline.pipelined_unit`.

    x' = round_sum(x scale); p = +0 if first or s_before, else round_sum(alpha u_before);
    u = round_value(round_sum(p + x')); s = u > threshold; f = low < u < high. x is of the sum format, u and u_before
    are of the value format; `scale` is 2^-e for the sums over a byte input, else 1. With `any_reset`: where `subtract`,
    p after a spike is round_sum(round_sum(alpha u_before) - round_sum(drop)).
    """
    value = geometry.value_format.width_bits
    return pipelined_unit(
        "neuron",
        neuron,
        {**geometry.value_parameters, **geometry.sum_parameters, **geometry.reset_parameters},
        geometry.latency_cycles,
        ("alpha", "threshold", "low", "high", "scale", *(("drop",) if geometry.any_reset else ())),
        (Field("x", geometry.sum_format.width_bits), Field("u_before", value), Field("s_before", 1), Field("first", 1)),
        (Field("u", value), Field("s", 1), Field("f", 1)),
        ("subtract",) if geometry.any_reset else (),
    )


@block
def fire(
    x: Any,
    u_before: Any,
    s_before: Any,
    first: Any,
    alpha: Any,
    threshold: Any,
    low: Any,
    high: Any,
    scale: Any,
    u: Any,
    s: Any,
    f: Any,
    value_exponent_bits: int,
    value_fraction_bits: int,
    sum_exponent_bits: int,
    sum_fraction_bits: int,
    drop: Any = None,
    subtract: Any = None,
) -> Any:
    """Drive u, s and f of one element in the same cycle, as `neuron_unit` says; without `drop` the reset is to zero."""
    value_bits = (value_exponent_bits, value_fraction_bits)
    sum_bits = (sum_exponent_bits, sum_fraction_bits)
    value_width, sum_width = 1 + sum(value_bits), 1 + sum(sum_bits)
    scaled, leak, p, total = (Signal(modbv(0)[sum_width:]) for _ in range(4))
    potential = Signal(modbv(0)[value_width:])
    compared = Signal(modbv(0)[1 + sum(CONSTANT_BITS) :])
    above, above_low, below_high = (Signal(bool(0)) for _ in range(3))

    @always_comb
    def drive() -> None:
        u.next = potential
        s.next = above
        f.next = above_low and below_high

    if drop is None:
        subtraction: tuple[Any, ...] = ()

        @always_comb
        def gate() -> None:
            p.next = leak
            if first or s_before:
                p.next = 0

    else:
        rounded, minus, lowered = (Signal(modbv(0)[sum_width:]) for _ in range(3))
        subtraction = (
            float_narrow(drop, rounded, *CONSTANT_BITS, *sum_bits),
            float_negate(rounded, minus),
            float_adder(leak, minus, lowered, *sum_bits),
        )

        @always_comb
        def gate() -> None:
            p.next = leak
            if s_before:
                p.next = 0
                if subtract:
                    p.next = lowered
            if first:
                p.next = 0

    return (
        float_multiplier(x, scale, scaled, *sum_bits, *CONSTANT_BITS, *sum_bits),
        float_multiplier(u_before, alpha, leak, *value_bits, *CONSTANT_BITS, *sum_bits),
        gate,
        float_adder(p, scaled, total, *sum_bits),
        float_narrow(total, potential, *sum_bits, *value_bits),
        float_widen(potential, compared, *value_bits, *CONSTANT_BITS),
        float_greater(compared, threshold, above, *CONSTANT_BITS),
        float_greater(compared, low, above_low, *CONSTANT_BITS),
        float_greater(high, compared, below_high, *CONSTANT_BITS),
        drive,
        *subtraction,
    )


@block
def neuron(
    clk: Any,
    rst: Any,
    constants_valid: Any,
    constants_ready: Any,
    constants_alpha: Any,
    constants_threshold: Any,
    constants_low: Any,
    constants_high: Any,
    constants_scale: Any,
    element_valid: Any,
    element_ready: Any,
    element_x: Any,
    element_u_before: Any,
    element_s_before: Any,
    element_first: Any,
    element_renew: Any,
    out_valid: Any,
    out_ready: Any,
    out_u: Any,
    out_s: Any,
    out_f: Any,
    value_exponent_bits: int,
    value_fraction_bits: int,
    sum_exponent_bits: int,
    sum_fraction_bits: int,
    latency: int,
    any_reset: int = 0,
    constants_drop: Any = None,
    constants_subtract: Any = None,
) -> Any:
    """One neuron unit; ports and behaviour as `neuron_unit` says."""
    bits = (value_exponent_bits, value_fraction_bits, sum_exponent_bits, sum_fraction_bits)
    load, enable, s, f = (Signal(bool(0)) for _ in range(4))
    u = Signal(modbv(0)[len(out_u) :])
    constants = [constants_alpha, constants_threshold, constants_low, constants_high, constants_scale]
    constants += [constants_drop, constants_subtract] if any_reset else []
    held = registers_for(constants)
    held_alpha, held_threshold, held_low, held_high, held_scale, *reset = held
    held_drop, held_subtract = reset or (None, None)
    return (
        pipeline_control(
            clk, rst, constants_valid, constants_ready, element_valid, element_ready, element_renew,
            out_valid, out_ready, load, enable, latency,
        ),
        constant_registers(clk, load, constants, held),
        fire(
            element_x, element_u_before, element_s_before, element_first,
            held_alpha, held_threshold, held_low, held_high, held_scale, u, s, f, *bits,
            held_drop, held_subtract,
        ),
        delay_line(clk, enable, u, out_u, latency),
        delay_line(clk, enable, s, out_s, latency),
        delay_line(clk, enable, f, out_f, latency),
    )  # fmt: skip
