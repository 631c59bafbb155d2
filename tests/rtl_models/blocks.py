"""Small units for the tests of arithmetic and simulators: functions as streams, a FIFO, and units that misbehave."""

from __future__ import annotations

from typing import Any

from myhdl import Signal, always, always_comb, block, concat, modbv

from rtl_models.arithmetic.adder import float_adder
from rtl_models.arithmetic.convert import float_double, float_widen
from rtl_models.formats import FloatFormat
from rtl_models.units import Field, Stream, Unit


@block
def pass_through(in_valid: Any, in_ready: Any, out_valid: Any, out_ready: Any) -> Any:
    """Couple two streams without a register."""

    @always_comb
    def couple() -> None:
        in_ready.next = out_ready
        out_valid.next = in_valid

    return couple


@block
def adder_block(
    clk: Any, rst: Any, in_valid: Any, in_ready: Any, in_a: Any, in_b: Any,
    out_valid: Any, out_ready: Any, out_sum: Any,
    exponent_bits: int, fraction_bits: int,
) -> Any:  # fmt: skip
    """The adder between two streams."""
    handshake = pass_through(in_valid, in_ready, out_valid, out_ready)
    adder = float_adder(in_a, in_b, out_sum, exponent_bits, fraction_bits)
    return handshake, adder


def adder_unit(fmt: FloatFormat) -> Unit:
    """Return the adder of a format as a unit: in (a, b), out (sum)."""
    width = fmt.width_bits
    parameters = {"exponent_bits": fmt.exponent_bits, "fraction_bits": fmt.fraction_bits}
    operands = Stream("in", (Field("a", width), Field("b", width)))
    return Unit(f"adder_{fmt.name}", adder_block, parameters, (operands,), (Stream("out", (Field("sum", width),)),))


@block
def arithmetic_block(
    clk: Any, rst: Any, in_valid: Any, in_ready: Any, in_a: Any, in_b: Any, out_valid: Any, out_ready: Any,
    out_sum_binary16: Any, out_sum_bfloat16: Any, out_sum_binary32: Any, out_wide_binary16: Any,
    out_wide_bfloat16: Any, out_same: Any, out_twice_binary16: Any, out_twice_bfloat16: Any, out_twice_binary32: Any,
) -> Any:  # fmt: skip
    """Every arithmetic block in every format, side by side, between two streams; narrow ones read the low bits."""
    half_a, half_b = in_a(16, 0), in_b(16, 0)
    return (
        pass_through(in_valid, in_ready, out_valid, out_ready),
        float_adder(half_a, half_b, out_sum_binary16, 5, 10),
        float_adder(half_a, half_b, out_sum_bfloat16, 8, 7),
        float_adder(in_a, in_b, out_sum_binary32, 8, 23),
        float_widen(half_a, out_wide_binary16, 5, 10, 8, 23),
        float_widen(half_a, out_wide_bfloat16, 8, 7, 8, 23),
        float_widen(in_a, out_same, 8, 23, 8, 23),
        float_double(half_a, out_twice_binary16, 5, 10),
        float_double(half_a, out_twice_bfloat16, 8, 7),
        float_double(in_a, out_twice_binary32, 8, 23),
    )


def arithmetic_unit() -> Unit:
    """Return all arithmetic blocks as one unit: in (a, b), out (one field per block and format)."""
    widths = {
        "sum_binary16": 16, "sum_bfloat16": 16, "sum_binary32": 32, "wide_binary16": 32, "wide_bfloat16": 32,
        "same": 32, "twice_binary16": 16, "twice_bfloat16": 16, "twice_binary32": 32,
    }  # fmt: skip
    operands = Stream("in", (Field("a", 32), Field("b", 32)))
    results = Stream("out", tuple(Field(name, width) for name, width in widths.items()))
    return Unit("arithmetic", arithmetic_block, {}, (operands,), (results,))


@block
def fifo_block(
    clk: Any, rst: Any, in_valid: Any, in_ready: Any, in_low: Any, in_high: Any,
    out_valid: Any, out_ready: Any, out_data: Any, depth: int,
) -> Any:  # fmt: skip
    """A ready/valid FIFO; out_data is in_high above in_low."""
    width = len(in_low) + len(in_high)
    memory = [Signal(modbv(0)[width:]) for _ in range(depth)]
    pair = Signal(modbv(0)[width:])
    read, write = (Signal(modbv(0, min=0, max=depth)) for _ in range(2))
    level = Signal(modbv(0, min=0, max=2 * depth))
    put, get = (Signal(bool(0)) for _ in range(2))

    @always_comb
    def drive() -> None:
        pair.next = concat(in_high, in_low)
        in_ready.next = level < depth
        out_valid.next = level > 0
        out_data.next = memory[read]
        put.next = in_valid and level < depth
        get.next = out_ready and level > 0

    @always(clk.posedge)
    def move() -> None:
        if rst:
            read.next = 0
            write.next = 0
            level.next = 0
        else:
            if put:
                memory[write].next = pair
                write.next = write + 1
            if get:
                read.next = read + 1
            if put and not get:
                level.next = level + 1
            if get and not put:
                level.next = level - 1

    return drive, move


def fifo_unit(depth: int = 4, low_bits: int = 7, high_bits: int = 93) -> Unit:
    """Return a FIFO of `depth` (a power of two) beats: in (low, high), out (data)."""
    fields = (Field("low", low_bits), Field("high", high_bits))
    data = Field("data", low_bits + high_bits)
    return Unit("fifo", fifo_block, {"depth": depth}, (Stream("in", fields),), (Stream("out", (data,)),))


@block
def stuck_block(
    clk: Any, rst: Any, in_valid: Any, in_ready: Any, in_a: Any, out_valid: Any, out_ready: Any, out_b: Any, takes: int
) -> Any:
    """Take `takes` beats, send nothing."""
    count = Signal(modbv(0)[8:])

    @always(clk.posedge)
    def move() -> None:
        if rst:
            count.next = 0
        elif in_valid and count < takes:
            count.next = count + 1

    @always_comb
    def drive() -> None:
        in_ready.next = count < takes
        out_valid.next = (count > takes) or (count > takes and out_ready and in_a == 0)
        out_b.next = in_a

    return move, drive


def stuck_unit() -> Unit:
    """Return a unit that takes two beats and then hangs."""
    return Unit(
        "stuck", stuck_block, {"takes": 2}, (Stream("in", (Field("a", 8),)),), (Stream("out", (Field("b", 8),)),)
    )
