"""Steps over time against values counted picosecond by picosecond."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tlm.report.steps import Steps, held, in_bins, sampled, total

END_PS = 40
rows = st.lists(st.tuples(st.integers(0, END_PS), st.integers(0, END_PS), st.integers(1, 5)), max_size=12)


def naive(intervals: list[tuple[int, int, int]]) -> NDArray[np.int64]:
    """The amount held in each picosecond."""
    found = np.zeros(END_PS, np.int64)
    for start_ps, end_ps, amount in intervals:
        found[start_ps:end_ps] += amount
    return found


def every_ps(steps: Steps) -> NDArray[np.int64]:
    return np.array([steps.values[np.flatnonzero(steps.times_ps <= t)[-1]] for t in range(END_PS)])


@given(rows)
def test_what_is_held_in_each_picosecond(intervals: list[tuple[int, int, int]]) -> None:
    steps = held(intervals)
    assert every_ps(steps).tolist() == naive(intervals).tolist()
    assert (np.diff(steps.times_ps) > 0).all()
    assert (np.diff(steps.values) != 0).all()


@given(rows, rows)
def test_a_sum_and_its_samples(first: list[tuple[int, int, int]], second: list[tuple[int, int, int]]) -> None:
    parts = [held(first), held(second)]
    assert every_ps(total(parts)).tolist() == (naive(first) + naive(second)).tolist()
    times, values = sampled(parts, END_PS)
    assert (times < END_PS).all()
    for steps, column in zip(parts, values, strict=True):
        assert every_ps(Steps(times, column)).tolist() == every_ps(steps).tolist()


@given(rows, st.integers(1, 8))
def test_bins_keep_the_mean_and_the_largest_value(intervals: list[tuple[int, int, int]], count: int) -> None:
    mean, most = in_bins(held(intervals), END_PS, count)
    edges = np.linspace(0, END_PS, count + 1).astype(int)
    for first, end in pairwise(edges.tolist()):
        inside = naive(intervals)[first:end]
        assert every_ps(mean)[first] == inside.mean()
        assert every_ps(most)[first] == inside.max()


def test_nothing_before_the_first_change() -> None:
    steps = Steps(np.array([7, 9]), np.array([2, 0]))
    assert [part.tolist() for part in total([steps])] == [[0, 7, 9], [0, 2, 0]]
