"""The loop of a channel with two command buses while no refresh is due: the choices of `bank_schedule`, made faster.

Nothing but requests is served here, so one place issues column commands and one row commands, which are compiled into
one function. The row command chosen is remembered: column commands delay it at most on their own bank, and requests
that arrive are younger, so it changes only where one of these is better.
"""

# mypy: disable-error-code=no-any-return
from __future__ import annotations

from numba import njit

from tlm.memory.bank_commands import (
    issue_row,
)
from tlm.memory.bank_queues import (
    HITS,
    MISSES,
    WRITE_SIDE,
    accept,
    finish_burst,
    finish_read,
    free_slot,
    hold_bank,
    next_arrival,
    take_active,
    take_hit,
)
from tlm.memory.bank_rules import (
    COLUMN_FIELDS,
    HELD_PRECHARGE,
    TO_GROUP,
    TO_PRECHARGE,
    TO_UNIT,
    TO_UNIT_PRECHARGE,
)
from tlm.memory.bank_schedule import (
    NONE,
    REQUEST_BITS,
    REQUESTS,
    set_write_mode,
    weigh,
)
from tlm.memory.bank_state import (
    ACCESSES,
    ACTIVE_ENTRIES,
    ACTIVE_KEYS,
    ACTIVE_LENGTH,
    BANKS,
    BANKS_PER_GROUP,
    BANKS_PER_UNIT,
    COLUMN_DELAYS,
    EARLIEST,
    LAST_DATA,
    LEADER_KEYS,
    LEADER_STEP,
    LEADERS,
    LOG_COMMANDS,
    LOGGED,
    NEVER,
    NEXT_DUE,
    NOW,
    PRIORITY_LENGTH,
    READ_LATENCY,
    READ_LENGTH,
    READ_QUEUE_SUM,
    REFRESH_LEFT,
    REFRESH_NONE,
    REFRESH_POLICY,
    REFRESH_TICK,
    ROW_BUS_FREE,
    ROW_HITS,
    SLOT_ARRIVAL,
    SLOT_BANK,
    SLOT_COLUMN,
    SLOT_COUNTED,
    SLOT_REQUEST,
    SLOT_ROW,
    SLOT_TRANSACTION,
    SLOT_WRITE,
    UNIT_BITS,
    UNIT_FLOORS,
    UNITS,
    WAITING_HEAD,
    WAITING_TAIL,
    WRITE_LATENCY,
    WRITE_LENGTH,
    WRITE_QUEUE_SUM,
    WRITE_WAIT_SUM,
    Ints,
)
from tlm.memory.bank_timing import (
    PRE,
    PREAB,
    RD,
    UNCOUNTED,
    helper,
    not_before,
    note,
)

