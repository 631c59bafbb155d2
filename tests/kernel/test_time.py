"""Whole picoseconds, clocks, and the rounding that must be asked for."""

from fractions import Fraction

import numpy as np
import pytest

from tlm.kernel import Clock, TimeValueError, to_ps
from tlm.kernel.time import divide, whole_ps


def test_units_are_si_prefixes() -> None:
    assert [to_ps(1, unit) for unit in ("ps", "ns", "us", "ms", "s")] == [10**e for e in (0, 3, 6, 9, 12)]
    assert to_ps(0.1, "ns") == 100
    assert to_ps(Fraction(1, 8), "ns") == 125


def test_clock_converts_both_ways() -> None:
    clock = Clock(1250)
    assert clock.to_ps(np.int64(4)) == 5000
    assert type(clock.to_ps(np.int64(4))) is int
    assert clock.to_cycles(5000) == 4
    assert [clock.to_cycles(3000, rounding) for rounding in ("floor", "ceil", "nearest")] == [2, 3, 2]
    assert [clock.next_edge_ps(t) for t in (0, 1, 1250, 1251)] == [0, 1250, 1250, 2500]


def test_clock_from_frequency() -> None:
    assert Clock.from_hz(10**9) == Clock(1000)
    assert Clock.from_hz(3 * 10**9, "nearest") == Clock(333)


def test_nearest_rounds_halves_to_even() -> None:
    assert [divide(n, 2, "nearest", "x") for n in (1, 3, 5)] == [0, 2, 2]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: whole_ps(1.5), "duration: time is not a whole number, got 1.5, allowed: integer ps"),
        (lambda: whole_ps(-1), "duration: time is negative, got -1"),
        (lambda: Clock(0), "clock period: period is zero, got 0, allowed: integer ps, at least 1"),
        (lambda: Clock(2.5), "clock period: time is not a whole number, got 2.5"),
        (lambda: Clock.from_hz(0), "clock: frequency is not positive, got 0"),
        (
            lambda: Clock.from_hz(3),
            r"period of 3 Hz in ps: does not divide; ask for a rounding, got '1000000000000 / 3'",
        ),
        (lambda: Clock(1000).to_cycles(1500), "ps in cycles: does not divide; ask for a rounding, got '1500 / 1000'"),
        (lambda: Clock(1000).to_cycles(1500, "up"), "ps in cycles: unknown rounding, got 'up', allowed: error, floor"),
        (lambda: to_ps(1, "h"), "to_ps: unknown unit of time, got 'h', allowed: ps, ns, us, ms, s"),
        (lambda: to_ps(float("nan"), "ns"), "to_ps: not a number, got nan"),
        (lambda: to_ps(-1, "ns"), "to_ps: time is negative, got -1"),
        (lambda: to_ps(0.0001, "ns"), "0.0001 ns in ps: does not divide"),
    ],
)
def test_words_of_errors(call, words) -> None:
    with pytest.raises(TimeValueError, match=f"^{words}"):
        call()
