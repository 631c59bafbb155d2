"""Combinational comparison of two numbers of one binary format."""

from __future__ import annotations

from typing import Any

from myhdl import always_comb, block, modbv


@block
def float_greater(a: Any, b: Any, result: Any, exponent_bits: int, fraction_bits: int) -> Any:
    """Drive the 1-bit `result` with a > b of IEEE 754-2019 section 5.11: false with a NaN, and -0 equals +0.

    a, b: ``1 + exponent_bits + fraction_bits`` wide. a < b is ``float_greater(b, a, ...)``.
    """
    SIGN = exponent_bits + fraction_bits
    INFINITY = ((1 << exponent_bits) - 1) << fraction_bits

    @always_comb
    def compare() -> None:
        a_magnitude = modbv(0)[SIGN:]
        b_magnitude = modbv(0)[SIGN:]
        a_magnitude[:] = a[SIGN:]
        b_magnitude[:] = b[SIGN:]
        if a_magnitude > INFINITY or b_magnitude > INFINITY:
            result.next = 0
        elif a[SIGN] != b[SIGN]:
            result.next = b[SIGN] and (a_magnitude != 0 or b_magnitude != 0)
        elif a[SIGN]:
            result.next = a_magnitude < b_magnitude
        else:
            result.next = a_magnitude > b_magnitude

    return compare
