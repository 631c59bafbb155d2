"""Channels that run ahead together: ends of transactions, their order and all counts are as if told in advance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_models.errors import InputError
from rtl_models.reference.threads import set_threads
from tlm.memory import channel_group
from tlm.memory.channel_group import ChannelGroup
from tlm.memory.controller import CONTROLLERS, ChannelStatistics, DramChannel
from tlm.memory.interleaving import Interleaving
from tlm.memory.standard import DramStandard, load_standard

STANDARDS = {name: load_standard(name) for name in ("DDR4", "LPDDR5", "HBM2", "HBM3")}
POLICIES = {
    **{name: CONTROLLERS[name] for name in ("base", "mop4clxor", "rowhit_mop", "closed_cap4", "queue8", "send1")},
    "send3": replace(CONTROLLERS["base"], offers_per_cycle=3, read_queue=5, write_queue=5),
}
Arrival = tuple[int, bool, int, int]  # tick, write?, address, length

arrivals_ = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 1, 30, 200, 4000, 20_000]),  # ticks after the one before
        st.booleans(),
        st.one_of(
            st.tuples(st.integers(0, 60_000), st.integers(1, 6_000)),
            st.tuples(st.integers(0, 12), st.integers(1, 12)).map(lambda span: (1536 * span[0], 1536 * span[1])),
        ),
    ),
    min_size=1,
    max_size=14,
)


def interleaving(standard: DramStandard, channels: int) -> Interleaving:
    return Interleaving(channels, 2 * standard.burst_bytes, standard.burst_bytes)


def told_in_advance(
    arrivals: list[Arrival], standard: DramStandard, policy: str, channels: int
) -> tuple[list[int], list[ChannelStatistics]]:
    """Each channel alone, run once; returns the end of each transaction, and the counts when all is idle."""
    ends, alone = [0] * len(arrivals), []
    for index in range(channels):
        channel = DramChannel(standard, POLICIES[policy])
        for number, (tick, is_write, address, length) in enumerate(arrivals):
            for owner, first, count in interleaving(standard, channels).bursts(address, length):
                if owner == index:
                    channel.add(np.arange(first, first + count) * standard.burst_bytes, is_write, number, tick)
        channel.run_until_idle()
        for number, tick in channel.completed:
            ends[number] = max(ends[number], tick)
        alone.append(channel)
    last = max(channel.now for channel in alone)
    for channel in alone:
        channel.run(last)
    return ends, [channel.statistics for channel in alone]


def as_they_come(
    arrivals: list[Arrival], standard: DramStandard, policy: str, channels: int
) -> tuple[list[int], list[ChannelStatistics]]:
    group = ChannelGroup(standard, POLICIES[policy], interleaving(standard, channels))
    ends, waiting = [-1] * len(arrivals), list(arrivals)
    while waiting or group.under_way:
        finish = group.next_finish()
        if waiting and (finish is None or waiting[0][0] <= finish):
            tick, is_write, address, length = waiting.pop(0)
            assert group.add(address, length, is_write, tick) == len(arrivals) - len(waiting) - 1
        elif finish is not None:
            over = group.take_finished(finish)
            assert over, "whatever is announced comes"
            for number in over:
                ends[number] = finish
    return ends, group.statistics(group.idle_tick())


@settings(deadline=None, derandomize=True, max_examples=80)
@given(arrivals_, st.sampled_from(sorted(STANDARDS)), st.sampled_from(sorted(POLICIES)), st.integers(1, 4))
def test_running_ahead_together_changes_nothing(
    gaps: list[tuple[int, bool, tuple[int, int]]], standard: str, policy: str, channels: int
) -> None:
    tick, arrivals = 0, []
    for gap, is_write, span in gaps:
        tick += gap
        arrivals.append((tick, is_write, *span))
    model = STANDARDS[standard]
    assert as_they_come(arrivals, model, policy, channels) == told_in_advance(arrivals, model, policy, channels)


def test_more_transactions_and_bursts_than_there_was_room_for() -> None:
    arrivals = [(40 * n, n % 5 == 0, 8192 * n, 4096) for n in range(40)]
    model = STANDARDS["HBM2"]
    assert as_they_come(arrivals, model, "mop4clxor", 2) == told_in_advance(arrivals, model, "mop4clxor", 2)


def test_channels_that_lack_room_for_different_numbers_of_bursts() -> None:
    """Of 128 bursts each, the second channel lacks two more: room for what the first lacks is too little."""
    standard = STANDARDS["HBM2"]
    block = 2 * standard.burst_bytes
    group = ChannelGroup(standard, POLICIES["base"], interleaving(standard, 4))
    spans = [(block, block), (0, 64 * 4 * block)]
    for address, length in spans:
        group.add(address, length, False, 0)
    ends = {}
    while (finish := group.next_finish()) is not None:
        ends |= dict.fromkeys(group.take_finished(finish), finish)
    told, _ = told_in_advance([(0, False, *span) for span in spans], standard, "base", 4)
    assert [ends[number] for number in range(2)] == told


def courses_run(arrivals: list[Arrival], channels: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many courses were advanced at once, call by call; that they change nothing is checked."""
    model = STANDARDS["HBM2"]
    counts: list[int] = []
    advance = channel_group.advance

    def watched(states: channel_group.Ints, *arguments: Any) -> int:
        counts.append(len(states))
        return advance(states, *arguments)

    monkeypatch.setattr(channel_group, "advance", watched)
    found = as_they_come(arrivals, model, "mop4clxor", channels)
    assert found == told_in_advance(arrivals, model, "mop4clxor", channels)
    return counts


