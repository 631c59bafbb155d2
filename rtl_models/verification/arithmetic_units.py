"""The arithmetic blocks as units of their own: operands in, result out in the same cycle."""

from __future__ import annotations

from typing import Any

from myhdl import always_comb, block

from rtl_models.arithmetic.adder import float_adder
from rtl_models.arithmetic.compare import float_greater
from rtl_models.arithmetic.convert import float_double, float_widen
from rtl_models.arithmetic.multiplier import float_multiplier
from rtl_models.arithmetic.narrow import float_narrow
from rtl_models.formats import FloatFormat
from rtl_models.units import Field, Stream, Unit


def adder_unit(fmt: FloatFormat) -> Unit:
    """Return the adder of a format: in (a, b), out (result)."""
    return _binary(f"adder_{fmt.name}", adder, (fmt, fmt), fmt.width_bits, _bits(fmt))


def multiplier_unit(a: FloatFormat, b: FloatFormat, result: FloatFormat) -> Unit:
    """Return the multiplier of two formats into a third: in (a, b), out (result)."""
    parameters = _bits(a, "a_") | _bits(b, "b_") | _bits(result)
    name = f"multiplier_{a.name}_{b.name}_{result.name}"
    return _binary(name, multiplier, (a, b), result.width_bits, parameters)


def greater_unit(fmt: FloatFormat) -> Unit:
    """Return the comparison a > b of a format: in (a, b), out (result, 1 bit)."""
    return _binary(f"greater_{fmt.name}", greater, (fmt, fmt), 1, _bits(fmt))


def narrow_unit(wide: FloatFormat, narrow: FloatFormat) -> Unit:
    """Return the rounding conversion: in (a), out (result)."""
    parameters = _bits(wide, "wide_") | _bits(narrow, "narrow_")
    return _unary(f"narrow_{wide.name}_{narrow.name}", narrower, wide, narrow, parameters)


def widen_unit(narrow: FloatFormat, wide: FloatFormat) -> Unit:
    """Return the exact conversion: in (a), out (result)."""
    parameters = _bits(narrow, "narrow_") | _bits(wide, "wide_")
    return _unary(f"widen_{narrow.name}_{wide.name}", widener, narrow, wide, parameters)


def double_unit(fmt: FloatFormat) -> Unit:
    """Return 2 a: in (a), out (result)."""
    return _unary(f"double_{fmt.name}", doubler, fmt, fmt, _bits(fmt))


def _bits(fmt: FloatFormat, prefix: str = "") -> dict[str, int]:
    return {f"{prefix}exponent_bits": fmt.exponent_bits, f"{prefix}fraction_bits": fmt.fraction_bits}


def _binary(
    name: str, hardware: Any, formats: tuple[FloatFormat, FloatFormat], result_bits: int, parameters: dict[str, int]
) -> Unit:
    operands = Stream("in", (Field("a", formats[0].width_bits), Field("b", formats[1].width_bits)))
    return Unit(name, hardware, parameters, (operands,), (Stream("out", (Field("result", result_bits),)),))


def _unary(name: str, hardware: Any, fmt: FloatFormat, result: FloatFormat, parameters: dict[str, int]) -> Unit:
    operand = Stream("in", (Field("a", fmt.width_bits),))
    return Unit(name, hardware, parameters, (operand,), (Stream("out", (Field("result", result.width_bits),)),))


@block
def couple(in_valid: Any, in_ready: Any, out_valid: Any, out_ready: Any) -> Any:
    """Join the two streams without a register."""

    @always_comb
    def wires() -> None:
        in_ready.next = out_ready
        out_valid.next = in_valid

    return wires


@block
def adder(
    clk: Any, rst: Any, in_valid: Any, in_ready: Any, in_a: Any, in_b: Any, out_valid: Any, out_ready: Any,
    out_result: Any, exponent_bits: int, fraction_bits: int,
) -> Any:  # fmt: skip
    """The adder between two streams."""
    streams = couple(in_valid, in_ready, out_valid, out_ready)
    return streams, float_adder(in_a, in_b, out_result, exponent_bits, fraction_bits)


@block
def multiplier(
    clk: Any, rst: Any, in_valid: Any, in_ready: Any, in_a: Any, in_b: Any, out_valid: Any, out_ready: Any,
    out_result: Any, a_exponent_bits: int, a_fraction_bits: int, b_exponent_bits: int, b_fraction_bits: int,
    exponent_bits: int, fraction_bits: int,
) -> Any:  # fmt: skip
    """The multiplier between two streams."""
    a_bits, b_bits = (a_exponent_bits, a_fraction_bits), (b_exponent_bits, b_fraction_bits)
    streams = couple(in_valid, in_ready, out_valid, out_ready)
    return streams, float_multiplier(in_a, in_b, out_result, *a_bits, *b_bits, exponent_bits, fraction_bits)


@block
def greater(
    clk: Any, rst: Any, in_valid: Any, in_ready: Any, in_a: Any, in_b: Any, out_valid: Any, out_ready: Any,
    out_result: Any, exponent_bits: int, fraction_bits: int,
) -> Any:  # fmt: skip
    """The comparison between two streams."""
    streams = couple(in_valid, in_ready, out_valid, out_ready)
    return streams, float_greater(in_a, in_b, out_result, exponent_bits, fraction_bits)


@block
def narrower(
    clk: Any, rst: Any, in_valid: Any, in_ready: Any, in_a: Any, out_valid: Any, out_ready: Any, out_result: Any,
    wide_exponent_bits: int, wide_fraction_bits: int, narrow_exponent_bits: int, narrow_fraction_bits: int,
) -> Any:  # fmt: skip
    """The rounding conversion between two streams."""
    wide, narrow = (wide_exponent_bits, wide_fraction_bits), (narrow_exponent_bits, narrow_fraction_bits)
    return couple(in_valid, in_ready, out_valid, out_ready), float_narrow(in_a, out_result, *wide, *narrow)


@block
def widener(
    clk: Any, rst: Any, in_valid: Any, in_ready: Any, in_a: Any, out_valid: Any, out_ready: Any, out_result: Any,
    narrow_exponent_bits: int, narrow_fraction_bits: int, wide_exponent_bits: int, wide_fraction_bits: int,
) -> Any:  # fmt: skip
    """The exact conversion between two streams."""
    narrow, wide = (narrow_exponent_bits, narrow_fraction_bits), (wide_exponent_bits, wide_fraction_bits)
    return couple(in_valid, in_ready, out_valid, out_ready), float_widen(in_a, out_result, *narrow, *wide)


@block
def doubler(
    clk: Any, rst: Any, in_valid: Any, in_ready: Any, in_a: Any, out_valid: Any, out_ready: Any, out_result: Any,
    exponent_bits: int, fraction_bits: int,
) -> Any:  # fmt: skip
    """The doubling between two streams."""
    return couple(in_valid, in_ready, out_valid, out_ready), float_double(
        in_a, out_result, exponent_bits, fraction_bits
    )
