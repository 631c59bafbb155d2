"""Simulated time in whole picoseconds, and clocks that divide it into cycles."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, SupportsIndex

from tlm.kernel.errors import TimeValueError

Rounding = Literal["error", "floor", "ceil", "nearest"]

PS_PER_UNIT = {"ps": 1, "ns": 10**3, "us": 10**6, "ms": 10**9, "s": 10**12}
"""Picoseconds in one unit (SI prefixes)."""


def whole_ps(value: SupportsIndex, what: str = "duration") -> int:
    """Return `value` as a plain non-negative ``int``, so that no NumPy scalar or float enters the event queue.

    Raises TimeValueError if `value` is not an integer or is negative.
    """
    if type(value) is int and value >= 0:  # nearly always, and the innermost loops come by here
        return value
    try:
        value_ps = operator.index(value)
    except TypeError:
        raise TimeValueError("time is not a whole number", what, value, "integer ps, at least 0") from None
    if value_ps < 0:
        raise TimeValueError("time is negative", what, value_ps, "integer ps, at least 0")
    return value_ps


def divide(numerator: int, denominator: int, rounding: Rounding, what: str) -> int:
    """Return numerator / denominator as an integer (both positive); "nearest" rounds halves to even.

    Raises TimeValueError if it does not divide and rounding is "error", or if `rounding` is unknown.
    """
    if rounding == "floor":
        return numerator // denominator
    if rounding == "ceil":
        return -(-numerator // denominator)
    if rounding == "nearest":
        return round(Fraction(numerator, denominator))
    if rounding != "error":
        raise TimeValueError("unknown rounding", what, rounding, "error, floor, ceil, nearest")
    if numerator % denominator:
        raise TimeValueError(
            "does not divide; ask for a rounding", what, f"{numerator} / {denominator}", "a whole result"
        )
    return numerator // denominator


def to_ps(value: int | float | Fraction, unit: str, rounding: Rounding = "error") -> int:
    """Return `value` in `unit` (ps, ns, us, ms, s) as whole picoseconds.

    A float counts as the decimal number it prints as, so ``to_ps(0.1, "ns")`` is 100.
    Raises TimeValueError for an unknown unit, a negative or not finite value, or one that needs rounding.
    """
    if unit not in PS_PER_UNIT:
        raise TimeValueError("unknown unit of time", "to_ps", unit, ", ".join(PS_PER_UNIT))
    try:
        exact = Fraction(str(value)) * PS_PER_UNIT[unit]
    except ValueError:
        raise TimeValueError("not a number", "to_ps", value, f"a finite time in {unit}") from None
    if exact < 0:
        raise TimeValueError("time is negative", "to_ps", value, "at least 0")
    return divide(exact.numerator, exact.denominator, rounding, f"{value} {unit} in ps")


@dataclass(frozen=True)
class Clock:
    """A clock whose edges lie at the multiples of `period_ps`.

    Raises TimeValueError if the period is not a positive integer.
    """

    period_ps: int

    def __post_init__(self) -> None:
        if whole_ps(self.period_ps, "clock period") == 0:
            raise TimeValueError("period is zero", "clock period", self.period_ps, "integer ps, at least 1")

    @classmethod
    def from_hz(cls, frequency_hz: int, rounding: Rounding = "error") -> Clock:
        """Return the clock of that frequency; an error by default if its period is not whole picoseconds."""
        if frequency_hz <= 0:
            raise TimeValueError("frequency is not positive", "clock", frequency_hz, "at least 1 Hz")
        return cls(divide(PS_PER_UNIT["s"], frequency_hz, rounding, f"period of {frequency_hz} Hz in ps"))

    def to_ps(self, cycles: SupportsIndex) -> int:
        """Return the duration of `cycles` whole cycles in ps."""
        return whole_ps(cycles, "cycles") * self.period_ps

    def to_cycles(self, duration_ps: SupportsIndex, rounding: Rounding = "error") -> int:
        """Return the cycles in `duration_ps`; an error by default if it is not a whole number of them."""
        return divide(whole_ps(duration_ps), self.period_ps, rounding, "ps in cycles")

    def next_edge_ps(self, now_ps: SupportsIndex) -> int:
        """Return the time of the first edge at or after `now_ps`."""
        return self.to_cycles(now_ps, "ceil") * self.period_ps
