"""Courses are united only where nothing that can still make a difference differs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tlm.memory import bank_state as b
from tlm.memory.bank_timing import ACT
from tlm.memory.channel_courses import counted_fronts, no_counts, unite
from tlm.memory.channel_group import ChannelGroup
from tlm.memory.controller import CONTROLLERS
from tlm.memory.interleaving import Interleaving
from tlm.memory.standard import load_standard

HBM2 = load_standard("HBM2")
Ints = b.Ints
Change = Callable[[Ints, Ints, Ints], None]  # of a state, given the constants, and of what waits


class Pair:
    """Two channels under way alike, amid reads and writes of several rows; the second one may be changed."""

    def __init__(self, controller: str = "mop4clxor") -> None:
        group = ChannelGroup(HBM2, CONTROLLERS[controller], Interleaving(2, 256, 32))
        for number in range(6):
            group.add(1 << (13 + number), 4096, number % 3 == 2, 40 * number)
        group.next_finish()
        group.add(0, 8192, False, 10_000)
        self.constants = group._constants
        self.states = np.stack([group._states[0]] * 2)
        self.waiting = np.stack([group._waiting[0]] * 2)
        self.course_of = np.arange(2)
        self.booked = no_counts(2)

    def united(self) -> bool:
        arrays = self.states, self.constants, self.waiting, self.course_of, self.booked
        return unite(*arrays, 2) == 1

    @property
    def now(self) -> int:
        return int(self.states[0, b.NOW])


def queued(s: Ints, c: Ints) -> int:
    """A queued request that another one of its bank follows."""
    heads = s[c[b.LIST_HEAD] : c[b.LIST_TAIL]].tolist()
    return next(slot for slot in heads if slot and s[slot + b.SLOT_NEXT])


def tick_later(cell: Callable[[Ints], int]) -> Change:
    def change(s: Ints, c: Ints, _waiting: Ints) -> None:
        s[cell(c)] = s[b.NOW] + 2

    return change


def more(cell: Callable[[Ints, Ints], int]) -> Change:
    def change(s: Ints, c: Ints, _waiting: Ints) -> None:
        s[cell(s, c)] += 1

    return change


def one_request_less(s: Ints, c: Ints, _waiting: Ints) -> None:
    s[queued(s, c) + b.SLOT_NEXT] = 0


def one_waits_less(s: Ints, _c: Ints, _waiting: Ints) -> None:
    s[b.WAITING_TAIL] -= 1


def another_waits(s: Ints, _c: Ints, waiting: Ints) -> None:
    waiting[s[b.WAITING_TAIL] - 1, b.LINE] ^= 1


def offered_now(s: Ints, _c: Ints, _waiting: Ints) -> None:
    s[b.OFFER_TICK], s[b.OFFERED] = s[b.NOW], s[b.OFFERED] + 1


def four_activations(s: Ints, c: Ints, _waiting: Ints) -> None:
    s[c[b.ACTIVATIONS] + 3] = s[b.NOW]


def transaction_under_way(s: Ints, c: Ints) -> int:
    records = range(int(c[b.TRANSACTIONS]), len(s), b.TRANSACTION_FIELDS)
    return next(t for t in records if s[t + b.TRANSACTION_ID] >= 0)


MATTERS: dict[str, Change] = {
    "tick": more(lambda s, c: b.NOW),
    "write mode": more(lambda s, c: b.WRITE_MODE),
    "next refresh": more(lambda s, c: b.REFRESH_TICK),
    "bank to refresh": more(lambda s, c: b.REFRESH_CURSOR),
    "units left to refresh": more(lambda s, c: b.REFRESH_LEFT),
    "row bus": tick_later(lambda c: b.ROW_BUS_FREE),
    "data clock": tick_later(lambda c: b.CLOCK_EXPIRY),
    "rising edge": tick_later(lambda c: b.PAIR_TICK),
    "bursts offered in this tick": offered_now,
    "command of a bank": tick_later(lambda c: c[b.EARLIEST] + ACT * c[b.BANKS]),
    "column command of a unit": tick_later(lambda c: c[b.UNIT_FLOORS] + 2 * c[b.UNITS] - 1),
    "round of refreshes": tick_later(lambda c: c[b.SET_ALLOWED]),
    "window of four activations": four_activations,
    "open row": more(lambda s, c: c[b.OPEN_ROW] + c[b.BANKS] - 1),
    "request's burst": more(lambda s, c: queued(s, c) + b.SLOT_LINE),
    "request's transaction": more(lambda s, c: queued(s, c) + b.SLOT_TRANSACTION),
    "request's arrival": more(lambda s, c: queued(s, c) + b.SLOT_ARRIVAL),
    "request's age": more(lambda s, c: queued(s, c) + b.SLOT_REQUEST),
    "request counted": more(lambda s, c: queued(s, c) + b.SLOT_COUNTED),
    "request behind another": more(lambda s, c: s[queued(s, c) + b.SLOT_NEXT] + b.SLOT_LINE),
    "requests queued": one_request_less,
    "rows opened for requests": more(lambda s, c: b.ACTIVE_LENGTH),
    "transaction": more(lambda s, c: transaction_under_way(s, c) + b.TRANSACTION_ID),
    "bursts left of a transaction": more(lambda s, c: transaction_under_way(s, c) + b.REMAINING),
    "end of a transaction so far": more(lambda s, c: transaction_under_way(s, c) + b.DONE_TICK),
    "bursts that wait": one_waits_less,
    "a burst that waits": another_waits,
}


@pytest.mark.parametrize("what", MATTERS)
def test_what_keeps_courses_apart(what: str) -> None:
    pair = Pair()
    MATTERS[what](pair.states[1], pair.constants, pair.waiting[1])
    assert not pair.united()
    pair.states[0], pair.waiting[0] = pair.states[1], pair.waiting[1]
    assert pair.united(), "where both have it, it makes no difference"


def test_a_row_opened_for_another_request_keeps_courses_apart() -> None:
    pair = Pair()
    for course in range(2):
        s, c = pair.states[course], pair.constants
        s[b.ACTIVE_LENGTH] = 1
        s[c[b.ACTIVE_ENTRIES]] = queued(s, c)
    assert pair.united()
    pair = Pair()
    for course in range(2):
        s, c = pair.states[course], pair.constants
        s[b.ACTIVE_LENGTH] = 1
        s[c[b.ACTIVE_ENTRIES]] = queued(s, c) if course else s[queued(s, c) + b.SLOT_NEXT]
    assert not pair.united()


@pytest.mark.parametrize(
    ("what", "cell", "value"),
    [
        ("a refresh or precharge is about to come", b.PRIORITY_LENGTH, 1),
        ("the data clock has been started for a request", b.CAS_SLOT, 1),
        ("a bank is being activated", b.ACTIVATING_SLOT, 1),
    ],
)
def test_no_courses_are_united_while(what: str, cell: int, value: int) -> None:
    pair = Pair()
    pair.states[:, cell] = value
    assert not pair.united(), what


@pytest.mark.parametrize("cell", [b.PAIR_UNIT, b.PAIR_BANK])
def test_what_pairs_with_a_falling_edge_matters_in_its_tick_alone(cell: int) -> None:
    for after, together in ((1, False), (0, True)):
        pair = Pair()
        pair.states[:, b.PAIR_TICK] = pair.now + after
        pair.states[1, cell] += 1
        assert pair.united() is together


def test_accesses_matter_only_where_rows_are_closed_after_some() -> None:
    for controller, table, together in (
        ("mop4clxor", b.ACCESSES, True),
        ("closed_cap4", b.ACCESSES, False),
        ("closed_cap4", b.INJECTED, False),
    ):
        pair = Pair(controller)
        assert Pair(controller).united()
        pair.states[1, pair.constants[table]] += 1
        assert pair.united() is together


def long_ago(s: Ints, c: Ints, _waiting: Ints) -> None:
    now = s[b.NOW]
    for first, end in ((b.EARLIEST, b.OPEN_ROW), (b.SET_ALLOWED, b.SLOTS)):
        table = s[c[first] : c[end]]
        table[table <= now + 1] = 0
    for cell in (b.ROW_BUS_FREE, b.CLOCK_EXPIRY, b.PAIR_TICK, b.OFFER_TICK):
        if s[cell] < now:
            s[cell] = -1


def other_free_slots(s: Ints, c: Ints, _waiting: Ints) -> None:
    free = s[c[b.FREE_SLOTS] : c[b.FREE_SLOTS] + s[b.FREE_LENGTH]]
    free[:] = free[::-1].copy()


def further_back(s: Ints, _c: Ints, waiting: Ints) -> None:
    head, tail = s[b.WAITING_HEAD], s[b.WAITING_TAIL]
    waiting[: tail - head] = waiting[head:tail].copy()
    s[b.WAITING_HEAD], s[b.WAITING_TAIL] = 0, tail - head


def requests_before(s: Ints, c: Ints, _waiting: Ints) -> None:
    """More bursts have been served before: the numbers of requests are higher, their ages are not."""
    s[b.REQUESTS] += 7
    s[c[b.SLOTS] + b.SLOT_REQUEST : c[b.FREE_SLOTS] : b.SLOT_FIELDS] += 7


@pytest.mark.parametrize("change", [long_ago, other_free_slots, further_back, requests_before])
def test_what_makes_no_difference(change: Change) -> None:
    pair = Pair()
    before = pair.states[1].copy(), pair.waiting[1].copy()
    change(pair.states[1], pair.constants, pair.waiting[1])
    assert not (np.array_equal(before[0], pair.states[1]) and np.array_equal(before[1], pair.waiting[1]))
    assert pair.united()


def test_counts_are_booked_to_each_channel_when_its_course_changes() -> None:
    pair = Pair()
    pair.states[1, b.ROW_HITS] += 100
    pair.states[0, [b.READ_LATENCY_MIN, b.READ_LATENCY_MAX, b.LAST_ACCEPTED]] = 20, 30, 5
    pair.states[1, [b.READ_LATENCY_MIN, b.READ_LATENCY_MAX, b.LAST_ACCEPTED]] = 21, 29, 6
    counts = pair.states[:, b.ROW_HITS : b.OFFERED].copy()
    assert pair.united()
    fronts = counted_fronts(pair.states, pair.course_of, pair.booked)
    assert np.array_equal(fronts[:, b.ROW_HITS : b.OFFERED], counts)
    pair.states[0, [b.ROW_HITS, b.READ_LATENCY_MIN, b.READ_LATENCY_MAX]] = 1, 10, 40
    fronts = counted_fronts(pair.states, pair.course_of, pair.booked)
    assert (fronts[:, b.ROW_HITS] == counts[:, 0] + 1).all()
    assert fronts[:, b.READ_LATENCY_MIN].tolist() == [10, 10]
    assert fronts[:, b.READ_LATENCY_MAX].tolist() == [40, 40]
    assert fronts[:, b.LAST_ACCEPTED].tolist() == [5, 6]


def test_the_last_course_takes_the_place_of_one_that_ends() -> None:
    pair = Pair()
    states = np.concatenate([pair.states, pair.states[:1]])
    waiting = np.concatenate([pair.waiting, pair.waiting[:1]])
    states[2, b.WRITE_MODE] += 1
    states[2, b.ROW_HITS] = 77
    waiting[2, states[2, b.WAITING_TAIL] - 1, b.LINE] ^= 1
    states[1, b.LAST_DATA] = 1 << 40
    last = states[2].copy(), waiting[2].copy()
    course_of = np.array([2, 1, 0, 1])
    assert unite(states, pair.constants, waiting, course_of, no_counts(4), 3) == 2
    assert course_of.tolist() == [1, 0, 0, 0]
    assert np.array_equal(states[1], last[0])
    assert np.array_equal(waiting[1], last[1])
    assert states[0, b.LAST_DATA] == 1 << 40
