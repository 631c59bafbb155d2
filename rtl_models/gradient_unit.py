"""The gradient unit: du of one neuron and timestep an element, and the running sum of du over time."""

from __future__ import annotations

from typing import Any

from myhdl import Signal, always_comb, block, modbv

from rtl_models.arithmetic.adder import float_adder
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


def gradient_unit(geometry: PipelineGeometry) -> Unit:
    """Return the gradient unit, with streams as of `rtl_models.pipeline.pipelined_unit`.

    d = +0 if last (t = T), else du_next; r = round_sum(round_sum(alpha u) d); ds = round_sum(sum - r);
    g = round_sum(beta ds) if f, else +0; h = +0 if s, else round_sum(alpha d); du = round_value(round_sum(g + h));
    a_next = round_sum(a + du); d16 = round_value(a_next). sum, a and a_next are of the sum format, u, du_next, du and
    d16 of the value format. With `any_reset`: where `subtract`, r = round_sum(round_sum(drop) d) and s does not gate h;
    where `detached`, ds = sum.
    """
    value, total = geometry.value_format.width_bits, geometry.sum_format.width_bits
    flags = (Field("f", 1), Field("s", 1), Field("last", 1))
    return pipelined_unit(
        "gradient",
        gradient,
        {**geometry.value_parameters, **geometry.sum_parameters, **geometry.reset_parameters},
        geometry.latency_cycles,
        ("alpha", "beta", *(("drop",) if geometry.any_reset else ())),
        (Field("sum", total), Field("u", value), Field("du_next", value), *flags, Field("a", total)),
        (Field("du", value), Field("a_next", total), Field("d16", value)),
        ("subtract", "detached") if geometry.any_reset else (),
    )


@block
def choose_reset(
    leak: Any,
    taken: Any,
    backward_sum: Any,
    s: Any,
    drop: Any,
    subtract: Any,
    detached: Any,
    factor: Any,
    ds: Any,
    ends: Any,
    sum_exponent_bits: int,
    sum_fraction_bits: int,
) -> Any:
    """Drive what du_next is multiplied by, ds, and whether the spike ends the path through time.

    taken: the backward sum less the gradient through the reset.
    """
    rounded = Signal(modbv(0)[1 + sum_exponent_bits + sum_fraction_bits :])

    @always_comb
    def choose() -> None:
        factor.next = leak
        ends.next = s
        if subtract:
            factor.next = rounded
            ends.next = 0
        ds.next = taken
        if detached:
            ds.next = backward_sum

    return float_narrow(drop, rounded, *CONSTANT_BITS, sum_exponent_bits, sum_fraction_bits), choose


@block
def differentiate(
    backward_sum: Any,
    u: Any,
    du_next: Any,
    f: Any,
    s: Any,
    last: Any,
    alpha: Any,
    beta: Any,
    du: Any,
    value_exponent_bits: int,
    value_fraction_bits: int,
    sum_exponent_bits: int,
    sum_fraction_bits: int,
    drop: Any = None,
    subtract: Any = None,
    detached: Any = None,
) -> Any:
    """Drive du of one element in the same cycle, as `gradient_unit` says; without `drop` the reset is to zero."""
    value_bits = (value_exponent_bits, value_fraction_bits)
    sum_bits = (sum_exponent_bits, sum_fraction_bits)
    value_width, sum_width = 1 + sum(value_bits), 1 + sum(sum_bits)
    following = Signal(modbv(0)[value_width:])
    leak, r, minus_r, ds, through_spike, through_time, g, h, total = (Signal(modbv(0)[sum_width:]) for _ in range(9))

    factor, taken, ends = leak, ds, s
    choice: tuple[Any, ...] = ()
    if drop is not None:
        factor, taken = (Signal(modbv(0)[sum_width:]) for _ in range(2))
        ends = Signal(bool(0))
        choice = (choose_reset(leak, taken, backward_sum, s, drop, subtract, detached, factor, ds, ends, *sum_bits),)

    @always_comb
    def end_of_time() -> None:
        following.next = du_next
        if last:
            following.next = 0

    @always_comb
    def gate() -> None:
        g.next = 0
        if f:
            g.next = through_spike
        h.next = through_time
        if ends:
            h.next = 0

    return (
        end_of_time,
        float_multiplier(u, alpha, leak, *value_bits, *CONSTANT_BITS, *sum_bits),
        float_multiplier(factor, following, r, *sum_bits, *value_bits, *sum_bits),
        float_negate(r, minus_r),
        float_adder(backward_sum, minus_r, taken, *sum_bits),
        float_multiplier(ds, beta, through_spike, *sum_bits, *CONSTANT_BITS, *sum_bits),
        float_multiplier(following, alpha, through_time, *value_bits, *CONSTANT_BITS, *sum_bits),
        gate,
        float_adder(g, h, total, *sum_bits),
        float_narrow(total, du, *sum_bits, *value_bits),
        *choice,
    )


@block
def gradient(
    clk: Any,
    rst: Any,
    constants_valid: Any,
    constants_ready: Any,
    constants_alpha: Any,
    constants_beta: Any,
    element_valid: Any,
    element_ready: Any,
    element_sum: Any,
    element_u: Any,
    element_du_next: Any,
    element_f: Any,
    element_s: Any,
    element_last: Any,
    element_a: Any,
    element_renew: Any,
    out_valid: Any,
    out_ready: Any,
    out_du: Any,
    out_a_next: Any,
    out_d16: Any,
    value_exponent_bits: int,
    value_fraction_bits: int,
    sum_exponent_bits: int,
    sum_fraction_bits: int,
    latency: int,
    any_reset: int = 0,
    constants_drop: Any = None,
    constants_subtract: Any = None,
    constants_detached: Any = None,
) -> Any:
    """One gradient unit; ports and behaviour as `gradient_unit` says."""
    value_bits = (value_exponent_bits, value_fraction_bits)
    sum_bits = (sum_exponent_bits, sum_fraction_bits)
    load, enable = (Signal(bool(0)) for _ in range(2))
    du, d16 = (Signal(modbv(0)[len(out_du) :]) for _ in range(2))
    widened, a_next = (Signal(modbv(0)[len(out_a_next) :]) for _ in range(2))
    constants = [constants_alpha, constants_beta]
    constants += [constants_drop, constants_subtract, constants_detached] if any_reset else []
    held = registers_for(constants)
    held_alpha, held_beta, *reset = held
    held_drop, held_subtract, held_detached = reset or (None, None, None)
    return (
        pipeline_control(
            clk, rst, constants_valid, constants_ready, element_valid, element_ready, element_renew,
            out_valid, out_ready, load, enable, latency,
        ),
        constant_registers(clk, load, constants, held),
        differentiate(
            element_sum, element_u, element_du_next, element_f, element_s, element_last, held_alpha, held_beta, du,
            *value_bits, *sum_bits, held_drop, held_subtract, held_detached,
        ),
        float_widen(du, widened, *value_bits, *sum_bits),
        float_adder(element_a, widened, a_next, *sum_bits),
        float_narrow(a_next, d16, *sum_bits, *value_bits),
        delay_line(clk, enable, du, out_du, latency),
        delay_line(clk, enable, a_next, out_a_next, latency),
        delay_line(clk, enable, d16, out_d16, latency),
    )  # fmt: skip