def test_channels_that_are_given_alike_are_simulated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    even = [(50 * n, n == 2, 4096 * n, 1024) for n in range(5)]
    assert set(courses_run(even, 16, monkeypatch)) == {1}


def test_unequal_shares_separate_channels_until_a_refresh_closes_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    even = (0, False, 0, 1024)
    unequal = [(0, False, 4096, 64), (0, False, 8192, 3 * 64)]
    later = [(tick, False, 0, 4096) for tick in (5000, 6000)]
    counts = courses_run([even, *unequal, *later], 16, monkeypatch)
    assert max(counts) == 3, "the first channel, the next two, and all others"
    assert counts[-2:] == [1, 1], "the last transaction finds them alike again"


@pytest.mark.parametrize(("threads", "parts"), [(1, [(0, 4)]), (2, [(0, 2), (2, 4)]), (3, [(0, 2), (2, 4)])])
def test_threads_change_nothing(threads: int, parts: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    run_parts = channel_group.run_parts

    def watched(kernel: Any, parts: list[tuple[int, int]], *arguments: Any) -> list[Any]:
        seen.append(parts)
        return run_parts(kernel, parts, *arguments)

    monkeypatch.setattr(channel_group, "run_parts", watched)
    unequal = [(0, n == 2, 256 * n, 64 * n) for n in range(1, 4)]
    set_threads(threads)
    try:
        courses_run([*unequal, (0, False, 4096, 60_000)], 4, monkeypatch)
    finally:
        set_threads(0)
    assert parts in seen, "large runs are shared"
    assert [(0, 4)] in seen, "small ones are not"


def test_those_that_end_together_are_ordered_by_channel_then_by_number() -> None:
    model = STANDARDS["HBM2"]
    group = ChannelGroup(model, POLICIES["base"], interleaving(model, 2))
    first, second, third = (group.add(address, 32, False, 0) for address in (64, 0, 4096))
    finish = group.next_finish()
    assert finish is not None
    assert group.take_finished(finish) == [second, first]
    later = group.next_finish()
    assert later is not None
    assert later > finish
    assert group.take_finished(later) == [third]
    assert group.next_finish() is None
    assert group.under_way == 0


def test_refreshes_that_come_too_fast() -> None:
    model = STANDARDS["HBM2"]
    hurried = replace(model, timings={**model.timings, "nREFIpb": 1})
    group = ChannelGroup(hurried, replace(POLICIES["base"], refresh="per_bank"), interleaving(hurried, 2))
    group.add(0, 1 << 16, False, 10_000)
    with pytest.raises(InputError, match=r"^HBM2: nREFI: refreshes come faster than they can be done$"):
        group.next_finish()
