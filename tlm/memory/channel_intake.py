"""How transactions enter the channels: cut into bursts, decoded, and put behind those that wait already."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tlm.memory.bank_kernel import source_digest
from tlm.memory.bank_state import (
    BURST_ARRIVAL,
    BURST_FIELDS,
    BURST_TRANSACTION,
    BURST_WRITE,
    DONE_TICK,
    REMAINING,
    REPORTED,
    SEQUENCE,
    TRANSACTION_ID,
    WAITING_HEAD,
    WAITING_TAIL,
    Ints,
)
from tlm.memory.channel_courses import separate
from tlm.memory.interleaving import compiled_share
from tlm.memory.mapping import decode_burst

Mapping = tuple[NDArray[np.int64], NDArray[np.int64], bool, NDArray[np.int64]]
"""Plan, bits and exclusive or of an `AddressMapping`, and its `low_bursts`, which are decoded at once."""

Span = tuple[int, int]
"""The first and the last burst of a transaction, in the order of addresses."""

Place = tuple[int, int]
"""Where a transaction's record lies in the states, and its number."""


@njit(nogil=True)
def _make_room(s: Ints, waiting: Ints) -> None:
    """Move the bursts that wait to the front."""
    head, count = s[WAITING_HEAD], s[WAITING_TAIL] - s[WAITING_HEAD]
    for i in range(count):
        for field in range(BURST_FIELDS):  # a row at once would compile the words of an error, for 3 s
            waiting[i, field] = waiting[head + i, field]
    s[WAITING_HEAD], s[WAITING_TAIL] = 0, count


def _compiled(sources: int) -> Any:
    """Compile the intake; `sources` makes the stored code another one when a module that it uses has changed."""

    @njit(nogil=True, cache=True)
    def take_in(
        states: Ints,
        waiting: Ints,
        course_of: Ints,
        span: Span,
        per_block: int,
        mapping: Mapping,
        place: Place,
        is_write: bool,
        tick: int,
        courses: int,
    ) -> tuple[int, int]:
        """Append a transaction's bursts to those that wait for each course.

        Returns (rows of `waiting` that a course lacks: nothing was appended; 0 if done, courses there are now).
        """
        first, last = span
        transaction, number = place
        plan, bits, xor, offsets = mapping
        channels, rows = len(course_of) if sources else 0, waiting.shape[1]
        shares, splits = np.zeros((channels, 2), np.int64), np.zeros((channels, 2), np.int64)
        for block in range(first // per_block, min(last // per_block, first // per_block + channels - 1) + 1):
            channel = block % channels
            shares[channel, 0], shares[channel, 1] = compiled_share(block, first, last, per_block, channels)
        courses = separate(states, waiting, course_of, shares, splits, courses)
        for course in range(courses):
            s, channel = states[course], splits[course, 1]
            lacks = s[WAITING_TAIL] - s[WAITING_HEAD] + shares[channel, 1] - shares[channel, 0] - rows
            if lacks > 0:
                return max(lacks, rows), courses
        fields, base = np.zeros(6, np.int64), np.zeros(4, np.int64)
        for course in range(courses):
            s, channel = states[course], splits[course, 1]
            begin, end = shares[channel, 0], shares[channel, 1]
            if begin == end:
                continue
            if s[WAITING_TAIL] + end - begin > rows:
                _make_room(s, waiting[course])
            row = s[WAITING_TAIL]
            for burst in range(begin, end):
                low = burst % len(offsets)
                if low == 0 or burst == begin:
                    decode_burst(burst - low, plan, bits, xor, fields, base)
                for field in range(4):
                    waiting[course, row, field] = base[field] ^ offsets[low, field]
                waiting[course, row, BURST_WRITE], waiting[course, row, BURST_TRANSACTION] = is_write, transaction
                waiting[course, row, BURST_ARRIVAL] = tick
                row += 1
            s[WAITING_TAIL] = row
            s[transaction + TRANSACTION_ID], s[transaction + REMAINING] = number, end - begin
            s[transaction + DONE_TICK], s[transaction + SEQUENCE], s[transaction + REPORTED] = 0, number, 0
        return 0, courses

    return take_in


take_in = _compiled(source_digest("bank_state", "mapping", "interleaving", "channel_courses"))
