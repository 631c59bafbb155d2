"""Choice: which legal command comes next, and at which tick.

First ready, first come: activated requests before refreshes, these before the queue that the write mode selects; among
equals commands that are legal beat those that are not, then the older wins. A step looks for the first tick at which
anything can be issued; ticks in between are not visited.
"""

from __future__ import annotations

from numba import njit

from tlm.memory.bank_commands import (
    FROM_ACTIVE,
    issue_clock_start,
    issue_column,
    issue_priority,
    issue_row,
    issue_second_activate,
    priority_tick,
)
from tlm.memory.bank_queues import RD, WR, WRITE_SIDE
from tlm.memory.bank_state import (
    ACTIVATING_DEADLINE,
    ACTIVATING_SLOT,
    ACTIVE_LENGTH,
    BANKS,
    CAS_SLOT,
    CLOCK_ALWAYS_ON,
    CLOCK_EXPIRY,
    HALF_CLOCK,
    NEVER,
    PRIORITY_LENGTH,
    READ_HEAD,
    READ_LENGTH,
    WRITE_HIGH,
    WRITE_LENGTH,
    WRITE_LOW,
    WRITE_MODE,
    View,
)
from tlm.memory.bank_timing import row_slot


@njit(nogil=True, cache=True)
def set_write_mode(v: View) -> int:
    """Switch between reading and writing by how full the queues are; return the side to serve."""
    s, c = v.scalars, v.constants
    if s[WRITE_MODE] == 0:
        if s[WRITE_LENGTH] > c[WRITE_HIGH] or s[READ_LENGTH] == 0:
            s[WRITE_MODE] = 1
    elif s[WRITE_LENGTH] < c[WRITE_LOW] and s[READ_LENGTH] != 0:
        s[WRITE_MODE] = 0
    return int(s[WRITE_MODE])


@njit(nogil=True, cache=True)
def _column_slot(v: View, tick: int) -> int:
    """Return the first tick from `tick` on at which the column bus takes a command: rising edges only."""
    return tick | 1 if v.constants[HALF_CLOCK] else tick


@njit(nogil=True, cache=True)
def _first_active(v: View, tick: int) -> tuple[int, int]:
    """Return (tick, index) of the activated request whose column command is legal first; the oldest of equals."""
    best, index, arrival = NEVER, -1, 0
    for i in range(v.scalars[ACTIVE_LENGTH]):
        slot = v.active_slots[i]
        command = WR if v.slot_write[slot] == WRITE_SIDE else RD
        legal = _column_slot(v, max(tick, v.earliest[command * v.constants[BANKS] + v.slot_bank[slot]]))
        if legal < best or (legal == best and v.slot_arrival[slot] < arrival):
            best, index, arrival = legal, i, v.slot_arrival[slot]
    return best, index


@njit(nogil=True, cache=True)
def _first_queued(v: View, side: int, tick: int, least_key: int) -> tuple[int, int]:
    """Return (tick, index in the queue's array) of the queued command that is legal first; keys below are left out."""
    keys = v.write_keys if side == WRITE_SIDE else v.read_keys
    first = v.scalars[READ_HEAD + side]
    best, index = NEVER, -1
    for j in range(first, first + v.scalars[READ_LENGTH + side]):
        key = keys[j]
        legal = v.earliest[key]
        if legal < best and key >= least_key:
            if legal <= tick:
                return tick, j
            best, index = legal, j
    return best, index


