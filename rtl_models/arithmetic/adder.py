"""Combinational floating-point adder in any binary format: one rounding, nearest even, subnormals kept."""

from __future__ import annotations

from typing import Any

from myhdl import always_comb, block, downrange, modbv


@block
def float_adder(a: Any, b: Any, result: Any, exponent_bits: int, fraction_bits: int) -> Any:
    """Drive `result` with round(a + b) of IEEE 754-2019 section 5.4.1, in the same cycle.

    a, b, result: ``1 + exponent_bits + fraction_bits`` wide. A NaN result is the format's canonical NaN; an exact
    zero is +0 unless both operands are -0.
    """
    SIGN = exponent_bits + fraction_bits
    FRACTION = fraction_bits
    INFINITY = ((1 << exponent_bits) - 1) << fraction_bits
    NAN = INFINITY | 1 << (fraction_bits - 1)
    TOP = fraction_bits + 4  # hidden bit and fraction with guard, round and sticky below: bits TOP-1 .. 0
    STEPS = TOP.bit_length()

    @always_comb
    def add() -> None:
        swap = modbv(0)[1:]
        greater = modbv(0)[SIGN:]
        lesser = modbv(0)[SIGN:]
        sign = modbv(0)[1:]
        differ = modbv(0)[1:]
        exponent = modbv(0)[exponent_bits + 1 :]
        exponent_lesser = modbv(0)[exponent_bits + 1 :]
        distance = modbv(0)[exponent_bits + 1 :]
        significand = modbv(0)[TOP:]
        addend = modbv(0)[TOP:]
        aligned = modbv(0)[TOP:]
        restored = modbv(0)[TOP:]
        total = modbv(0)[TOP + 1 :]
        bound = modbv(0)[TOP + 1 :]
        step = modbv(0)[exponent_bits + 1 :]
        up = modbv(0)[1:]
        magnitude = modbv(0)[SIGN + 1 :]

        # order by magnitude, so that the difference is never negative
        swap[:] = b[SIGN:] > a[SIGN:]
        greater[:] = b[SIGN:] if swap else a[SIGN:]
        lesser[:] = a[SIGN:] if swap else b[SIGN:]
        sign[:] = b[SIGN] if swap else a[SIGN]
        differ[:] = a[SIGN] ^ b[SIGN]

        # a subnormal has exponent 1 and no hidden bit
        exponent[:] = greater[SIGN:FRACTION]
        significand[:] = greater[FRACTION:]
        if exponent == 0:
            exponent[:] = 1
        else:
            significand[FRACTION] = 1
        exponent_lesser[:] = lesser[SIGN:FRACTION]
        addend[:] = lesser[FRACTION:]
        if exponent_lesser == 0:
            exponent_lesser[:] = 1
        else:
            addend[FRACTION] = 1
        significand[:] = significand << 3
        addend[:] = addend << 3

        # align; whatever falls off the end is kept as the sticky bit
        distance[:] = exponent - exponent_lesser
        aligned[:] = addend >> distance
        restored[:] = aligned << distance
        if restored != addend:
            aligned[0] = 1

        total[:] = significand + aligned
        if differ:
            total[:] = significand - aligned

        # normalise: the first bit may lie one place up, so count the exponent from there, and shift left by
        # min(leading zeros, exponent - 1) in powers of two
        exponent[:] = exponent + 1
        for i in downrange(STEPS):
            step[:] = 1 << i
            bound[:] = 1 << (TOP + 1 - (1 << i))
            if total < bound and exponent > step:
                total[:] = total << (1 << i)
                exponent[:] = exponent - step

        # round; the carry runs into the exponent, from subnormal to normal and from normal to infinity
        up[:] = total[3] & (total[4] | total[2] | total[1] | total[0])
        magnitude[:] = exponent - 1
        magnitude[:] = magnitude << FRACTION
        magnitude[:] = magnitude + (total >> 4)
        magnitude[:] = magnitude + up

        if greater > INFINITY or (greater == INFINITY and lesser == INFINITY and differ == 1):
            sign[:] = 0
            magnitude[:] = NAN
        elif greater == INFINITY or magnitude > INFINITY:
            magnitude[:] = INFINITY
        elif total == 0:
            sign[:] = a[SIGN] & b[SIGN]
            magnitude[:] = 0
        result.next = magnitude
        if sign:
            result.next[SIGN] = 1

    return add
