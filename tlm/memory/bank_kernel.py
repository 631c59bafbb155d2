"""The compiled loop of a banked channel: from tick to tick at which something happens."""

from __future__ import annotations

from numba import njit

from tlm.memory.bank_commands import push_priority
from tlm.memory.bank_queues import accept
from tlm.memory.bank_schedule import step_dual_bus, step_single_bus, step_split_activate
from tlm.memory.bank_state import (
    ACTIVATING_SLOT,
    ACTIVE_LENGTH,
    BANKS,
    BANKS_PER_STACK,
    BANKS_PER_UNIT,
    BURST_ARRIVAL,
    COMMANDS,
    COMPLETED,
    DONE_TICK,
    DUAL_BUS,
    LAST_DATA,
    LOG_COMMANDS,
    NEVER,
    NEXT_DUE,
    NOW,
    OFFER_TICK,
    OFFERS,
    PRIORITY,
    PRIORITY_LENGTH,
    READ_LENGTH,
    READ_QUEUE_SUM,
    REFRESH_ALL_BANK,
    REFRESH_CURSOR,
    REFRESH_INTERVAL,
    REFRESH_LEFT,
    REFRESH_NONE,
    REFRESH_POLICY,
    REFRESH_SET_WAIT,
    REFRESH_TICK,
    REFRESH_TOGETHER,
    REMAINING,
    ROW_CAP,
    SEQUENCE,
    SPLIT_ACTIVATE,
    TRANSACTION_ID,
    UNITS,
    WAITING_HEAD,
    WAITING_TAIL,
    WRITE_LENGTH,
    WRITE_QUEUE_SUM,
    ROW_BUS_FREE,
    Ints,
    View,
    view_of,
)
from tlm.memory.bank_timing import PRE, REFAB, REFPB

RUN, RUN_TO_COMPLETION, RUN_TO_IDLE = range(3)
"""How far to run: to a tick, to the first completed transaction or that tick, until nothing is left or that tick."""

REACHED, LOG_FULL, REFRESH_OVERDUE = range(3)
"""Why the loop returned."""


@njit(nogil=True, cache=True)
def advance(
    state: Ints,
    offsets: Ints,
    constants: Ints,
    rules: Ints,
    first_rule: Ints,
    waiting: Ints,
    transactions: Ints,
    completed: Ints,
    commands: Ints,
    latencies: Ints,
    until: int,
    mode: int,
) -> int:
    """Advance a channel's state up to and including tick `until`; return why it stopped."""
    v = view_of(
        state, offsets, constants, rules, first_rule, waiting, transactions, completed, commands, latencies
    )
    s, c = v.scalars, v.constants
    while s[NOW] < until:
        if mode == RUN_TO_IDLE and _idle(v) and s[NOW] >= s[LAST_DATA]:
            break
        if c[LOG_COMMANDS] and s[COMMANDS] + 2 > len(v.commands):
            return LOG_FULL
        accept(v, s[NOW])
        if s[NEXT_DUE] <= s[NOW]:
            _complete(v)
            if mode == RUN_TO_COMPLETION:
                break
        tick = s[NOW] + 1
        event = min(_refresh(v, tick), _row_policy(v, tick), _next_arrival(v, tick))
        if s[PRIORITY_LENGTH] > PRIORITY - c[BANKS] - c[UNITS]:
            return REFRESH_OVERDUE
        bound = min(event - 1, until)
        if mode == RUN_TO_COMPLETION:
            bound = min(bound, s[NEXT_DUE])
        if mode == RUN_TO_IDLE and _idle(v):
            bound = min(bound, max(s[LAST_DATA], tick))
        reads, writes = s[READ_LENGTH], s[WRITE_LENGTH]
        if c[DUAL_BUS]:
            issued = step_dual_bus(v, tick, bound)
        elif c[SPLIT_ACTIVATE]:
            issued = step_split_activate(v, tick, bound)
        else:
            issued = step_single_bus(v, tick, bound)
        now = min(issued, bound)
        v.statistics[READ_QUEUE_SUM] += reads * (now - s[NOW])
        v.statistics[WRITE_QUEUE_SUM] += writes * (now - s[NOW])
        s[NOW] = now
        if s[NEXT_DUE] <= s[NOW]:
            _complete(v)
            if mode == RUN_TO_COMPLETION:
                break
    return REACHED


@njit(nogil=True, cache=True)
def _idle(v: View) -> bool:
    s = v.scalars
    queued = s[READ_LENGTH] + s[WRITE_LENGTH] + s[ACTIVE_LENGTH]
    return bool(queued == 0 and s[WAITING_HEAD] == s[WAITING_TAIL] and s[ACTIVATING_SLOT] < 0)