inlined = njit(**UNCOUNTED, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""Compiles what the loop calls in one place: the compiler saves the calls, and no code becomes longer."""

_accept, _set_write_mode = inlined(accept.py_func), inlined(set_write_mode.py_func)
_finish_read, _finish_burst = inlined(finish_read.py_func), inlined(finish_burst.py_func)


@inlined
def _first_hit(s: Ints, c: Ints, side: int, tick: int) -> tuple[int, int]:
    """Return (tick, slot) of the queued row hit whose column command can come first, the oldest of equals."""
    best, place, step = NEVER, 0, c[LEADER_STEP]
    first = c[LEADER_KEYS] + (2 * side + HITS) * c[BANKS]
    floors = c[UNIT_FLOORS] + side * c[UNITS]
    for j in range(first, first + s[LEADERS + 2 * side + HITS]):
        floor = s[floors + (s[j + 3 * step] >> c[UNIT_BITS])]
        wait = max(s[s[j]], floor, tick) - tick  # of an open row, so never far
        weight = (wait << REQUEST_BITS) | (s[j + 2 * step] & REQUESTS)
        place = j if weight < best else place
        best = min(best, weight)
    return (tick + (best >> REQUEST_BITS), s[place + step]) if best < NEVER else (NEVER, 0)


@helper
def _better_row(s: Ints, c: Ints, side: int, known: int, row: int, miss: int, tick: int) -> tuple[int, int]:
    """Return (tick, slot) of the first row command, where (row, miss) is the first for the `known` oldest leaders."""
    best, place, step = NONE, 0, c[LEADER_STEP]
    first = c[LEADER_KEYS] + (2 * side + MISSES) * c[BANKS]
    tick = max(tick, s[ROW_BUS_FREE])
    for j in range(first + known, first + s[LEADERS + 2 * side + MISSES]):
        weight = weigh(max(s[s[j]] - tick, 0), s[j + 2 * step])
        place = j if weight < best else place
        best = min(best, weight)
    other = tick + (best >> REQUEST_BITS)
    return (other, s[place + step]) if best < NONE and other < row else (row, miss)


@inlined
def _first_active(s: Ints, c: Ints, tick: int) -> tuple[int, int]:
    """Return (tick, entry) of the activated request whose column command is legal first; the oldest of equals."""
    best, entry, arrival = NEVER, 0, 0
    for j in range(c[ACTIVE_ENTRIES], c[ACTIVE_ENTRIES] + s[ACTIVE_LENGTH]):
        slot = s[j]
        floor = s[c[UNIT_FLOORS] + s[slot + SLOT_WRITE] * c[UNITS] + (s[slot + SLOT_BANK] >> c[UNIT_BITS])]
        legal = max(tick, s[s[j + c[ACTIVE_KEYS]]], floor)
        if legal < best or (legal == best and s[slot + SLOT_ARRIVAL] < arrival):
            best, entry, arrival = legal, j, s[slot + SLOT_ARRIVAL]
    return best, entry


@inlined
def _delay(s: Ints, c: Ints, side: int, bank: int, tick: int) -> None:
    """Push back what RD or WR delays, as `record` does; what the whole unit has to wait for is noted in one cell."""
    unit, group = bank >> c[UNIT_BITS], bank & -c[BANKS_PER_GROUP]
    delays, precharge = c[COLUMN_DELAYS] + side * COLUMN_FIELDS, c[EARLIEST] + PRE * c[BANKS] + bank
    for other in range(2):
        floor = c[UNIT_FLOORS] + other * c[UNITS] + unit
        s[floor] = max(s[floor], tick + c[delays + TO_UNIT + other])
        low = c[EARLIEST] + (RD + other) * c[BANKS] + group
        if c[delays + TO_GROUP + other] > 0:
            not_before(s, low, low + c[BANKS_PER_GROUP], tick + c[delays + TO_GROUP + other])
    held, unit_precharge = precharge + (HELD_PRECHARGE - PRE) * c[BANKS], c[EARLIEST] + PREAB * c[BANKS] + unit
    s[precharge] = max(s[precharge], tick + c[delays + TO_PRECHARGE])
    s[held] = max(s[held], tick + c[delays + TO_PRECHARGE])
    s[unit_precharge] = max(s[unit_precharge], tick + c[delays + TO_UNIT_PRECHARGE])


@helper
def _settle(s: Ints, c: Ints) -> None:
    """Enter what whole units have to wait for into the table of earliest ticks."""
    for side in range(2):
        for unit in range(c[UNITS]):
            low = c[EARLIEST] + (RD + side) * c[BANKS] + unit * c[BANKS_PER_UNIT]
            not_before(s, low, low + c[BANKS_PER_UNIT], s[c[UNIT_FLOORS] + side * c[UNITS] + unit])


@inlined
def _issue_column(s: Ints, c: Ints, log: Ints, entry: int, slot: int, tick: int) -> None:
    """Issue RD or WR as `issue_column` does, where rows stay open."""
    bank, side = s[slot + SLOT_BANK], s[slot + SLOT_WRITE]
    if entry > 0:
        take_active(s, c, entry)
        hold_bank(s, c, bank, -1)
    else:
        take_hit(s, c, slot, side, bank)
        s[ROW_HITS] += 1 - s[slot + SLOT_COUNTED]
    _delay(s, c, side, bank, tick)
    note(s, c, log, RD + side, bank, s[slot + SLOT_ROW], s[slot + SLOT_COLUMN], s[slot + SLOT_REQUEST], tick)
    s[c[ACCESSES] + bank] += 1
    if side == WRITE_SIDE:
        s[WRITE_WAIT_SUM] += tick - s[slot + SLOT_ARRIVAL]
        s[LAST_DATA] = max(s[LAST_DATA], tick + c[WRITE_LATENCY])
    else:
        _finish_read(s, c, s[slot + SLOT_ARRIVAL], tick + c[READ_LATENCY])
        _finish_burst(s, s[slot + SLOT_TRANSACTION], tick + c[READ_LATENCY])
    free_slot(s, c, slot)


@inlined
def _known_row(s: Ints, c: Ints, side: int, tick: int, known: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Return the first row command as (tick, slot, side, leaders that it is the first of), given what was known."""
    row, miss, row_side, leaders = known
    count = s[LEADERS + 2 * side + MISSES]
    if row < tick or row_side != side:
        row, leaders = NEVER, 0
    if leaders < count:
        row, miss = _better_row(s, c, side, leaders, row, miss, tick)
    return row, miss, side, count


@helper
def run_between_refreshes(
    s: Ints, c: Ints, waiting: Ints, log: Ints, log_length: int, until: int, to_completion: bool, while_waiting: bool
) -> None:
    """Advance to `until`, or to where the plain loop has to go on: with a refresh, an empty queue, a finished
    transaction.
    """
    due = NEVER if c[REFRESH_POLICY] == REFRESH_NONE else s[REFRESH_TICK]
    if s[PRIORITY_LENGTH] > 0 or s[REFRESH_LEFT] > 0:
        due = 0
    known = (-1, 0, 0, 0)
    while s[NOW] < until and s[NOW] + 1 < due:
        _accept(s, c, waiting, s[NOW])
        reads, writes = s[READ_LENGTH], s[WRITE_LENGTH]
        empty = reads + writes + s[ACTIVE_LENGTH] == 0 or (while_waiting and s[WAITING_HEAD] == s[WAITING_TAIL])
        if empty or s[NEXT_DUE] <= s[NOW] or (c[LOG_COMMANDS] and s[LOGGED] + 2 > log_length):
            break
        tick = s[NOW] + 1
        bound = min(min(due, next_arrival(s, c, waiting, tick)) - 1, until)
        if to_completion:
            bound = min(bound, s[NEXT_DUE])
        column, entry = _first_active(s, c, tick)
        slot, now = s[entry], column
        if column > tick:
            side = _set_write_mode(s, c)
            hit_tick, hit = _first_hit(s, c, side, tick)
            if hit_tick < column:
                column, entry, slot = hit_tick, 0, hit
            known = _known_row(s, c, side, tick, known)
            now = min(column, known[0])
        passed = min(now, bound) - s[NOW]
        s[READ_QUEUE_SUM] += reads * passed
        s[WRITE_QUEUE_SUM] += writes * passed
        s[NOW] += passed
        if now > bound:
            continue
        if column == now:
            bank = s[slot + SLOT_BANK]
            _issue_column(s, c, log, entry, slot, now)
            if s[known[1] + SLOT_BANK] == bank or (entry > 0 and s[c[EARLIEST] + PRE * c[BANKS] + bank] <= known[0]):
                known = (-1, 0, 0, 0)
        known = _known_row(s, c, _set_write_mode(s, c), now, known)
        if known[0] == now:
            issue_row(s, c, log, known[1], now)
            known = (-1, 0, 0, 0)
    _settle(s, c)
