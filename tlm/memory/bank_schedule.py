"""Choice: which legal command comes next, and at which tick.

First ready, first come: activated requests before refreshes, these before the queue that the write mode selects; among
equals commands that are legal beat those that are not, then the older wins. A step looks for the first tick at which
anything can be issued; ticks in between are not visited.
"""

# mypy: disable-error-code=no-any-return
from __future__ import annotations

import numpy as np

from tlm.memory.bank_commands import (
    FROM_ACTIVE,
    issue_clock_start,
    issue_column,
    issue_priority,
    issue_row,
    issue_second_activate,
    priority_tick,
)
from tlm.memory.bank_queues import READ_SIDE
from tlm.memory.bank_rules import HELD_PRECHARGE
from tlm.memory.bank_state import (
    ACTIVATING_DEADLINE,
    ACTIVATING_SLOT,
    ACTIVE_ENTRIES,
    ACTIVE_KEYS,
    ACTIVE_LENGTH,
    BANKS,
    CAS_SLOT,
    CLOCK_ALWAYS_ON,
    CLOCK_EXPIRY,
    EARLIEST,
    ENTRY_KEYS,
    HALF_CLOCK,
    NEVER,
    PRIORITY_LENGTH,
    READ_HEAD,
    READ_LENGTH,
    ROW_BUS_FREE,
    SLOT_ARRIVAL,
    SLOT_WRITE,
    WRITE_HIGH,
    WRITE_LENGTH,
    WRITE_LOW,
    WRITE_MODE,
    Ints,
)
from tlm.memory.bank_timing import RD, helper


@helper
def _set_write_mode(s: Ints, c: Ints) -> int:
    """Switch between reading and writing by how full the queues are; return the side to serve."""
    if s[WRITE_MODE] == 0:
        if s[WRITE_LENGTH] > c[WRITE_HIGH] or s[READ_LENGTH] == 0:
            s[WRITE_MODE] = 1
    elif s[WRITE_LENGTH] < c[WRITE_LOW] and s[READ_LENGTH] != 0:
        s[WRITE_MODE] = 0
    return s[WRITE_MODE]


@helper
def _column_slot(c: Ints, tick: int) -> int:
    """Return the first tick from `tick` on at which the column bus takes a command: rising edges only."""
    return tick | 1 if c[HALF_CLOCK] else tick


@helper
def _first_active(s: Ints, c: Ints, tick: int) -> tuple[int, int]:
    """Return (tick, entry) of the activated request whose column command is legal first; the oldest of equals."""
    best, index, arrival = NEVER, 0, 0
    for j in range(c[ACTIVE_ENTRIES], c[ACTIVE_ENTRIES] + s[ACTIVE_LENGTH]):
        legal = _column_slot(c, max(tick, s[s[j + c[ACTIVE_KEYS]]]))
        if legal < best or (legal == best and s[s[j] + SLOT_ARRIVAL] < arrival):
            best, index, arrival = legal, j, s[s[j] + SLOT_ARRIVAL]
    return best, index


@helper
def _first_queued(s: Ints, c: Ints, side: int, tick: int, least_key: int) -> tuple[int, int]:
    """Return (tick, entry) of the queued command that is legal first, the oldest of equals; lower keys do not count."""
    first = np.uint64(s[READ_HEAD + side] + c[ENTRY_KEYS])
    best, found = NEVER, first
    for j in range(first, first + np.uint64(s[READ_LENGTH + side])):
        legal = max(s[np.uint64(s[j])], tick) if s[j] >= least_key else NEVER
        if legal < best:
            best, found = legal, j  # type: ignore[assignment]
    return best, np.int64(found) - c[ENTRY_KEYS]


@helper
def _first_of_both(s: Ints, c: Ints, side: int, tick: int) -> tuple[int, int, int, int]:
    """Return (tick, entry) of the first legal column command and (tick, entry) of the first legal row command.

    That a precharge may not pair with a command of the rising edge (HBM3) cannot happen here: the bank was opened long
    before, and its unit is not being refreshed.
    """
    first = np.uint64(s[READ_HEAD + side] + c[ENTRY_KEYS])
    columns, held = c[EARLIEST] + RD * c[BANKS], c[EARLIEST] + HELD_PRECHARGE * c[BANKS]
    half, row_tick = c[HALF_CLOCK], max(tick, s[ROW_BUS_FREE])
    column, row = NEVER, NEVER
    column_entry, row_entry = first, first
    for j in range(first, first + np.uint64(s[READ_LENGTH + side])):
        key = s[j]
        ready = s[np.uint64(key)]
        if columns <= key < held:
            legal = max(ready, tick) | half
            if legal < column:
                column, column_entry = legal, j  # type: ignore[assignment]
        else:
            legal = max(ready, row_tick) | (half if key < columns else 0)
            if legal < row:
                row, row_entry = legal, j  # type: ignore[assignment]
    keys = c[ENTRY_KEYS]
    return column, np.int64(column_entry) - keys, row, np.int64(row_entry) - keys


