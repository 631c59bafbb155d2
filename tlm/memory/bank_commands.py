"""What commands do: to banks, queues, statistics and the priority list of refreshes and precharges."""

from __future__ import annotations

from numba import njit

from tlm.memory.bank_queues import (
    RD,
    WR,
    WRITE_SIDE,
    activate_request,
    finish_burst,
    finish_read,
    free_slot,
    hold_bank,
    rekey_banks,
    take,
    take_active,
)
from tlm.memory.bank_state import (
    ACTIVATE_DEADLINE,
    ACTIVATING,
    ACTIVATING_DEADLINE,
    ACTIVATING_SLOT,
    BANKS,
    BANKS_PER_UNIT,
    CAS_SLOT,
    CLOCK_EXPIRY,
    CLOCK_TAIL_READ,
    CLOCK_TAIL_WRITE,
    CLOSED,
    LAST_DATA,
    NEVER,
    PRIORITY,
    PRIORITY_HEAD,
    PRIORITY_LENGTH,
    READ_LATENCY,
    ROW_CAP,
    ROW_CONFLICTS,
    ROW_HITS,
    ROW_MISSES,
    SPLIT_ACTIVATE,
    WRITE_LATENCY,
    WRITE_WAIT_SUM,
    View,
)
from tlm.memory.bank_timing import ACT, PRE, PREAB, REFAB, REFPB, record, remember_rising_edge, row_slot
from tlm.memory.commands import DramCommand

RDA, WRA = int(DramCommand.RDA), int(DramCommand.WRA)
ACT2, CAS = int(DramCommand.ACT2), int(DramCommand.CAS)

FROM_READS, FROM_WRITES, FROM_ACTIVE = 0, 1, 2
"""Where a request that is issued for stands; the first two are the queues' sides."""


@njit(nogil=True, cache=True)
def _count(v: View, slot: int) -> None:
    """Count the request as row hit, miss or conflict, on the first command issued for it."""
    if v.slot_counted[slot]:
        return
    v.slot_counted[slot] = 1
    open_row = v.open_row[v.slot_bank[slot]]
    if open_row == v.slot_row[slot]:
        v.statistics[ROW_HITS] += 1
    elif open_row >= 0:
        v.statistics[ROW_CONFLICTS] += 1
    else:
        v.statistics[ROW_MISSES] += 1


