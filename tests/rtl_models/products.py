"""Multipliers, narrowing conversions and comparisons in the formats that the units use, side by side in one unit."""

from __future__ import annotations

from typing import Any

from myhdl import Signal, always_comb, block, modbv

from rtl_models.arithmetic.compare import float_greater
from rtl_models.arithmetic.multiplier import float_multiplier
from rtl_models.arithmetic.narrow import float_narrow
from rtl_models.formats import BFLOAT16, BINARY16, BINARY32, FloatFormat
from rtl_models.units import Field, Stream, Unit
from tests.rtl_models.blocks import pass_through

HALF, BRAIN, SINGLE = ((f.exponent_bits, f.fraction_bits) for f in (BINARY16, BFLOAT16, BINARY32))

# field of the result: format of a, of b, and of the result
PRODUCTS: dict[str, tuple[FloatFormat, FloatFormat, FloatFormat]] = {
    "single": (BINARY32, BINARY32, BINARY32),
    "half_constant": (BINARY16, BINARY32, BINARY32),
    "brain_constant": (BFLOAT16, BINARY32, BINARY32),
    "half_half": (BINARY16, BINARY16, BINARY32),
    "brain_brain": (BFLOAT16, BFLOAT16, BINARY32),
    "half": (BINARY16, BINARY16, BINARY16),
    "constant_brain": (BINARY32, BFLOAT16, BFLOAT16),
    "constant_half": (BINARY32, BINARY16, BINARY16),
}
NARROWINGS: dict[str, tuple[FloatFormat, FloatFormat]] = {
    "to_half": (BINARY32, BINARY16),
    "to_brain": (BINARY32, BFLOAT16),
    "to_single": (BINARY32, BINARY32),
    "half_to_half": (BINARY16, BINARY16),
}
COMPARISONS: dict[str, FloatFormat] = {"greater": BINARY32, "greater_half": BINARY16}


@block
def products_block(
    clk: Any, rst: Any, in_valid: Any, in_ready: Any, in_a: Any, in_b: Any, out_valid: Any, out_ready: Any,
    out_single: Any, out_half_constant: Any, out_brain_constant: Any, out_half_half: Any, out_brain_brain: Any,
    out_half: Any, out_constant_brain: Any, out_constant_half: Any,
    out_to_half: Any, out_to_brain: Any, out_to_single: Any, out_half_to_half: Any,
    out_greater: Any, out_greater_half: Any,
) -> Any:  # fmt: skip
    """Every block between two streams; narrow formats read the low bits."""
    low_a, low_b = (Signal(modbv(0)[16:]) for _ in range(2))

    @always_comb
    def cut() -> None:
        low_a.next = in_a[16:]
        low_b.next = in_b[16:]

    return (
        cut,
        pass_through(in_valid, in_ready, out_valid, out_ready),
        float_multiplier(in_a, in_b, out_single, *SINGLE, *SINGLE, *SINGLE),
        float_multiplier(low_a, in_b, out_half_constant, *HALF, *SINGLE, *SINGLE),
        float_multiplier(low_a, in_b, out_brain_constant, *BRAIN, *SINGLE, *SINGLE),
        float_multiplier(low_a, low_b, out_half_half, *HALF, *HALF, *SINGLE),
        float_multiplier(low_a, low_b, out_brain_brain, *BRAIN, *BRAIN, *SINGLE),
        float_multiplier(low_a, low_b, out_half, *HALF, *HALF, *HALF),
        float_multiplier(in_a, low_b, out_constant_brain, *SINGLE, *BRAIN, *BRAIN),
        float_multiplier(in_a, low_b, out_constant_half, *SINGLE, *HALF, *HALF),
        float_narrow(in_a, out_to_half, *SINGLE, *HALF),
        float_narrow(in_a, out_to_brain, *SINGLE, *BRAIN),
        float_narrow(in_a, out_to_single, *SINGLE, *SINGLE),
        float_narrow(low_a, out_half_to_half, *HALF, *HALF),
        float_greater(in_a, in_b, out_greater, *SINGLE),
        float_greater(low_a, low_b, out_greater_half, *HALF),
    )


def products_unit() -> Unit:
    """Return all of them as one unit: in (a, b), out (one field per block)."""
    widths = {name: formats[-1].width_bits for name, formats in {**PRODUCTS, **NARROWINGS}.items()}
    widths |= dict.fromkeys(COMPARISONS, 1)
    operands = Stream("in", (Field("a", 32), Field("b", 32)))
    return Unit(
        "products", products_block, {}, (operands,), (Stream("out", tuple(Field(n, w) for n, w in widths.items())),)
    )


@block
def half_block(
    clk: Any, rst: Any, in_valid: Any, in_ready: Any, in_a: Any, in_b: Any, out_valid: Any, out_ready: Any,
    out_product: Any, out_greater: Any,
) -> Any:  # fmt: skip
    """The binary16 multiplier and comparison between two streams."""
    return (
        pass_through(in_valid, in_ready, out_valid, out_ready),
        float_multiplier(in_a, in_b, out_product, *HALF, *HALF, *HALF),
        float_greater(in_a, in_b, out_greater, *HALF),
    )


def half_unit() -> Unit:
    """Return binary16 product and comparison as a unit: in (a, b), out (product, greater)."""
    operands = Stream("in", (Field("a", 16), Field("b", 16)))
    return Unit(
        "half_products", half_block, {}, (operands,), (Stream("out", (Field("product", 16), Field("greater", 1))),)
    )
