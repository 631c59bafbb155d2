"""A quantity with its uncertainty: low, nominal and high, carried through sums, products and quotients.

Every constant stands at its unfavourable end at once, so the outcome encloses all combinations; it is a bound from the
bounds of the constants, not a standard deviation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rtl_models.errors import InputError


@dataclass(frozen=True)
class Range:
    """Low, nominal and high of a quantity that is not negative. Raises InputError where they do not ascend from 0."""

    low: float
    nominal: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.nominal <= self.high < float("inf"):
            raise InputError("low, nominal and high must ascend", "range", (self.low, self.nominal, self.high), "0 up")

    @classmethod
    def exact(cls, value: float) -> Range:
        """A quantity without uncertainty."""
        return cls(value, value, value)

    @classmethod
    def about(cls, value: float, relative_error: float) -> Range:
        """A quantity known within `relative_error` (0.1: ten per cent, at most 1)."""
        return cls(value * (1 - relative_error), value, value * (1 + relative_error))

    @classmethod
    def total(cls, parts: Iterable[Range]) -> Range:
        """The sum of all parts; nothing adds up to 0."""
        result = cls(0.0, 0.0, 0.0)
        for part in parts:
            result = result + part
        return result

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.nominal + other.nominal, self.high + other.high)

    def __mul__(self, other: Range | float) -> Range:
        by = other if isinstance(other, Range) else Range.exact(other)
        return Range(self.low * by.low, self.nominal * by.nominal, self.high * by.high)

    def __truediv__(self, other: Range | float) -> Range:
        by = other if isinstance(other, Range) else Range.exact(other)
        if by.low == 0:
            raise InputError("division by a range that reaches 0", "range", (by.low, by.nominal, by.high), "above 0")
        return Range(self.low / by.high, self.nominal / by.nominal, self.high / by.low)

    def to_dict(self) -> dict[str, float]:
        """The three values by name, as JSON shows them."""
        return {"low": self.low, "nominal": self.nominal, "high": self.high}
