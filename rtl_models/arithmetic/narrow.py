"""Combinational conversion to a narrower format: one rounding, nearest even, subnormals kept."""

from __future__ import annotations

from typing import Any

from myhdl import Signal, always_comb, block, modbv

from rtl_models.arithmetic.rounding import float_round


@block
def float_narrow(
    wide: Any,
    narrow: Any,
    wide_exponent_bits: int,
    wide_fraction_bits: int,
    narrow_exponent_bits: int,
    narrow_fraction_bits: int,
) -> Any:
    """Drive `narrow` with `wide` rounded to its format, which has no more exponent bits and no more fraction bits.

    wide, narrow: as wide as their formats. A NaN becomes the narrow format's canonical NaN, also between equal formats.
    """
    SIGN = wide_exponent_bits + wide_fraction_bits
    FRACTION = wide_fraction_bits
    SPECIAL = (1 << wide_exponent_bits) - 1
    REBIAS = (1 << (wide_exponent_bits - 1)) - (1 << (narrow_exponent_bits - 1))

    sign, not_a_number, infinite = (Signal(bool(0)) for _ in range(3))
    exponent = Signal(modbv(0)[wide_exponent_bits:])
    significand = Signal(modbv(0)[FRACTION + 1 :])

    @always_comb
    def take_apart() -> None:
        scale = modbv(0)[wide_exponent_bits:]
        digits = modbv(0)[FRACTION + 1 :]
        special = modbv(0)[1:]
        scale[:] = wide[SIGN:FRACTION]
        digits[:] = wide[FRACTION:]
        special[:] = scale == SPECIAL
        not_a_number.next = special == 1 and digits != 0
        infinite.next = special
        # a subnormal has exponent 1 and no hidden bit
        if scale == 0:
            scale[:] = 1
        else:
            digits[FRACTION] = 1
        sign.next = wide[SIGN]
        exponent.next = scale
        significand.next = digits

    rounded = float_round(
        sign, exponent, significand, not_a_number, infinite, narrow,
        narrow_exponent_bits, narrow_fraction_bits, REBIAS, 0,
    )  # fmt: skip
    return take_apart, rounded
