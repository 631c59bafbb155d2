"""Rounding in registers against the formats' own conversion and against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_models.formats import BFLOAT16, BINARY16, BINARY32, FORMATS, FloatFormat, decode, round_to
from rtl_models.reference.rounding import (
    add_in_place,
    count_special,
    round_float,
    round_in_place,
    round_product,
    rounding,
)
from tests.reference.oracle import multiply, round_exact

PATTERNS = st.integers(0, 0xFFFFFFFF)


def corners(fmt: FloatFormat) -> np.ndarray:
    """Every 16-bit value of a format, the halves between neighbours, and what lies just beside those."""
    narrow = BINARY16 if fmt == BINARY32 else fmt
    values = np.sort(decode(np.arange(0x10000, dtype=np.uint16), narrow))
    values = values[np.isfinite(values)]
    halves = values[:-1] / 2 + values[1:] / 2
    beside = [np.nextafter(halves, np.float32(side)) for side in (-np.inf, np.inf)]
    special = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-45, -1e-45, 3.4e38, 65519.996, 65520.0], np.float32)
    payload = np.array([0x7F800001, 0xFFFFFFFF], np.uint32).view(np.float32)
    return np.concatenate([values, halves, *beside, special, payload]).astype(np.float32)


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=list(FORMATS))
def test_rounds_as_the_format_does(fmt: FloatFormat) -> None:
    with np.errstate(all="ignore"):
        values = corners(fmt)
    seen, wanted = values.copy(), round_to(values, fmt)
    round_in_place(seen, rounding(fmt))
    assert np.array_equal(seen.view(np.uint32), wanted.view(np.uint32))


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=list(FORMATS))
@settings(max_examples=300, deadline=None, derandomize=True)
@given(pattern=PATTERNS)
def test_rounds_to_the_nearest_even_value(fmt: FloatFormat, pattern: int) -> None:
    value = np.uint32(pattern).view(np.float32)
    if not np.isfinite(value) or value == 0:
        return
    assert float(round_float(value, rounding(fmt))) == round_exact(Fraction(float(value)), fmt)


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=list(FORMATS))
@settings(max_examples=300, deadline=None, derandomize=True)
@given(first=PATTERNS, second=st.integers(0, 0xFFFF))
def test_products_with_a_constant_are_rounded_once(fmt: FloatFormat, first: int, second: int) -> None:
    constant = np.uint32(first).view(np.float32)
    value = decode(np.array([second], np.uint16), BFLOAT16 if fmt == BINARY32 else fmt)[0]
    if np.isfinite(constant) and np.isfinite(value):
        seen = np.float32(round_product(constant, value, rounding(fmt)))
        wanted = np.float32(multiply(float(constant), float(value), fmt))
        assert seen.view(np.uint32) == wanted.view(np.uint32)


def test_double_rounding_would_be_seen() -> None:
    """Some products land on a tie when rounded to binary32 first: two roundings then give another result than one."""
    rng = np.random.default_rng(11)
    differ = 0
    for _ in range(20000):
        constant = np.float32(1 + rng.integers(0, 1 << 23) * 2.0**-23)
        value = np.float32(1 + rng.integers(0, 1 << 10) * 2.0**-10)
        once = round_product(constant, value, rounding(BINARY16))
        twice = round_float(np.float32(constant * value), rounding(BINARY16))
        if once != twice:
            differ += 1
            assert once == multiply(float(constant), float(value), BINARY16)
    assert differ > 0


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=list(FORMATS))
def test_counts_values_that_are_not_finite_or_subnormal(fmt: FloatFormat) -> None:
    smallest = 2.0 ** (1 - fmt.bias)
    values = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, smallest, -smallest, smallest / 2, -smallest / 4, 1.0])
    assert count_special(values.astype(np.float32), rounding(fmt)) == (3, 2)


def test_additions_round_every_sum() -> None:
    sums = np.array([2048.0, 1.0], np.float32)
    add_in_place(sums, np.array([1.0, 2.0**-11], np.float32), rounding(BINARY16))
    assert sums.tolist() == [2048.0, 1.0]
