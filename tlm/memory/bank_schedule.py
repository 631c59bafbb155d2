"""Choice: which legal command comes next, and at which tick.

First ready, first come: activated requests before refreshes, these before the queue that the write mode selects; among
equals commands that are legal beat those that are not, then the older wins. A step looks for the first tick at which
anything can be issued; ticks in between are not visited.
"""

# mypy: disable-error-code=no-any-return
from __future__ import annotations

from tlm.memory.bank_commands import (
    issue_clock_start,
    issue_column,
    issue_priority,
    issue_row,
    issue_second_activate,
    priority_tick,
)
from tlm.memory.bank_queues import HITS, MISSES, READ_SIDE
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
    HALF_CLOCK,
    LEADER_KEYS,
    LEADER_STEP,
    LEADERS,
    NEVER,
    OPEN_ROW,
    PRIORITY_LENGTH,
    READ_LENGTH,
    ROW_BUS_FREE,
    SLOT_ARRIVAL,
    SLOT_BANK,
    SLOT_ROW,
    WRITE_HIGH,
    WRITE_LENGTH,
    WRITE_LOW,
    WRITE_MODE,
    Ints,
)
from tlm.memory.bank_timing import helper


@helper
def set_write_mode(s: Ints, c: Ints) -> int:
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
    best, entry, arrival = NEVER, 0, 0
    for j in range(c[ACTIVE_ENTRIES], c[ACTIVE_ENTRIES] + s[ACTIVE_LENGTH]):
        legal = _column_slot(c, max(tick, s[s[j + c[ACTIVE_KEYS]]]))
        if legal < best or (legal == best and s[s[j] + SLOT_ARRIVAL] < arrival):
            best, entry, arrival = legal, j, s[s[j] + SLOT_ARRIVAL]
    return best, entry


REQUEST_BITS = 33
_NEAR = 1 << 29  # more ticks than any timing has
NONE = _NEAR << REQUEST_BITS
REQUESTS = (1 << REQUEST_BITS) - 1


@helper
def weigh(wait: int, request: int) -> int:
    """Return one number that orders commands by their wait in ticks, then by age."""
    return (min(wait, _NEAR) << REQUEST_BITS) | (request & REQUESTS)


@helper
def _lightest(s: Ints, c: Ints, group: int, tick: int, rising_below: int, least_key: int) -> int:
    """Return the least weight of the leaders of one side and kind; NONE if none can come.

    Keys below `rising_below` wait for a rising edge where there are half clocks; those below `least_key` do not count.
    """
    first, step, half = c[LEADER_KEYS] + group * c[BANKS], c[LEADER_STEP], c[HALF_CLOCK]
    best = NONE
    for j in range(first, first + s[LEADERS + group]):
        key = s[j]
        legal = max(s[key], tick) | (half if key < rising_below else 0)
        weight = weigh(legal - tick, s[j + 2 * step])
        best = min(best, weight if key >= least_key else NONE)
    return best


@helper
def _slot_of(s: Ints, c: Ints, group: int, weight: int) -> int:
    """Return the leader's slot that a weight belongs to."""
    j = c[LEADER_KEYS] + group * c[BANKS] + 2 * c[LEADER_STEP]
    while s[j] & REQUESTS != weight & REQUESTS:
        j += 1
    return s[j - c[LEADER_STEP]]


@helper
def _first_queued(s: Ints, c: Ints, side: int, tick: int, least_key: int) -> tuple[int, int]:
    """Return (tick, slot) of the queued request whose command can come first; keys below `least_key` do not count."""
    hit = _lightest(s, c, 2 * side + HITS, tick, 0, least_key)
    miss = _lightest(s, c, 2 * side + MISSES, tick, 0, least_key)
    best = min(hit, miss)
    if best >= NONE:
        return NEVER, 0
    return tick + (best >> REQUEST_BITS), _slot_of(s, c, 2 * side + (HITS if hit < miss else MISSES), best)


@helper
def _first_hit(s: Ints, c: Ints, side: int, tick: int) -> tuple[int, int]:
    """Return (tick, slot) of the queued row hit whose column command can come first."""
    best = _lightest(s, c, 2 * side + HITS, tick, c[OPEN_ROW], 0)
    if best >= NONE:
        return NEVER, 0
    return tick + (best >> REQUEST_BITS), _slot_of(s, c, 2 * side + HITS, best)


@helper
def _first_miss(s: Ints, c: Ints, side: int, tick: int) -> tuple[int, int]:
    """Return (tick, slot) of the queued request whose row command can come first.

    That a precharge may not pair with a command of the rising edge (HBM3) cannot happen here: the bank was opened long
    before, and its unit is not being refreshed.
    """
    tick = max(tick, s[ROW_BUS_FREE])
    best = _lightest(s, c, 2 * side + MISSES, tick, c[EARLIEST] + c[BANKS], 0)
    if best >= NONE:
        return NEVER, 0
    return tick + (best >> REQUEST_BITS), _slot_of(s, c, 2 * side + MISSES, best)