@njit(nogil=True, cache=True)
def _complete(v: View) -> None:
    """Log the transactions whose last burst is complete, in order of that tick, then of their arrival."""
    s, t = v.scalars, v.transactions
    while s[NEXT_DUE] <= s[NOW]:
        first, later = -1, NEVER
        for i in range(len(t)):
            if t[i, TRANSACTION_ID] < 0 or t[i, REMAINING] > 0:
                continue
            if first < 0 or (t[i, DONE_TICK], t[i, SEQUENCE]) < (t[first, DONE_TICK], t[first, SEQUENCE]):
                if first >= 0:
                    later = min(later, t[first, DONE_TICK])
                first = i
            else:
                later = min(later, t[i, DONE_TICK])
        n = s[COMPLETED]
        v.completed[n, 0], v.completed[n, 1] = t[first, TRANSACTION_ID], t[first, DONE_TICK]
        t[first, TRANSACTION_ID] = -1
        s[COMPLETED] = n + 1
        s[NEXT_DUE] = later


@njit(nogil=True, cache=True)
def _refresh(v: View, tick: int) -> int:
    """Queue the refreshes due at `tick`; return the next tick at which one may be due."""
    s, c = v.scalars, v.constants
    if c[REFRESH_POLICY] == REFRESH_NONE:
        return NEVER
    if s[REFRESH_LEFT] > 0:
        _refresh_next_unit(v, tick)
    elif tick >= s[REFRESH_TICK]:
        if c[REFRESH_POLICY] == REFRESH_ALL_BANK:
            for unit in range(c[UNITS]):
                push_priority(v, REFAB, unit * c[BANKS_PER_UNIT])
        elif c[REFRESH_TOGETHER]:
            allowed = _round_allowed(v)
            if tick < allowed:
                s[REFRESH_TICK] = allowed
                return allowed
            s[REFRESH_LEFT] = c[UNITS]
            _refresh_next_unit(v, tick)
        else:
            push_priority(v, REFPB, s[REFRESH_CURSOR])
            s[REFRESH_CURSOR] = (s[REFRESH_CURSOR] + 1) % c[BANKS]
        s[REFRESH_TICK] += c[REFRESH_INTERVAL]
    return tick + 1 if s[REFRESH_LEFT] > 0 else max(tick + 1, s[REFRESH_TICK])


@njit(nogil=True, cache=True)
def _round_allowed(v: View) -> int:
    """Return the first tick at which all units may start to refresh the cursor's bank of their stack id."""
    c = v.constants
    stack_ids = c[BANKS_PER_UNIT] // c[BANKS_PER_STACK]
    stack = v.scalars[REFRESH_CURSOR] // c[BANKS_PER_STACK]
    allowed = 0
    for unit in range(c[UNITS]):
        allowed = max(allowed, v.set_allowed[unit * stack_ids + stack])
    return allowed


@njit(nogil=True, cache=True)
def _refresh_next_unit(v: View, tick: int) -> None:
    """Queue the cursor's bank of the next unit, a tick after the unit before; after the last unit move the cursor."""
    s, c = v.scalars, v.constants
    unit, cursor = c[UNITS] - s[REFRESH_LEFT], s[REFRESH_CURSOR]
    push_priority(v, REFPB, unit * c[BANKS_PER_UNIT] + cursor)
    stack, bank = cursor // c[BANKS_PER_STACK], cursor % c[BANKS_PER_STACK]
    if bank == c[BANKS_PER_STACK] - 1:
        v.set_allowed[unit * (c[BANKS_PER_UNIT] // c[BANKS_PER_STACK]) + stack] = tick + c[REFRESH_SET_WAIT]
    s[REFRESH_LEFT] -= 1
    if s[REFRESH_LEFT] == 0:
        s[REFRESH_CURSOR] = (cursor + 1) % c[BANKS_PER_UNIT]


@njit(nogil=True, cache=True)
def _row_policy(v: View, tick: int) -> int:
    """Closed rows: queue a PRE for each bank that has had its accesses, as soon as PRE is legal; return when to ask."""
    c = v.constants
    event = NEVER
    if c[ROW_CAP] == 0:
        return event
    for bank in range(c[BANKS]):
        if v.accesses[bank] >= c[ROW_CAP] and v.injected[bank] == 0:
            legal = max(v.earliest[PRE * c[BANKS] + bank], v.scalars[ROW_BUS_FREE])
            if legal <= tick:
                push_priority(v, PRE, bank)
                v.injected[bank] = 1
            else:
                event = min(event, legal)
    return event


@njit(nogil=True, cache=True)
def _next_arrival(v: View, tick: int) -> int:
    """Return the tick before which another burst must be offered: after its arrival, or after an offer just taken."""
    s = v.scalars
    if s[WAITING_HEAD] == s[WAITING_TAIL]:
        return NEVER
    arrival = v.waiting[s[WAITING_HEAD], BURST_ARRIVAL]
    if arrival >= tick:
        return int(arrival + 1)
    return tick + 1 if v.constants[OFFERS] > 0 and s[OFFER_TICK] == tick - 1 else NEVER
