"""Ranges enclose every combination of what they are made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtl_models.errors import InputError
from tlm.analysis.technology.range import Range

VALUES = st.floats(0.001, 1e6)
RANGES = st.tuples(VALUES, VALUES, VALUES).map(lambda values: Range(*sorted(values)))


def ends(found: Range) -> tuple[float, float, float]:
    return found.low, found.nominal, found.high


@given(RANGES, RANGES)
def test_every_combination_lies_within(a: Range, b: Range) -> None:
    for x in ends(a):
        for y in ends(b):
            assert (a + b).low <= x + y <= (a + b).high
            assert (a * b).low <= x * y <= (a * b).high
            assert (a / b).low <= x / y <= (a / b).high


@given(RANGES, RANGES)
def test_nominals_stay_among_themselves(a: Range, b: Range) -> None:
    assert (a + b).nominal == a.nominal + b.nominal
    assert (a * b).nominal == a.nominal * b.nominal
    assert (a / b).nominal == a.nominal / b.nominal


@given(st.lists(RANGES, max_size=5))
def test_a_total_is_the_sum_of_its_parts(parts: list[Range]) -> None:
    assert Range.total(parts).high == pytest.approx(sum(part.high for part in parts))


def test_numbers_and_ways_to_make_one() -> None:
    assert Range(1, 2, 4) * 3 == Range(3, 6, 12)
    assert Range(1, 2, 4) / 2 == Range(0.5, 1, 2)
    assert Range.exact(5) == Range(5, 5, 5)
    assert Range.about(10, 0.25) == Range(7.5, 10, 12.5)
    assert Range(1, 2, 3).to_dict() == {"low": 1, "nominal": 2, "high": 3}


@pytest.mark.parametrize("values", [(2, 1, 3), (1, 3, 2), (-1, 0, 1), (0, 0, float("inf")), (float("nan"), 1, 2)])
def test_what_is_no_range(values: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match=r"^range: low, nominal and high must ascend, got \(.*\), allowed: 0 up$"):
        Range(*values)


def test_division_by_a_range_that_reaches_zero() -> None:
    words = r"^range: division by a range that reaches 0, got \(0, 1, 2\), allowed: above 0$"
    with pytest.raises(InputError, match=words):
        Range.exact(1) / Range(0, 1, 2)