@helper
def step_dual_bus(s: Ints, c: Ints, log: Ints, tick: int, bound: int) -> int:
    """Issue at the first tick in `tick` to `bound` at which a column or a row command can come; return that tick.

    Both buses take a command in one tick, the column first. Returns a later tick than `bound` if nothing is issued.
    """
    active, entry = _first_active(s, c, tick)
    waits, scanned = s[PRIORITY_LENGTH] > 0, False
    side, column, hit, row, miss = READ_SIDE, NEVER, 0, NEVER, 0
    if waits:
        row = priority_tick(s, c, tick)
    elif active > tick:
        side, scanned = set_write_mode(s, c), True
        column, hit = _first_hit(s, c, side, tick)
        row, miss = _first_miss(s, c, side, tick)
    now = min(active, column, row)
    if now > bound:
        return now
    if active == now:
        issue_column(s, c, log, entry, s[entry], now)
    elif column == now:
        issue_column(s, c, log, 0, hit, now)
    if waits:
        if priority_tick(s, c, now) == now:
            issue_priority(s, c, log, now)
        return now
    changed = set_write_mode(s, c)
    if not scanned or changed != side or (row == now and column == now):
        row, miss = _first_miss(s, c, changed, now)
    if row == now:
        issue_row(s, c, log, miss, now)
    return now


@helper
def step_single_bus(s: Ints, c: Ints, log: Ints, tick: int, bound: int) -> int:
    """Issue at the first tick in `tick` to `bound` at which any command can come; return that tick, or a later one."""
    best, entry = _first_active(s, c, tick)
    slot = s[entry]
    if best > tick:
        if s[PRIORITY_LENGTH] > 0:
            priority = priority_tick(s, c, tick)
            if priority < best:
                if priority <= bound:
                    issue_priority(s, c, log, priority)
                return priority
        else:
            queued, queued_slot = _first_queued(s, c, set_write_mode(s, c), tick, 0)
            if queued < best:
                best, entry, slot = queued, 0, queued_slot
    if best <= bound:
        _issue(s, c, log, entry, slot, best)
    return best


@helper
def _issue(s: Ints, c: Ints, log: Ints, entry: int, slot: int, tick: int) -> None:
    """Issue what a request needs; where the data clock has lapsed (LPDDR5), CAS comes a tick before RD or WR."""
    if entry == 0 and s[c[OPEN_ROW] + s[slot + SLOT_BANK]] != s[slot + SLOT_ROW]:
        issue_row(s, c, log, slot, tick)
    elif c[CLOCK_ALWAYS_ON] or tick < s[CLOCK_EXPIRY]:
        issue_column(s, c, log, entry, slot, tick)
    elif s[ACTIVATING_SLOT] >= 0 and s[ACTIVATING_DEADLINE] <= tick + 1:
        issue_second_activate(s, c, log, tick)
    else:
        issue_clock_start(s, c, log, slot, tick)


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
        issue_column(s, c, log, _active_entry(s, c, s[CAS_SLOT]), s[CAS_SLOT], tick)
        s[CAS_SLOT] = -1
        return tick
    choice, entry, slot = _ready_beside_activation(s, c, tick)
    if choice == _PRIORITY:
        issue_priority(s, c, log, tick)
    elif choice == _REQUEST:
        _issue(s, c, log, entry, slot, tick)
    else:
        issue_second_activate(s, c, log, tick)
    return tick


_REQUEST, _PRIORITY, _NOTHING = range(3)


@helper
def _ready_beside_activation(s: Ints, c: Ints, tick: int) -> tuple[int, int, int]:
    """Return (choice, entry, slot) of what comes at `tick` between ACT1 and ACT2, if anything may."""
    if s[ACTIVATING_DEADLINE] <= tick:
        return _NOTHING, 0, 0
    active, entry = _first_active(s, c, tick)
    if active == tick:
        return _REQUEST, entry, s[entry]
    if s[PRIORITY_LENGTH] > 0:
        return (_PRIORITY if priority_tick(s, c, tick) == tick else _NOTHING), 0, 0
    queued, slot = _first_queued(s, c, set_write_mode(s, c), tick, c[EARLIEST] + c[BANKS])
    return (_REQUEST if queued == tick else _NOTHING), 0, slot


@helper
def _active_entry(s: Ints, c: Ints, slot: int) -> int:
    """Return the place of a slot in the list of activated requests; 0 if it is not there."""
    for j in range(c[ACTIVE_ENTRIES], c[ACTIVE_ENTRIES] + s[ACTIVE_LENGTH]):
        if s[j] == slot:
            return j
    return 0
