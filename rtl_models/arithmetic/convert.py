"""Combinational exact conversions: to a wider format, and to the double of a number."""

from __future__ import annotations

from typing import Any

from myhdl import always_comb, block, downrange, modbv


@block
def float_widen(
    narrow: Any,
    wide: Any,
    narrow_exponent_bits: int,
    narrow_fraction_bits: int,
    wide_exponent_bits: int,
    wide_fraction_bits: int,
) -> Any:
    """Drive `wide` with the value of `narrow`; the wide format must hold every value of the narrow one.

    narrow, wide: as wide as their formats. A NaN becomes the wide format's canonical NaN; between equal formats every
    pattern stays as it is.
    """
    SIGN = narrow_exponent_bits + narrow_fraction_bits
    FRACTION = narrow_fraction_bits
    WIDE_SIGN = wide_exponent_bits + wide_fraction_bits
    GROWTH = wide_fraction_bits - narrow_fraction_bits
    SPECIAL = (1 << narrow_exponent_bits) - 1
    INFINITY = ((1 << wide_exponent_bits) - 1) << wide_fraction_bits
    NAN = INFINITY | 1 << (wide_fraction_bits - 1)
    # what the exponent gains by the larger bias; a subnormal is normalised where the wide exponent reaches below it
    REBIAS = (1 << (wide_exponent_bits - 1)) - (1 << (narrow_exponent_bits - 1))
    STEPS = narrow_fraction_bits.bit_length()

    if SIGN == WIDE_SIGN and GROWTH == 0:

        @always_comb
        def same() -> None:
            wide.next = narrow

        return same

    @always_comb
    def widen() -> None:
        exponent = modbv(0)[wide_exponent_bits + 1 :]
        step = modbv(0)[wide_exponent_bits + 1 :]
        significand = modbv(0)[FRACTION + 1 :]
        bound = modbv(0)[FRACTION + 1 :]
        magnitude = modbv(0)[WIDE_SIGN + 1 :]

        exponent[:] = narrow[SIGN:FRACTION]
        significand[:] = narrow[FRACTION:]
        if exponent == SPECIAL:
            magnitude[:] = INFINITY
            if significand != 0:
                magnitude[:] = NAN
        elif exponent == 0 and significand == 0:
            magnitude[:] = 0
        else:
            if exponent != 0:
                significand[FRACTION] = 1
                exponent[:] = exponent + REBIAS
            else:
                exponent[:] = REBIAS + 1
                for i in downrange(STEPS):
                    step[:] = 1 << i
                    bound[:] = 1 << (FRACTION + 1 - (1 << i))
                    if significand < bound and exponent > step:
                        significand[:] = significand << (1 << i)
                        exponent[:] = exponent - step
            magnitude[:] = exponent - 1
            magnitude[:] = magnitude << FRACTION
            magnitude[:] = magnitude + significand
            magnitude[:] = magnitude << GROWTH
        wide.next = magnitude
        # the canonical NaN is positive
        if narrow[SIGN] and magnitude != NAN:
            wide.next[WIDE_SIGN] = 1

    return widen


@block
def float_double(a: Any, result: Any, exponent_bits: int, fraction_bits: int) -> Any:
    """Drive `result` with 2 a, exact but for an overflow to infinity.

    a, result: ``1 + exponent_bits + fraction_bits`` wide. A NaN stays the NaN it is.
    """
    SIGN = exponent_bits + fraction_bits
    FRACTION = fraction_bits
    SPECIAL = (1 << exponent_bits) - 1

    @always_comb
    def double() -> None:
        exponent = modbv(0)[exponent_bits:]
        magnitude = modbv(0)[SIGN:]
        exponent[:] = a[SIGN:FRACTION]
        magnitude[:] = a[SIGN:]
        if exponent == 0:
            magnitude[:] = magnitude << 1
        elif exponent == SPECIAL - 1:
            magnitude[:] = SPECIAL << FRACTION
        elif exponent != SPECIAL:
            magnitude[:] = magnitude + (1 << FRACTION)
        result.next = magnitude
        if a[SIGN]:
            result.next[SIGN] = 1

    return double
