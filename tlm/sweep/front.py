"""Which points no other one beats: the Pareto front over the objectives of a sweep."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]


def front_of(rows: Sequence[Row], objectives: Sequence[str]) -> list[int]:
    """Return the numbers of the good points that no point of the same workload beats, by the first objective.

    A point beats another one if it is no worse in any objective and better in one. Workloads are told apart by
    network, trace, timesteps, batch and images.
    """
    groups: defaultdict[tuple[Any, ...], list[tuple[tuple[float, ...], int]]] = defaultdict(list)
    for row in rows:
        if row["error"] is None:
            workload = tuple(row[key] for key in ("network", "trace", "timesteps", "batch", "images"))
            groups[workload].append((tuple(row[name] for name in objectives), row["point"]))
    return [number for points in groups.values() for number in _front(sorted(points))]


def _front(points: Sequence[tuple[tuple[float, ...], int]]) -> list[int]:
    """The front of points in ascending order: one that beats another stands before it."""
    front: list[tuple[tuple[float, ...], int]] = []
    for values, number in points:
        if not any(_beats(other, values) for other, _ in front):
            front.append((values, number))
    return [number for _, number in front]


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(mine <= yours for mine, yours in zip(one, other, strict=True))
