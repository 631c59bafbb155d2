"""What commands do: to banks, queues, statistics and the priority list of refreshes and precharges."""

# mypy: disable-error-code=no-any-return
from __future__ import annotations

from tlm.memory.bank_queues import (
    WRITE_SIDE,
    activate_request,
    finish_burst,
    finish_read,
    free_slot,
    hold_bank,
    new_leaders,
    take,
    take_active,
)
from tlm.memory.bank_state import (
    ACCESSES,
    ACTIVATE_DEADLINE,
    ACTIVATING,
    ACTIVATING_DEADLINE,
    ACTIVATING_SLOT,
    BANKS,
    BANKS_PER_UNIT,
    BUSY,
    BUSY_UNITS,
    CAS_SLOT,
    CLOCK_EXPIRY,
    CLOCK_TAIL_READ,
    CLOCK_TAIL_WRITE,
    CLOSED,
    EARLIEST,
    INJECTED,
    LAST_DATA,
    NEVER,
    OPEN_BANKS,
    OPEN_ROW,
    PRIORITY,
    PRIORITY_COMMANDS,
    PRIORITY_HEAD,
    PRIORITY_LENGTH,
    PRIORITY_TARGETS,
    READ_LATENCY,
    ROW_CAP,
    ROW_CONFLICTS,
    ROW_HITS,
    ROW_MISSES,
    SLOT_ARRIVAL,
    SLOT_BANK,
    SLOT_COLUMN,
    SLOT_COUNTED,
    SLOT_REQUEST,
    SLOT_ROW,
    SLOT_TRANSACTION,
    SLOT_WRITE,
    SPLIT_ACTIVATE,
    UNIT_BITS,
    WRITE_LATENCY,
    WRITE_WAIT_SUM,
    Ints,
)
from tlm.memory.bank_timing import (
    ACT,
    PRE,
    PREAB,
    RD,
    REFAB,
    REFPB,
    helper,
    record,
    remember_rising_edge,
    row_slot,
)
from tlm.memory.commands import DramCommand

RDA, ACT2, CAS = (int(DramCommand[name]) for name in ("RDA", "ACT2", "CAS"))


@helper
def _count(s: Ints, c: Ints, slot: int) -> None:
    """Count the request as row hit, miss or conflict, on the first command issued for it."""
    if s[slot + SLOT_COUNTED]:
        return
    s[slot + SLOT_COUNTED] = 1
    open_row = s[c[OPEN_ROW] + s[slot + SLOT_BANK]]
    if open_row == s[slot + SLOT_ROW]:
        s[ROW_HITS] += 1
    elif open_row >= 0:
        s[ROW_CONFLICTS] += 1
    else:
        s[ROW_MISSES] += 1


@helper
def _close(s: Ints, c: Ints, bank: int) -> None:
    if s[c[OPEN_ROW] + bank] != CLOSED:
        s[c[OPEN_ROW] + bank] = CLOSED
        s[c[OPEN_BANKS] + (bank >> c[UNIT_BITS])] -= 1
    s[c[ACCESSES] + bank] = 0
    s[c[INJECTED] + bank] = 0


@helper
def issue_column(s: Ints, c: Ints, log: Ints, entry: int, slot: int, tick: int) -> None:
    """Issue RD or WR, closing the row with it where the row policy says so; the request is then served.

    `entry` is its place in the list of activated requests, or 0 if it is still in its queue.
    """
    if entry > 0:
        take_active(s, c, entry)
        hold_bank(s, c, s[slot + SLOT_BANK], -1)
    else:
        take(s, c, slot)
    bank, side, request = s[slot + SLOT_BANK], s[slot + SLOT_WRITE], s[slot + SLOT_REQUEST]
    _count(s, c, slot)
    closes = s[c[ACCESSES] + bank] >= c[ROW_CAP] > 0 and s[c[BUSY] + bank] == 0 and s[CAS_SLOT] < 0
    command = (RDA if closes else RD) + side
    record(s, c, log, command, bank, s[slot + SLOT_ROW], s[slot + SLOT_COLUMN], request, tick)
    if closes:
        _close(s, c, bank)
        new_leaders(s, c, bank)
    else:
        s[c[ACCESSES] + bank] += 1
    if side == WRITE_SIDE:
        s[WRITE_WAIT_SUM] += tick - s[slot + SLOT_ARRIVAL]
        s[LAST_DATA] = max(s[LAST_DATA], tick + c[WRITE_LATENCY])
    else:
        finish_read(s, c, s[slot + SLOT_ARRIVAL], tick + c[READ_LATENCY])
        finish_burst(s, s[slot + SLOT_TRANSACTION], tick + c[READ_LATENCY])
    tail = c[CLOCK_TAIL_WRITE] if side == WRITE_SIDE else c[CLOCK_TAIL_READ]
    s[CLOCK_EXPIRY] = max(s[CLOCK_EXPIRY], tick + tail)
    free_slot(s, c, slot)


