"""Combinational rounding of an exact intermediate result to a binary format: once, nearest even, subnormals kept."""

from __future__ import annotations

from typing import Any

from myhdl import always_comb, block, downrange, modbv


@block
def float_round(
    sign: Any,
    exponent: Any,
    significand: Any,
    not_a_number: Any,
    infinite: Any,
    result: Any,
    exponent_bits: int,
    fraction_bits: int,
    exponent_offset: int,
    leading_zeros: int,
) -> Any:
    """Drive `result` with the rounded number of a sign, an exponent and an exact significand.

    exponent - `exponent_offset` is the biased exponent of a number whose significand has its top bit set; it may be
    too small for a normal number, and the significand of a number that is not zero may have up to `leading_zeros`.
    result: ``1 + exponent_bits + fraction_bits`` wide; the canonical NaN where not_a_number, infinity where infinite.
    """
    FRACTION = fraction_bits
    SIGN = exponent_bits + fraction_bits
    INFINITY = ((1 << exponent_bits) - 1) << fraction_bits
    NAN = INFINITY | 1 << (fraction_bits - 1)
    LEAST = exponent_offset + 1  # the exponent of the smallest normal numbers and of the subnormal ones
    GIVEN = len(significand)
    TOP = max(GIVEN, fraction_bits + 3)  # bits TOP-1 .. 0 hold what is kept, a guard bit and at least one below it
    PADDING = TOP - GIVEN
    DROPPED = TOP - 1 - fraction_bits
    STEPS = leading_zeros.bit_length()
    EXPONENT_BITS = max(len(exponent), LEAST.bit_length() + 1)

    @always_comb
    def round_once() -> None:
        scale = modbv(0)[EXPONENT_BITS:]
        step = modbv(0)[EXPONENT_BITS:]
        distance = modbv(0)[EXPONENT_BITS:]
        digits = modbv(0)[TOP:]
        aligned = modbv(0)[TOP:]
        restored = modbv(0)[TOP:]
        bound = modbv(0)[TOP + 1 :]
        below = modbv(0)[DROPPED - 1 :]
        up = modbv(0)[1:]
        magnitude = modbv(0)[EXPONENT_BITS + FRACTION + 1 :]

        scale[:] = exponent
        digits[:] = significand
        digits[:] = digits << PADDING

        # normalise by min(leading zeros, exponent - least), in powers of two
        for i in downrange(STEPS):
            step[:] = (1 << i) + LEAST - 1
            bound[:] = 1 << (TOP - (1 << i))
            if digits < bound and scale > step:
                digits[:] = digits << (1 << i)
                scale[:] = scale - (1 << i)

        # a subnormal number: whatever falls off the end is kept as the sticky bit
        if scale < LEAST:
            distance[:] = LEAST - scale
            aligned[:] = digits >> distance
            restored[:] = aligned << distance
            if restored != digits:
                aligned[0] = 1
            digits[:] = aligned
            scale[:] = LEAST

        # the carry runs into the exponent, from subnormal to normal and from normal to infinity
        below[:] = digits[DROPPED - 1 :]
        up[:] = 0
        if digits[DROPPED - 1] and (digits[DROPPED] or below != 0):
            up[:] = 1
        magnitude[:] = scale - LEAST
        magnitude[:] = magnitude << FRACTION
        magnitude[:] = magnitude + (digits >> DROPPED)
        magnitude[:] = magnitude + up

        if not_a_number:
            magnitude[:] = NAN
        elif infinite:
            magnitude[:] = INFINITY
        elif significand == 0:
            magnitude[:] = 0
        elif magnitude > INFINITY:
            magnitude[:] = INFINITY
        result.next = magnitude
        if sign and not not_a_number:
            result.next[SIGN] = 1

    return round_once
