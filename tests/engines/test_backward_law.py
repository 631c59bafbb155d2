"""The backward unit's law on cases worked out by hand, and its bounds on random queues."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlm.config import BackwardEngineConfig
from tlm.engines.backward_law import BackwardUnits, group_cycles

items = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), max_size=12)


def counts(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """(gradients, active) as the law takes them."""
    array = np.array(pairs, np.int64).reshape(-1, 2)
    return np.ascontiguousarray(array[:, 0]), np.ascontiguousarray(array[:, 1])


def run(pairs: list[tuple[int, int]], start: int = 0, **parameters: int) -> tuple[int, int]:
    """(queue empty, last sum) of units of 4 lanes, adder latency 4, two items in flight, unless told otherwise."""
    defaults = {"units": 1, "lanes": 4, "adder_latency_cycles": 4, "items_in_flight": 2}
    return BackwardUnits(BackwardEngineConfig(**(defaults | parameters))).run(*counts(pairs), start)


@pytest.mark.parametrize(
    ("pairs", "cycles"),
    [
        ([(5, 3)], 5 * 4),  # alone: every addition waits out the adder
        ([(5, 16)], 5 * 4),  # four cycles a visit hide the latency exactly
        ([(5, 17)], 5 * 5),
        ([(5, 3)] * 4, 5 * 4),  # four items in turn: four times the work in the same time
        ([(5, 3)] * 5, 5 * 5),  # now the lanes are always busy
        ([(9, 1), (1, 1), (1, 1)], 9 * 4),  # the longest chain
        ([(0, 7)], 0),  # nothing to add: +0
        ([], 0),
    ],
)
def test_one_group_is_bound_by_the_lanes_or_by_the_longest_chain(pairs: list[tuple[int, int]], cycles: int) -> None:
    assert group_cycles(*counts(pairs), 4, 4) == cycles


def test_one_item_compacts_adds_and_leaves_the_adder() -> None:
    assert run([(5, 3)], start=100) == (100 + 3 + 2, 100 + 3 + 2 + 20 + 4)


def test_all_zero_gradients_still_deliver() -> None:
    assert run([(0, 3)]) == (5, 5 + 4)


def test_an_empty_queue_takes_no_time() -> None:
    assert run([], start=7) == (7, 7)


def test_the_compactor_works_one_group_ahead() -> None:
    """Groups of 2: compacted at 10, 40 cycles of lanes; the second is compacted meanwhile and begins at 50."""
    pairs = [(5, 16)] * 2 + [(5, 3)] * 2
    lone = run(pairs[:2])
    assert lone == (36, 36 + 40 + 4)
    assert run(pairs) == (76, 76 + 20 + 4)
    assert run(pairs + [(1, 1)] * 2) == (96, 96 + 4 + 4)


def test_units_keep_what_they_do_from_call_to_call() -> None:
    units = BackwardUnits(BackwardEngineConfig(units=1, lanes=4, adder_latency_cycles=4, items_in_flight=2))
    assert units.run(*counts([(5, 3)]), 0) == (5, 29)
    assert units.run(*counts([(5, 3)]), 6) == (25, 49)  # compacted at 11, lanes free at 25
    assert units.run(*counts([]), 30) == (30, 30)


def test_groups_are_dealt_to_free_units() -> None:
    assert run([(5, 3)] * 4, units=2) == (10, 10 + 20 + 4)
    assert run([(5, 3)] * 4, units=3) == (0, 34)  # the third is free at once


@given(items, st.integers(1, 4), st.integers(1, 8), st.integers(1, 6), st.integers(1, 5))
def test_no_faster_than_all_lanes_together(
    pairs: list[tuple[int, int]], units: int, lanes: int, latency: int, flight: int
) -> None:
    parameters = {"units": units, "lanes": lanes, "adder_latency_cycles": latency, "items_in_flight": flight}
    dispatched, completed = run(pairs, **parameters)
    visits = sum(n * -(-active // lanes) for n, active in pairs)
    assert completed * units >= visits
    assert completed >= max((n * max(-(-a // lanes), latency) + a + 2 + latency for n, a in pairs), default=0)
    assert 0 <= dispatched <= completed
    one_by_one = sum(n * max(-(-a // lanes), latency) + a + 2 for n, a in pairs) + latency
    assert completed <= one_by_one or not pairs


@given(items, st.integers(1, 7), st.integers(1, 4))
def test_more_lanes_never_slow_one_unit_down(pairs: list[tuple[int, int]], lanes: int, flight: int) -> None:
    assert run(pairs, lanes=lanes + 1, items_in_flight=flight)[1] <= run(pairs, lanes=lanes, items_in_flight=flight)[1]


@given(st.integers(0, 9), st.integers(1, 9), st.integers(0, 12), st.integers(1, 4))
def test_more_units_never_slow_equal_items_down(gradients: int, active: int, number: int, units: int) -> None:
    pairs = [(gradients, active)] * number
    assert run(pairs, units=units + 1)[1] <= run(pairs, units=units)[1]
