"""Combinational floating-point multiplier of any two binary formats into a third: one rounding, subnormals kept."""

from __future__ import annotations

from typing import Any

from myhdl import Signal, always_comb, block, modbv

from rtl_models.arithmetic.rounding import float_round


@block
def float_multiplier(
    a: Any,
    b: Any,
    result: Any,
    a_exponent_bits: int,
    a_fraction_bits: int,
    b_exponent_bits: int,
    b_fraction_bits: int,
    exponent_bits: int,
    fraction_bits: int,
) -> Any:
    """Drive `result` with round(a b) of IEEE 754-2019 section 5.4.1, in the same cycle.

    a, b, result: as wide as their formats, which may all differ; the exact product is rounded once. A NaN result is
    the format's canonical NaN.
    """
    A_SIGN, A_FRACTION = a_exponent_bits + a_fraction_bits, a_fraction_bits
    B_SIGN, B_FRACTION = b_exponent_bits + b_fraction_bits, b_fraction_bits
    A_SPECIAL, B_SPECIAL = (1 << a_exponent_bits) - 1, (1 << b_exponent_bits) - 1
    PRODUCT = a_fraction_bits + b_fraction_bits + 2
    # biased exponent of a product from 2 to 4 = exponent a + exponent b - DIFFERENCE; the lift keeps it from below 0
    DIFFERENCE = _bias(a_exponent_bits) + _bias(b_exponent_bits) - _bias(exponent_bits) - 1
    LIFT = max(0, -DIFFERENCE)
    SUM = (A_SPECIAL + B_SPECIAL + LIFT).bit_length()

    sign, not_a_number, infinite = (Signal(bool(0)) for _ in range(3))
    exponent = Signal(modbv(0)[SUM:])
    significand = Signal(modbv(0)[PRODUCT:])

    @always_comb
    def multiply() -> None:
        a_exponent = modbv(0)[SUM:]
        b_exponent = modbv(0)[SUM:]
        a_significand = modbv(0)[A_FRACTION + 1 :]
        b_significand = modbv(0)[B_FRACTION + 1 :]
        a_special = modbv(0)[1:]
        b_special = modbv(0)[1:]
        a_nan = modbv(0)[1:]
        b_nan = modbv(0)[1:]
        product = modbv(0)[PRODUCT:]

        a_exponent[:] = a[A_SIGN:A_FRACTION]
        b_exponent[:] = b[B_SIGN:B_FRACTION]
        a_significand[:] = a[A_FRACTION:]
        b_significand[:] = b[B_FRACTION:]
        a_special[:] = a_exponent == A_SPECIAL
        b_special[:] = b_exponent == B_SPECIAL
        a_nan[:] = a_special == 1 and a_significand != 0
        b_nan[:] = b_special == 1 and b_significand != 0

        # a subnormal has exponent 1 and no hidden bit
        if a_exponent == 0:
            a_exponent[:] = 1
        else:
            a_significand[A_FRACTION] = 1
        if b_exponent == 0:
            b_exponent[:] = 1
        else:
            b_significand[B_FRACTION] = 1
        product[:] = a_significand
        product[:] = product * b_significand

        sign.next = a[A_SIGN] ^ b[B_SIGN]
        exponent.next = a_exponent + b_exponent + LIFT
        significand.next = product
        infinite.next = a_special == 1 or b_special == 1
        # the product is 0 where either factor is: 0 times infinity
        not_a_number.next = a_nan == 1 or b_nan == 1 or ((a_special == 1 or b_special == 1) and product == 0)

    # a normal product has at most one leading zero; that of a subnormal operand has more
    rounded = float_round(
        sign, exponent, significand, not_a_number, infinite, result,
        exponent_bits, fraction_bits, DIFFERENCE + LIFT, PRODUCT - 1,
    )  # fmt: skip
    return multiply, rounded


def _bias(exponent_bits: int) -> int:
    """Exponent bias, IEEE 754-2019 section 3.4."""
    return (1 << (exponent_bits - 1)) - 1
