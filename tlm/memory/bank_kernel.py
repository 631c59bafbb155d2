"""The compiled loop of a banked channel: from tick to tick at which something happens."""

# mypy: disable-error-code=no-any-return
from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import resources

from numba import njit

from tlm.memory.bank_between_refreshes import run_between_refreshes
from tlm.memory.bank_queues import accept, next_arrival
from tlm.memory.bank_refresh import queue_precharges, queue_refreshes
from tlm.memory.bank_schedule import step_dual_bus, step_single_bus, step_split_activate
from tlm.memory.bank_state import (
    ACTIVATING_SLOT,
    ACTIVE_LENGTH,
    BANKS,
    DONE_TICK,
    DUAL_BUS,
    LAST_DATA,
    LOG_COMMANDS,
    LOGGED,
    NEVER,
    NEXT_DUE,
    NOW,
    PRIORITY,
    PRIORITY_LENGTH,
    READ_LENGTH,
    READ_QUEUE_SUM,
    REMAINING,
    REMEMBERS_ROWS,
    REPORTED,
    SPLIT_ACTIVATE,
    TRANSACTION_FIELDS,
    TRANSACTION_ID,
    TRANSACTIONS,
    UNITS,
    WAITING_HEAD,
    WAITING_TAIL,
    WRITE_LENGTH,
    WRITE_QUEUE_SUM,
    Ints,
)
from tlm.memory.bank_timing import UNCOUNTED, helper, pointer

RUN, RUN_TO_COMPLETION, RUN_TO_IDLE, RUN_WHILE_WAITING = range(4)
"""How far to run: to a tick; or, at most to that tick, to the first completed transaction, until nothing is left, until
no burst waits to enter a queue (what arrives later changes nothing before that)."""

REACHED, LOG_FULL, REFRESH_OVERDUE = range(3)
"""Why the loop returned."""

pasted = njit(**UNCOUNTED, inline="always")
"""Puts what has one caller into it before anything is compiled; else all that it calls would be compiled once more."""

_SOURCES = (
    "commands",
    "bank_between_refreshes",
    *(f"bank_{part}" for part in ("commands", "queues", "refresh", "rules", "schedule", "state", "timing")),
)


@helper
def _idle(s: Ints) -> bool:
    queued = s[READ_LENGTH] + s[WRITE_LENGTH] + s[ACTIVE_LENGTH]
    return queued == 0 and s[WAITING_HEAD] == s[WAITING_TAIL] and s[ACTIVATING_SLOT] < 0


@helper
def _reported(s: Ints, c: Ints, end: int) -> bool:
    """Mark the transactions whose last burst is complete by now, and find when the next one will be; were there any?"""
    if s[NEXT_DUE] > s[NOW]:
        return False
    s[NEXT_DUE] = NEVER
    for t in range(c[TRANSACTIONS], end, TRANSACTION_FIELDS):
        if s[t + TRANSACTION_ID] >= 0 and s[t + REMAINING] == 0 and s[t + REPORTED] == 0:
            if s[t + DONE_TICK] <= s[NOW]:
                s[t + REPORTED] = 1
            else:
                s[NEXT_DUE] = min(s[NEXT_DUE], s[t + DONE_TICK])
    return True


@helper
def _bound(s: Ints, c: Ints, waiting: Ints, until: int) -> int:
    """Queue what is due in the next tick, and return the last tick up to which nothing else is due or arrives."""
    tick = s[NOW] + 1
    event = min(queue_refreshes(s, c, tick), queue_precharges(s, c, tick))
    return min(min(event, next_arrival(s, c, waiting, tick)) - 1, until)


@pasted
def _step(s: Ints, c: Ints, log: Ints, tick: int, bound: int) -> None:
    """Move on to the next tick at which something is issued, or to `bound`."""
    reads, writes = s[READ_LENGTH], s[WRITE_LENGTH]
    if c[DUAL_BUS]:
        issued = step_dual_bus(s, c, log, tick, bound)
    elif c[SPLIT_ACTIVATE]:
        issued = step_split_activate(s, c, log, tick, bound)
    else:
        issued = step_single_bus(s, c, log, tick, bound)
    passed = min(issued, bound) - s[NOW]
    s[READ_QUEUE_SUM] += reads * passed
    s[WRITE_QUEUE_SUM] += writes * passed
    s[NOW] += passed


@pasted
def _run(s: Ints, c: Ints, waiting: Ints, log: Ints, ends: tuple[int, int], until: int, mode: int) -> int:
    """Advance one channel; `ends` are the lengths of its state and of its log."""
    state_length, log_length = ends
    while s[NOW] < until:
        idle = mode == RUN_TO_IDLE and _idle(s)
        if idle and s[NOW] >= s[LAST_DATA]:
            break
        before = s[NOW]
        if c[REMEMBERS_ROWS]:
            to_completion, while_waiting = mode == RUN_TO_COMPLETION, mode == RUN_WHILE_WAITING
            run_between_refreshes(s, c, waiting, log, log_length, until, to_completion, while_waiting)
        if s[NOW] == before:
            if c[LOG_COMMANDS] and s[LOGGED] + 2 > log_length:
                return LOG_FULL
            accept(s, c, waiting, s[NOW])
            if mode == RUN_WHILE_WAITING and s[WAITING_HEAD] == s[WAITING_TAIL]:
                break
            if _reported(s, c, state_length) and mode == RUN_TO_COMPLETION:
                break
            bound = _bound(s, c, waiting, until)
            if s[PRIORITY_LENGTH] > PRIORITY - c[BANKS] - c[UNITS]:
                return REFRESH_OVERDUE
            if mode == RUN_TO_COMPLETION:
                bound = min(bound, s[NEXT_DUE])
            if idle:
                bound = min(bound, max(s[LAST_DATA], s[NOW] + 1))
            _step(s, c, log, s[NOW] + 1, bound)
        if _reported(s, c, state_length) and mode == RUN_TO_COMPLETION:
            break
    return REACHED


def _compiled(sources: int) -> Callable[[Ints, Ints, Ints, Ints, int, int], int]:
    """Compile the loop; `sources` makes the stored code another one when a module that it calls has changed."""

    @njit(cache=True, **UNCOUNTED)
    def advance(states: Ints, constants: Ints, bursts: Ints, records: Ints, until: int, mode: int) -> int:
        status = REACHED
        for channel in range(len(states) if sources else 0):
            s, waiting = pointer(states[channel]), pointer(bursts[channel])
            ends = states.shape[1], len(records)
            status = _run(s, pointer(constants), waiting, pointer(records), ends, until, mode)
            if status != REACHED:
                break
        return status

    return advance


def source_digest(*modules: str) -> int:
    """Return a number that changes with the text of these modules, for code that is stored under its own module's."""
    digest = hashlib.sha256()
    for name in modules:
        digest.update(resources.files("tlm").joinpath("memory", f"{name}.py").read_bytes())
    return 1 + int.from_bytes(digest.digest()[:4], "big")


_advance = _compiled(source_digest(*_SOURCES))


def advance(states: Ints, constants: Ints, waiting: Ints, log: Ints, until: int, mode: int) -> int:
    """Advance the states [channels, words] of channels alike up to and including tick `until`; return why it stopped.

    waiting: [channels, bursts, fields]. Only a channel alone can log its commands.
    """
    return _advance(states, constants, waiting, log, until, mode)
