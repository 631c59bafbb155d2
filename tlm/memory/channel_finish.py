"""Which transactions are over, and when the next one may be, told from the states of all courses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tlm.memory.bank_kernel import source_digest
from tlm.memory.bank_state import (
    DONE_TICK,
    NEVER,
    NOW,
    READ_LATENCY,
    REMAINING,
    TRANSACTION_FIELDS,
    TRANSACTION_ID,
    TRANSACTIONS,
    WAITING_HEAD,
    WAITING_TAIL,
    Ints,
)


def _compiled_next(sources: int) -> Any:
    """Compile it; `sources` makes the stored code another one when a module that it uses has changed."""

    @njit(nogil=True, cache=True)
    def next_finish(states: Ints, constants: Ints) -> tuple[int, int, int]:
        """Return (tick, unknown, waiting): when the first transaction known is over, from when on others may be, and
        how many bursts wait to enter a queue.

        A transaction is over when its last channel is. A channel that has bursts of it left is not before its next
        read, or, if some wait outside its queues, before the next one enters: that is enough for a write.
        """
        known, unknown, waiting = NEVER, NEVER, 0
        courses = len(states) if sources else 0
        for course in range(courses):
            waiting += states[course, WAITING_TAIL] - states[course, WAITING_HEAD]
        for t in range(constants[TRANSACTIONS], states.shape[1], TRANSACTION_FIELDS):
            over, complete, found = 0, True, False
            for course in range(courses):
                s = states[course]
                if s[t + TRANSACTION_ID] >= 0:
                    found = True
                    if s[t + REMAINING] > 0:
                        complete = False
                        waits = s[WAITING_HEAD] < s[WAITING_TAIL]
                        over = max(over, s[NOW] if waits else s[NOW] + 1 + constants[READ_LATENCY])
                    else:
                        over = max(over, s[t + DONE_TICK])
            if found and complete:
                known = min(known, over)
            elif found:
                unknown = min(unknown, over)
        return known, unknown, waiting

    return next_finish


def _compiled_finished(sources: int) -> Any:
    @njit(nogil=True, cache=True)
    def finished(states: Ints, course_of: Ints, constants: Ints, tick: int) -> Ints:
        """Return [transactions, (last channel, number, slot)] of all that are over at `tick`."""
        first = constants[TRANSACTIONS]
        slots = (states.shape[1] - first) // TRANSACTION_FIELDS
        found = np.empty((slots, 3), np.int64)
        count = 0
        for slot in range(slots if sources else 0):
            t = first + slot * TRANSACTION_FIELDS
            over, last, number = 0, -1, -1
            for channel in range(len(course_of)):
                s = states[course_of[channel]]
                if s[t + TRANSACTION_ID] >= 0:
                    number = s[t + TRANSACTION_ID]
                    if s[t + REMAINING] > 0:
                        over = NEVER
                    elif s[t + DONE_TICK] >= over:
                        over, last = s[t + DONE_TICK], channel
            if number >= 0 and over == tick:
                found[count, 0], found[count, 1], found[count, 2] = last, number, slot
                count += 1
        return found[:count]

    return finished


next_finish = _compiled_next(source_digest("bank_state"))
_finished = _compiled_finished(source_digest("bank_state"))


def finishes(states: Ints, course_of: Ints, constants: Ints, tick: int) -> list[list[int]]:
    """Return (last channel, number, slot) of the transactions that are over at `tick`: their order is this one's."""
    return sorted(_finished(states, course_of, constants, tick).tolist())