@njit(nogil=True, cache=True)
def _close(v: View, bank: int) -> None:
    if v.open_row[bank] != CLOSED:
        v.open_row[bank] = CLOSED
        v.open_banks[bank // v.constants[BANKS_PER_UNIT]] -= 1
    v.accesses[bank] = 0
    v.injected[bank] = 0


@njit(nogil=True, cache=True)
def issue_column(v: View, source: int, index: int, tick: int) -> None:
    """Issue RD or WR, closing the row with it where the row policy says so; the request is then served."""
    slot = take_active(v, index) if source == FROM_ACTIVE else take(v, source, index)
    bank = v.slot_bank[slot]
    _count(v, slot)
    is_write = v.slot_write[slot] == WRITE_SIDE
    if source == FROM_ACTIVE:
        hold_bank(v, bank, -1)
    auto = v.constants[ROW_CAP] > 0 and v.accesses[bank] >= v.constants[ROW_CAP] and v.busy[bank] == 0
    column = WR if is_write else RD
    command = (WRA if is_write else RDA) if auto and v.scalars[CAS_SLOT] < 0 else column
    record(v, command, bank, v.slot_row[slot], v.slot_column[slot], v.slot_request[slot], tick)
    if command != column:
        _close(v, bank)
    else:
        v.accesses[bank] += 1
    if source == FROM_ACTIVE or command != column:
        rekey_banks(v, bank, bank + 1)
    arrival = v.slot_arrival[slot]
    if is_write:
        v.statistics[WRITE_WAIT_SUM] += tick - arrival
        v.scalars[LAST_DATA] = max(v.scalars[LAST_DATA], tick + v.constants[WRITE_LATENCY])
    else:
        finish_read(v, arrival, tick + v.constants[READ_LATENCY])
        finish_burst(v, v.slot_transaction[slot], tick + v.constants[READ_LATENCY])
    if v.constants[SPLIT_ACTIVATE]:
        tail = v.constants[CLOCK_TAIL_WRITE] if is_write else v.constants[CLOCK_TAIL_READ]
        v.scalars[CLOCK_EXPIRY] = max(v.scalars[CLOCK_EXPIRY], tick + tail)
    free_slot(v, slot)


@njit(nogil=True, cache=True)
def issue_row(v: View, side: int, index: int, key: int, tick: int) -> None:
    """Issue the ACT or PRE that a queued request needs; on ACT it leaves its queue."""
    bank = key % v.constants[BANKS]
    slot = v.write_slots[index] if side == WRITE_SIDE else v.read_slots[index]
    _count(v, slot)
    row, request = v.slot_row[slot], v.slot_request[slot]
    if key >= v.constants[BANKS]:
        record(v, PRE, bank, -1, -1, request, tick)
        remember_rising_edge(v, PRE, bank, tick)
        _close(v, bank)
        rekey_banks(v, bank, bank + 1)
        return
    record(v, ACT, bank, row, -1, request, tick)
    remember_rising_edge(v, ACT, bank, tick)
    v.open_banks[bank // v.constants[BANKS_PER_UNIT]] += 1
    hold_bank(v, bank, 1)
    if v.constants[SPLIT_ACTIVATE]:
        v.open_row[bank] = ACTIVATING
        take(v, side, index)
        v.scalars[ACTIVATING_SLOT] = slot
        v.scalars[ACTIVATING_DEADLINE] = tick + v.constants[ACTIVATE_DEADLINE]
    else:
        v.open_row[bank] = row
        take(v, side, index)
        activate_request(v, slot)
    rekey_banks(v, bank, bank + 1)


@njit(nogil=True, cache=True)
def issue_second_activate(v: View, tick: int) -> None:
    """Issue ACT2: the row is open, its request waits for RD or WR."""
    slot = v.scalars[ACTIVATING_SLOT]
    bank = v.slot_bank[slot]
    record(v, ACT2, bank, v.slot_row[slot], -1, v.slot_request[slot], tick)
    v.open_row[bank] = v.slot_row[slot]
    activate_request(v, slot)
    v.scalars[ACTIVATING_SLOT] = -1
    rekey_banks(v, bank, bank + 1)


@njit(nogil=True, cache=True)
def issue_clock_start(v: View, slot: int, tick: int) -> None:
    """Issue CAS, which starts the data clock; the slot's RD or WR follows in the next tick."""
    record(v, CAS, v.slot_bank[slot], -1, -1, v.slot_request[slot], tick)
    v.scalars[CAS_SLOT] = slot


@njit(nogil=True, cache=True)
def push_priority(v: View, command: int, target: int) -> None:
    """Queue a refresh or a precharge before all requests; `target` is a bank, a unit's first one for REFAB."""
    s = v.scalars
    i = (s[PRIORITY_HEAD] + s[PRIORITY_LENGTH]) % PRIORITY
    v.priority_commands[i], v.priority_targets[i] = command, target
    s[PRIORITY_LENGTH] += 1


@njit(nogil=True, cache=True)
def next_priority_command(v: View) -> int:
    """Return the command that the first of the priority list needs now."""
    i = v.scalars[PRIORITY_HEAD]
    command, bank = v.priority_commands[i], v.priority_targets[i]
    if command == REFAB and v.open_banks[bank // v.constants[BANKS_PER_UNIT]] > 0:
        return PREAB
    if command == REFPB and v.open_row[bank] != CLOSED:
        return PRE
    return int(command)


@njit(nogil=True, cache=True)
def priority_tick(v: View, tick: int) -> int:
    """Return the first tick from `tick` on at which the priority list's next command is legal and closes no request."""
    command = next_priority_command(v)
    bank = v.priority_targets[v.scalars[PRIORITY_HEAD]]
    unit = bank // v.constants[BANKS_PER_UNIT]
    if (command == PREAB and v.busy_units[unit] > 0) or (command == PRE and v.busy[bank] > 0):
        return NEVER
    cell = unit if command >= PREAB else bank
    return row_slot(v, command, bank, max(tick, v.earliest[command * v.constants[BANKS] + cell]))


@njit(nogil=True, cache=True)
def issue_priority(v: View, tick: int) -> None:
    """Issue the priority list's next command; a refresh that still needs a precharge stays first."""
    s, c = v.scalars, v.constants
    command = next_priority_command(v)
    i = s[PRIORITY_HEAD]
    bank = v.priority_targets[i]
    record(v, command, bank, -1, -1, -1, tick)
    remember_rising_edge(v, command, bank, tick)
    if command == PREAB:
        for b in range(bank, bank + c[BANKS_PER_UNIT]):
            _close(v, b)
        rekey_banks(v, bank, bank + c[BANKS_PER_UNIT])
    elif command == PRE:
        _close(v, bank)
        rekey_banks(v, bank, bank + 1)
    if command == v.priority_commands[i]:
        s[PRIORITY_HEAD] = (i + 1) % PRIORITY
        s[PRIORITY_LENGTH] -= 1