@helper
def step_dual_bus(s: Ints, c: Ints, log: Ints, tick: int, bound: int) -> int:
    """Issue at the first tick in `tick` to `bound` at which a column or a row command can come; return that tick.

    Both buses take a command in one tick, the column first. Returns a later tick than `bound` if nothing is issued.
    """
    active, active_index = _first_active(s, c, tick)
    waits, scanned = s[PRIORITY_LENGTH] > 0, False
    side, column, column_index, row, row_index = READ_SIDE, NEVER, 0, NEVER, 0
    if waits:
        row = priority_tick(s, c, tick)
    elif active > tick:
        side, scanned = _set_write_mode(s, c), True
        column, column_index, row, row_index = _first_of_both(s, c, side, tick)
    now = min(active, column, row)
    if now > bound:
        return now
    if active == now:
        issue_column(s, c, log, FROM_ACTIVE, active_index, now)
    elif column == now:
        issue_column(s, c, log, side, column_index, now)
    if waits:
        if priority_tick(s, c, now) == now:
            issue_priority(s, c, log, now)
        return now
    changed = _set_write_mode(s, c)
    if not scanned or changed != side or (row == now and (column == now or active == now)):
        side = changed
        _, _, row, row_index = _first_of_both(s, c, side, now)
    if row == now:
        key = s[row_index + c[ENTRY_KEYS]]
        issue_row(s, c, log, side, row_index, key, now)
    return now


@helper
def step_single_bus(s: Ints, c: Ints, log: Ints, tick: int, bound: int) -> int:
    """Issue at the first tick in `tick` to `bound` at which any command can come; return that tick, or a later one."""
    active, index = _first_active(s, c, tick)
    best, source = active, FROM_ACTIVE
    if active > tick:
        if s[PRIORITY_LENGTH] > 0:
            priority = priority_tick(s, c, tick)
            if priority < active:
                if priority <= bound:
                    issue_priority(s, c, log, priority)
                return priority
        else:
            side = _set_write_mode(s, c)
            queued, queued_index = _first_queued(s, c, side, tick, 0)
            if queued < active:
                best, source, index = queued, side, queued_index
    if best <= bound:
        _issue(s, c, log, source, index, best)
    return best


@helper
def _issue(s: Ints, c: Ints, log: Ints, source: int, index: int, tick: int) -> None:
    """Issue what a request needs; where the data clock has lapsed (LPDDR5), CAS comes a tick before RD or WR."""
    if source != FROM_ACTIVE:
        key = s[index + c[ENTRY_KEYS]]
        if not c[EARLIEST] + RD * c[BANKS] <= key < c[EARLIEST] + HELD_PRECHARGE * c[BANKS]:
            issue_row(s, c, log, source, index, key, tick)
            return
    if c[CLOCK_ALWAYS_ON] or tick < s[CLOCK_EXPIRY]:
        issue_column(s, c, log, source, index, tick)
    elif s[ACTIVATING_SLOT] >= 0 and s[ACTIVATING_DEADLINE] <= tick + 1:
        issue_second_activate(s, c, log, tick)
    else:
        issue_clock_start(s, c, log, s[index], tick)


@helper
def step_split_activate(s: Ints, c: Ints, log: Ints, tick: int, bound: int) -> int:
    """As `step_single_bus`, for a bus on which ACT1 is followed by ACT2 and CAS by RD or WR (LPDDR5).

    ACT2 comes in the first tick in which nothing else can, at latest at its deadline; meanwhile no other ACT1.
    """
    if s[CAS_SLOT] < 0 and s[ACTIVATING_SLOT] < 0:
        return step_single_bus(s, c, log, tick, bound)
    if tick > bound:
        return tick
    if s[CAS_SLOT] >= 0:
        source, index = _find(s, c, s[CAS_SLOT])
        issue_column(s, c, log, source, index, tick)
        s[CAS_SLOT] = -1
        return tick
    source, index = _ready_beside_activation(s, c, tick)
    if source == _PRIORITY:
        issue_priority(s, c, log, tick)
    elif source == _NOTHING:
        issue_second_activate(s, c, log, tick)
    else:
        _issue(s, c, log, source, index, tick)
    return tick


_PRIORITY, _NOTHING = 3, 4


@helper
def _ready_beside_activation(s: Ints, c: Ints, tick: int) -> tuple[int, int]:
    """Return (source, entry) of what comes at `tick` between ACT1 and ACT2, if anything may."""
    if s[ACTIVATING_DEADLINE] <= tick:
        return _NOTHING, 0
    active, index = _first_active(s, c, tick)
    if active == tick:
        return FROM_ACTIVE, index
    if s[PRIORITY_LENGTH] > 0:
        return (_PRIORITY if priority_tick(s, c, tick) == tick else _NOTHING), 0
    side = _set_write_mode(s, c)
    queued, queued_index = _first_queued(s, c, side, tick, c[EARLIEST] + c[BANKS])
    return (side if queued == tick else _NOTHING), queued_index


@helper
def _find(s: Ints, c: Ints, slot: int) -> tuple[int, int]:
    """Return (source, entry) of the slot whose CAS has been issued."""
    for j in range(c[ACTIVE_ENTRIES], c[ACTIVE_ENTRIES] + s[ACTIVE_LENGTH]):
        if s[j] == slot:
            return FROM_ACTIVE, j
    side = s[slot + SLOT_WRITE]
    j = s[READ_HEAD + side]
    while s[j] != slot:
        j += 1
    return side, j
