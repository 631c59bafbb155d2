"""Values that change in steps over time: added up, and condensed where they change more often than can be shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.number[Any]]


class Steps(NamedTuple):
    """`values[i]` holds from `times_ps[i]` to the next time, the last one to the end; before the first time it is 0."""

    times_ps: NDArray[np.int64]
    values: Values


def total(parts: Iterable[Steps]) -> Steps:
    """Return the sum of all parts; equal neighbours are one."""
    known = list(parts)
    times = np.concatenate([np.zeros(1, np.int64), *(part.times_ps for part in known)])
    changes = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.values, prepend=0) for part in known)])
    order = np.argsort(times, kind="stable")
    times, sums = times[order], np.cumsum(changes[order])
    last = np.append(times[1:] != times[:-1], True)
    return _merged(Steps(times[last], sums[last]))


def held(intervals: Iterable[tuple[int, int, int]]) -> Steps:
    """Return how much is held in all by (from, to, amount), times in picoseconds."""
    rows = np.array([row for row in intervals if row[0] < row[1]], np.int64).reshape(-1, 3)
    first, end, amount = rows.T
    return total(Steps(np.array(pair, np.int64), np.array([n, 0])) for *pair, n in zip(first, end, amount, strict=True))


def in_bins(steps: Steps, end_ps: int, count: int) -> tuple[Steps, Steps]:
    """Return, for each of `count` equal stretches up to `end_ps`, the mean over time and the largest value."""
    steps = total([steps])  # known from 0 on
    edges = np.linspace(0, end_ps, count + 1).astype(np.int64)
    times = np.union1d(steps.times_ps[steps.times_ps < end_ps], edges)
    values = steps.values[np.searchsorted(steps.times_ps, times[:-1], side="right") - 1]
    bins = np.searchsorted(times, edges[:-1])
    areas = np.add.reduceat(values * np.diff(times), bins)
    means = Steps(edges[:-1], areas / np.diff(edges))
    return _merged(means), _merged(Steps(edges[:-1], np.maximum.reduceat(values, bins)))


def sampled(series: Iterable[Steps], end_ps: int) -> tuple[NDArray[np.int64], list[Values]]:
    """Return all times before `end_ps` at which any of the series changes, and the values of each from then on."""
    known = [total([steps]) for steps in series]
    times = np.unique(np.concatenate([steps.times_ps for steps in known]))
    times = times[times < end_ps]
    return times, [steps.values[np.searchsorted(steps.times_ps, times, side="right") - 1] for steps in known]


def _merged(steps: Steps) -> Steps:
    """Make one of equal neighbours."""
    differs = np.append(True, steps.values[1:] != steps.values[:-1])[: len(steps.values)]
    return Steps(steps.times_ps[differs], steps.values[differs])