@njit(nogil=True, cache=True)
def _first_of_both(v: View, side: int, tick: int) -> tuple[int, int, int, int]:
    """Return (tick, index) of the first legal column command and (tick, index) of the first legal row command."""
    keys = v.write_keys if side == WRITE_SIDE else v.read_keys
    first = v.scalars[READ_HEAD + side]
    banks = v.constants[BANKS]
    column, row = NEVER, NEVER
    column_index, row_index = -1, -1
    for j in range(first, first + v.scalars[READ_LENGTH + side]):
        key = keys[j]
        legal = max(tick, v.earliest[key])
        if key >= 2 * banks:
            if legal < column:
                legal = _column_slot(v, legal)
                if legal < column:
                    column, column_index = legal, j
        elif legal < row:
            legal = row_slot(v, key // banks, key % banks, legal)
            if legal < row:
                row, row_index = legal, j
    return column, column_index, row, row_index


@njit(nogil=True, cache=True)
def step_dual_bus(v: View, tick: int, bound: int) -> int:
    """Issue at the first tick in `tick` to `bound` at which a column or a row command can come; return that tick.

    Both buses take a command in one tick, the column first. Returns a later tick than `bound` if nothing is issued.
    """
    s = v.scalars
    active, active_index = _first_active(v, tick)
    waits = s[PRIORITY_LENGTH] > 0
    side, scanned = s[WRITE_MODE], False
    column, column_index, row, row_index = NEVER, -1, NEVER, -1
    if waits:
        row = priority_tick(v, tick)
    elif active > tick:
        side, scanned = set_write_mode(v), True
        column, column_index, row, row_index = _first_of_both(v, side, tick)
    now = min(active, column, row)
    if now > bound:
        return now
    if active == now:
        issue_column(v, FROM_ACTIVE, active_index, now)
    elif column == now:
        issue_column(v, side, column_index, now)
    if waits:
        if priority_tick(v, now) == now:
            issue_priority(v, now)
        return now
    if scanned and set_write_mode(v) == side and row > now:
        return now
    side = set_write_mode(v)
    _, _, row, row_index = _first_of_both(v, side, now)
    if row == now:
        keys = v.write_keys if side == WRITE_SIDE else v.read_keys
        issue_row(v, side, row_index, keys[row_index], now)
    return now


@njit(nogil=True, cache=True)
def step_single_bus(v: View, tick: int, bound: int) -> int:
    """Issue at the first tick in `tick` to `bound` at which any command can come; return that tick, or a later one."""
    s = v.scalars
    active, index = _first_active(v, tick)
    if active == tick:
        if tick <= bound:
            _issue(v, FROM_ACTIVE, index, tick)
        return tick
    if s[PRIORITY_LENGTH] > 0:
        priority = priority_tick(v, tick)
        if priority < active:
            if priority <= bound:
                issue_priority(v, priority)
            return priority
    else:
        side = set_write_mode(v)
        queued, queued_index = _first_queued(v, side, tick, 0)
        if queued < active:
            if queued <= bound:
                _issue(v, side, queued_index, queued)
            return queued
    if active <= bound:
        _issue(v, FROM_ACTIVE, index, active)
    return active


@njit(nogil=True, cache=True)
def _issue(v: View, source: int, index: int, tick: int) -> None:
    """Issue what a request needs; where the data clock has lapsed (LPDDR5), CAS comes a tick before RD or WR."""
    if source == FROM_ACTIVE:
        slot, is_column, key = v.active_slots[index], True, 0
    else:
        slots, keys = (v.write_slots, v.write_keys) if source == WRITE_SIDE else (v.read_slots, v.read_keys)
        slot, key = slots[index], keys[index]
        is_column = key >= 2 * v.constants[BANKS]
    if not is_column:
        issue_row(v, source, index, key, tick)
    elif v.constants[CLOCK_ALWAYS_ON] or tick < v.scalars[CLOCK_EXPIRY]:
        issue_column(v, source, index, tick)
    elif v.scalars[ACTIVATING_SLOT] >= 0 and v.scalars[ACTIVATING_DEADLINE] <= tick + 1:
        issue_second_activate(v, tick)
    else:
        issue_clock_start(v, slot, tick)


@njit(nogil=True, cache=True)
def step_split_activate(v: View, tick: int, bound: int) -> int:
    """As `step_single_bus`, for a bus on which ACT1 is followed by ACT2 and CAS by RD or WR (LPDDR5).

    ACT2 comes in the first tick in which nothing else can, at latest at its deadline; meanwhile no other ACT1.
    """
    s = v.scalars
    if s[CAS_SLOT] < 0 and s[ACTIVATING_SLOT] < 0:
        return step_single_bus(v, tick, bound)
    if tick > bound:
        return tick
    if s[CAS_SLOT] >= 0:
        source, index = _find(v, s[CAS_SLOT])
        issue_column(v, source, index, tick)
        s[CAS_SLOT] = -1
        return tick
    if s[ACTIVATING_DEADLINE] <= tick:
        issue_second_activate(v, tick)
        return tick
    active, index = _first_active(v, tick)
    if active == tick:
        _issue(v, FROM_ACTIVE, index, tick)
        return tick
    if s[PRIORITY_LENGTH] > 0:
        if priority_tick(v, tick) == tick:
            issue_priority(v, tick)
            return tick
    else:
        side = set_write_mode(v)
        queued, queued_index = _first_queued(v, side, tick, v.constants[BANKS])
        if queued == tick:
            _issue(v, side, queued_index, tick)
            return tick
    issue_second_activate(v, tick)
    return tick


@njit(nogil=True, cache=True)
def _find(v: View, slot: int) -> tuple[int, int]:
    """Return (source, index) of the slot whose CAS has been issued."""
    for i in range(v.scalars[ACTIVE_LENGTH]):
        if v.active_slots[i] == slot:
            return FROM_ACTIVE, i
    side = v.slot_write[slot]
    slots = v.write_slots if side == WRITE_SIDE else v.read_slots
    first = v.scalars[READ_HEAD + side]
    for j in range(first, first + v.scalars[READ_LENGTH + side]):
        if slots[j] == slot:
            return side, j
    return -1, -1