@helper
def issue_row(s: Ints, c: Ints, log: Ints, slot: int, tick: int) -> None:
    """Issue the ACT or PRE that a queued request needs; on ACT it leaves its queue."""
    bank, row, request = s[slot + SLOT_BANK], s[slot + SLOT_ROW], s[slot + SLOT_REQUEST]
    _count(s, c, slot)
    if s[c[OPEN_ROW] + bank] >= 0:
        record(s, c, log, PRE, bank, -1, -1, request, tick)
        remember_rising_edge(s, c, PRE, bank, tick)
        _close(s, c, bank)
    else:
        record(s, c, log, ACT, bank, row, -1, request, tick)
        remember_rising_edge(s, c, ACT, bank, tick)
        s[c[OPEN_BANKS] + (bank >> c[UNIT_BITS])] += 1
        hold_bank(s, c, bank, 1)
        take(s, c, slot)
        if c[SPLIT_ACTIVATE]:
            s[c[OPEN_ROW] + bank] = ACTIVATING
            s[ACTIVATING_SLOT] = slot
            s[ACTIVATING_DEADLINE] = tick + c[ACTIVATE_DEADLINE]
        else:
            s[c[OPEN_ROW] + bank] = row
            activate_request(s, c, slot)
    new_leaders(s, c, bank)


@helper
def issue_second_activate(s: Ints, c: Ints, log: Ints, tick: int) -> None:
    """Issue ACT2: the row is open, its request waits for RD or WR."""
    slot = s[ACTIVATING_SLOT]
    bank, row = s[slot + SLOT_BANK], s[slot + SLOT_ROW]
    record(s, c, log, ACT2, bank, row, -1, s[slot + SLOT_REQUEST], tick)
    s[c[OPEN_ROW] + bank] = row
    activate_request(s, c, slot)
    s[ACTIVATING_SLOT] = -1
    new_leaders(s, c, bank)


@helper
def issue_clock_start(s: Ints, c: Ints, log: Ints, slot: int, tick: int) -> None:
    """Issue CAS, which starts the data clock; the slot's RD or WR follows in the next tick."""
    record(s, c, log, CAS, s[slot + SLOT_BANK], -1, -1, s[slot + SLOT_REQUEST], tick)
    s[CAS_SLOT] = slot


@helper
def push_priority(s: Ints, c: Ints, command: int, target: int) -> None:
    """Queue a refresh or a precharge before all requests; `target` is a bank, a unit's first one for REFAB."""
    i = (s[PRIORITY_HEAD] + s[PRIORITY_LENGTH]) & (PRIORITY - 1)
    s[c[PRIORITY_COMMANDS] + i], s[c[PRIORITY_TARGETS] + i] = command, target
    s[PRIORITY_LENGTH] += 1


@helper
def _next_priority_command(s: Ints, c: Ints) -> int:
    """Return the command that the first of the priority list needs now."""
    command, bank = s[c[PRIORITY_COMMANDS] + s[PRIORITY_HEAD]], s[c[PRIORITY_TARGETS] + s[PRIORITY_HEAD]]
    if command == REFAB and s[c[OPEN_BANKS] + (bank >> c[UNIT_BITS])] > 0:
        return PREAB
    if command == REFPB and s[c[OPEN_ROW] + bank] != CLOSED:
        return PRE
    return command


@helper
def priority_tick(s: Ints, c: Ints, tick: int) -> int:
    """Return the first tick from `tick` on at which the priority list's next command is legal and closes no request."""
    command, bank = _next_priority_command(s, c), s[c[PRIORITY_TARGETS] + s[PRIORITY_HEAD]]
    unit = bank >> c[UNIT_BITS]
    if (command == PREAB and s[c[BUSY_UNITS] + unit] > 0) or (command == PRE and s[c[BUSY] + bank] > 0):
        return NEVER
    cell = c[EARLIEST] + command * c[BANKS] + (unit if command >= PREAB else bank)
    return row_slot(s, c, command, bank, max(tick, s[cell]))


@helper
def issue_priority(s: Ints, c: Ints, log: Ints, tick: int) -> None:
    """Issue the priority list's next command; a refresh that still needs a precharge stays first."""
    command, i = _next_priority_command(s, c), s[PRIORITY_HEAD]
    bank = s[c[PRIORITY_TARGETS] + i]
    high = bank + c[BANKS_PER_UNIT] if command == PREAB else bank + 1
    record(s, c, log, command, bank, -1, -1, -1, tick)
    remember_rising_edge(s, c, command, bank, tick)
    if command in (PREAB, PRE):
        for b in range(bank, high):
            _close(s, c, b)
            new_leaders(s, c, b)
    if command == s[c[PRIORITY_COMMANDS] + i]:
        s[PRIORITY_HEAD] = (i + 1) & (PRIORITY - 1)
        s[PRIORITY_LENGTH] -= 1
