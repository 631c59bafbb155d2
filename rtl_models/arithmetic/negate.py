"""Combinational change of sign, for subtraction with the adder."""

from __future__ import annotations

from typing import Any

from myhdl import always_comb, block


@block
def float_negate(a: Any, result: Any) -> Any:
    """Drive `result` with -a, in any format: the sign bit flips, also that of a NaN."""
    SIGN = len(a) - 1

    @always_comb
    def negate() -> None:
        result.next = a
        result.next[SIGN] = not a[SIGN]

    return negate
