"""When refreshes, and precharges of the closed-row policy, enter the priority list."""

# mypy: disable-error-code=no-any-return
from __future__ import annotations

from tlm.memory.bank_commands import push_priority
from tlm.memory.bank_state import (
    ACCESSES,
    BANKS,
    BANKS_PER_STACK,
    BANKS_PER_UNIT,
    EARLIEST,
    INJECTED,
    NEVER,
    REFRESH_ALL_BANK,
    REFRESH_CURSOR,
    REFRESH_INTERVAL,
    REFRESH_LEFT,
    REFRESH_NONE,
    REFRESH_POLICY,
    REFRESH_SET_WAIT,
    REFRESH_TICK,
    REFRESH_TOGETHER,
    ROW_BUS_FREE,
    ROW_CAP,
    SET_ALLOWED,
    UNITS,
    Ints,
)
from tlm.memory.bank_timing import PRE, REFAB, REFPB, helper


@helper
def queue_refreshes(s: Ints, c: Ints, tick: int) -> int:
    """Queue the refreshes due at `tick`; return the next tick at which one may be due."""
    if c[REFRESH_POLICY] == REFRESH_NONE:
        return NEVER
    if s[REFRESH_LEFT] > 0:
        _refresh_next_unit(s, c, tick)
    elif tick >= s[REFRESH_TICK]:
        if c[REFRESH_POLICY] == REFRESH_ALL_BANK:
            for unit in range(c[UNITS]):
                push_priority(s, c, REFAB, unit * c[BANKS_PER_UNIT])
        elif c[REFRESH_TOGETHER]:
            allowed = _round_allowed(s, c)
            if tick < allowed:
                s[REFRESH_TICK] = allowed
                return allowed
            s[REFRESH_LEFT] = c[UNITS]
            _refresh_next_unit(s, c, tick)
        else:
            push_priority(s, c, REFPB, s[REFRESH_CURSOR])
            s[REFRESH_CURSOR] = (s[REFRESH_CURSOR] + 1) % c[BANKS]
        s[REFRESH_TICK] += c[REFRESH_INTERVAL]
    return tick + 1 if s[REFRESH_LEFT] > 0 else max(tick + 1, s[REFRESH_TICK])


@helper
def _round_allowed(s: Ints, c: Ints) -> int:
    """Return the first tick at which all units may refresh the cursor's bank of their stack id."""
    stack_ids = c[BANKS_PER_UNIT] // c[BANKS_PER_STACK]
    allowed = 0
    for unit in range(c[UNITS]):
        allowed = max(allowed, s[c[SET_ALLOWED] + unit * stack_ids + s[REFRESH_CURSOR] // c[BANKS_PER_STACK]])
    return allowed


@helper
def _refresh_next_unit(s: Ints, c: Ints, tick: int) -> None:
    """Queue the cursor's bank of the next unit, a tick after the unit before; after the last unit move the cursor."""
    unit, cursor = c[UNITS] - s[REFRESH_LEFT], s[REFRESH_CURSOR]
    push_priority(s, c, REFPB, unit * c[BANKS_PER_UNIT] + cursor)
    if cursor % c[BANKS_PER_STACK] == c[BANKS_PER_STACK] - 1:
        stack_ids = c[BANKS_PER_UNIT] // c[BANKS_PER_STACK]
        s[c[SET_ALLOWED] + unit * stack_ids + cursor // c[BANKS_PER_STACK]] = tick + c[REFRESH_SET_WAIT]
    s[REFRESH_LEFT] -= 1
    if s[REFRESH_LEFT] == 0:
        s[REFRESH_CURSOR] = (cursor + 1) % c[BANKS_PER_UNIT]


@helper
def queue_precharges(s: Ints, c: Ints, tick: int) -> int:
    """Closed rows: queue a PRE for each bank that has had its accesses, as soon as PRE is legal; return when to ask."""
    event = NEVER
    if c[ROW_CAP] == 0:
        return event
    for bank in range(c[BANKS]):
        if s[c[ACCESSES] + bank] >= c[ROW_CAP] and s[c[INJECTED] + bank] == 0:
            legal = max(s[c[EARLIEST] + PRE * c[BANKS] + bank], s[ROW_BUS_FREE])
            if legal <= tick:
                push_priority(s, c, PRE, bank)
                s[c[INJECTED] + bank] = 1
            else:
                event = min(event, legal)
    return event
