"""Bounded queues of requests: acceptance in order, write forwarding and coalescing, keys of the next commands.

Queues hold slots in order of arrival in a window of a longer array; taking an entry out moves the shorter side.
"""

from __future__ import annotations

from numba import njit

from tlm.memory.bank_state import (
    ACTIVATING,
    ACTIVE_LENGTH,
    BANKS,
    BANKS_PER_UNIT,
    BURST_ARRIVAL,
    BURST_BANK,
    BURST_COLUMN,
    BURST_ROW,
    BURST_TRANSACTION,
    BURST_WRITE,
    CLOSED,
    COALESCED_WRITES,
    DONE_TICK,
    FILTER,
    FORWARDED_READS,
    FREE_LENGTH,
    LAST_ACCEPTED,
    LAST_DATA,
    LATENCIES,
    LINE,
    LOG_LATENCIES,
    NEXT_DUE,
    OFFER_TICK,
    OFFERS,
    READ_HEAD,
    READ_LATENCY_MAX,
    READ_LATENCY_MIN,
    READ_LATENCY_SUM,
    READ_LENGTH,
    READ_QUEUE,
    READS,
    REMAINING,
    REQUESTS,
    ROW_HITS_FIRST,
    WAITING_HEAD,
    WAITING_TAIL,
    WRITE_HEAD,
    WRITE_LENGTH,
    WRITE_QUEUE,
    WRITES,
    Ints,
    View,
)
from tlm.memory.bank_timing import ACT, PRE
from tlm.memory.commands import DramCommand

RD, WR = int(DramCommand.RD), int(DramCommand.WR)
READ_SIDE, WRITE_SIDE = 0, 1


@njit(nogil=True, cache=True)
def never_key(v: View) -> int:
    """Return the key of a command that must not come."""
    return len(v.earliest) - 1


@njit(nogil=True, cache=True)
def _key(v: View, slot: int, column_command: int) -> int:
    bank = v.slot_bank[slot]
    open_row = v.open_row[bank]
    if open_row == v.slot_row[slot]:
        return column_command * v.constants[BANKS] + bank
    if open_row == CLOSED:
        return ACT * v.constants[BANKS] + bank
    if open_row == ACTIVATING or v.busy[bank] > 0:
        return never_key(v)
    return PRE * v.constants[BANKS] + bank


@njit(nogil=True, cache=True)
def _rekey_queue(v: View, side: int, low: int, high: int) -> None:
    s = v.scalars
    slots, keys = (v.write_slots, v.write_keys) if side == WRITE_SIDE else (v.read_slots, v.read_keys)
    first = s[READ_HEAD + side]
    column_command = WR if side == WRITE_SIDE else RD
    for j in range(first, first + s[READ_LENGTH + side]):
        if low <= v.slot_bank[slots[j]] < high:
            keys[j] = _key(v, slots[j], column_command)


@njit(nogil=True, cache=True)
def _hold_precharges(v: View, side: int, bank: int) -> None:
    """Under row hits first: hold every PRE of a bank that a request not younger than it would still hit."""
    s = v.scalars
    slots, keys = (v.write_slots, v.write_keys) if side == WRITE_SIDE else (v.read_slots, v.read_keys)
    first = s[READ_HEAD + side]
    hit_arrival = -1
    for j in range(first, first + s[READ_LENGTH + side]):
        if v.slot_bank[slots[j]] == bank and v.slot_row[slots[j]] == v.open_row[bank]:
            hit_arrival = v.slot_arrival[slots[j]]
            break
    column_command = WR if side == WRITE_SIDE else RD
    for j in range(first, first + s[READ_LENGTH + side]):
        if v.slot_bank[slots[j]] == bank:
            keys[j] = _key(v, slots[j], column_command)
            if keys[j] == PRE * v.constants[BANKS] + bank and 0 <= hit_arrival <= v.slot_arrival[slots[j]]:
                keys[j] = never_key(v)


@njit(nogil=True, cache=True)
def rekey_banks(v: View, low: int, high: int) -> None:
    """Renew the keys of all requests to banks low to high - 1, after these banks' rows have changed."""
    for side in range(2):
        if v.constants[ROW_HITS_FIRST]:
            for bank in range(low, high):
                _hold_precharges(v, side, bank)
        else:
            _rekey_queue(v, side, low, high)


@njit(nogil=True, cache=True)
def _append(slots: Ints, keys: Ints, scalars: Ints, side: int, slot: int, key: int) -> None:
    head, length = scalars[READ_HEAD + side], scalars[READ_LENGTH + side]
    if head + length == len(slots):
        for j in range(length):
            slots[j], keys[j] = slots[head + j], keys[head + j]
        head = 0
        scalars[READ_HEAD + side] = 0
    slots[head + length], keys[head + length] = slot, key
    scalars[READ_LENGTH + side] = length + 1


@njit(nogil=True, cache=True)
def take(v: View, side: int, j: int) -> int:
    """Take entry `j` of a queue's array out and return its slot."""
    s = v.scalars
    slots, keys = (v.write_slots, v.write_keys) if side == WRITE_SIDE else (v.read_slots, v.read_keys)
    slot = slots[j]
    head, length = s[READ_HEAD + side], s[READ_LENGTH + side]
    if j - head <= length // 2:
        for i in range(j, head, -1):
            slots[i], keys[i] = slots[i - 1], keys[i - 1]
        s[READ_HEAD + side] = head + 1
    else:
        for i in range(j, head + length - 1):
            slots[i], keys[i] = slots[i + 1], keys[i + 1]
    s[READ_LENGTH + side] = length - 1
    if side == WRITE_SIDE:
        v.line_filter[_hash(v.slot_line[slot])] -= 1
    if v.constants[ROW_HITS_FIRST]:
        _hold_precharges(v, side, v.slot_bank[slot])
    return int(slot)


@njit(nogil=True, cache=True)
def activate_request(v: View, slot: int) -> None:
    """Put a request on the list of those whose row was opened for them."""
    s = v.scalars
    v.active_slots[s[ACTIVE_LENGTH]] = slot
    s[ACTIVE_LENGTH] += 1


@njit(nogil=True, cache=True)
def hold_bank(v: View, bank: int, change: int) -> None:
    """Count the requests that wait for their column command on an activated bank: no PRE meanwhile."""
    v.busy[bank] += change
    v.busy_units[bank // v.constants[BANKS_PER_UNIT]] += change


@njit(nogil=True, cache=True)
def take_active(v: View, i: int) -> int:
    """Take entry `i` of the activated requests out and return its slot."""
    s = v.scalars
    slot = v.active_slots[i]
    for j in range(i, s[ACTIVE_LENGTH] - 1):
        v.active_slots[j] = v.active_slots[j + 1]
    s[ACTIVE_LENGTH] -= 1
    return int(slot)


@njit(nogil=True, cache=True)
def free_slot(v: View, slot: int) -> None:
    """Give a slot back."""
    v.free_slots[v.scalars[FREE_LENGTH]] = slot
    v.scalars[FREE_LENGTH] += 1


@njit(nogil=True, cache=True)
def _hash(line: int) -> int:
    return (line ^ (line >> 8) ^ (line >> 17)) % FILTER


@njit(nogil=True, cache=True)
def _buffered(v: View, line: int) -> bool:
    """Whether a write to this burst's address waits in the write queue."""
    if v.line_filter[_hash(line)] == 0:
        return False
    first = v.scalars[WRITE_HEAD]
    for j in range(first, first + v.scalars[WRITE_LENGTH]):
        if v.slot_line[v.write_slots[j]] == line:
            return True
    return False


@njit(nogil=True, cache=True)
def finish_burst(v: View, transaction: int, tick: int) -> None:
    """Take note that one burst of a transaction is complete at `tick`."""
    t = v.transactions[transaction]
    t[DONE_TICK] = max(t[DONE_TICK], tick)
    t[REMAINING] -= 1
    if t[REMAINING] == 0:
        v.scalars[NEXT_DUE] = min(v.scalars[NEXT_DUE], t[DONE_TICK])


@njit(nogil=True, cache=True)
def finish_read(v: View, arrival: int, tick: int) -> None:
    """Count a read whose last data beat comes at `tick`."""
    s, n = v.scalars, v.statistics
    latency = tick - arrival
    n[READ_LATENCY_SUM] += latency
    n[READ_LATENCY_MIN] = min(n[READ_LATENCY_MIN], latency)
    n[READ_LATENCY_MAX] = max(n[READ_LATENCY_MAX], latency)
    if v.constants[LOG_LATENCIES]:
        v.latencies[s[LATENCIES]] = latency
        s[LATENCIES] += 1
    s[LAST_DATA] = max(s[LAST_DATA], tick)


@njit(nogil=True, cache=True)
def accept(v: View, now: int) -> None:
    """Offer waiting bursts, in order, at the end of tick `now` until one is refused or has not arrived yet."""
    s, c, n = v.scalars, v.constants, v.statistics
    if c[OFFERS] and s[OFFER_TICK] == now:
        return
    offers = 0
    while s[WAITING_HEAD] < s[WAITING_TAIL] and (c[OFFERS] == 0 or offers < c[OFFERS]):
        burst = v.waiting[s[WAITING_HEAD]]
        if burst[BURST_ARRIVAL] > now:
            break
        side = burst[BURST_WRITE]
        if s[WRITE_LENGTH] > 0 and _buffered(v, burst[LINE]):
            if side == WRITE_SIDE:
                n[COALESCED_WRITES] += 1
                finish_burst(v, burst[BURST_TRANSACTION], now)
            else:
                n[FORWARDED_READS] += 1
                finish_read(v, now, now + 1)
                finish_burst(v, burst[BURST_TRANSACTION], now + 1)
        elif s[READ_LENGTH + side] < c[READ_QUEUE + side]:
            _enqueue(v, burst, side, now)
        else:
            break
        n[READS + side] += 1
        n[LAST_ACCEPTED] = now
        s[REQUESTS] += 1
        s[WAITING_HEAD] += 1
        offers += 1
        s[OFFER_TICK] = now


@njit(nogil=True, cache=True)
def _enqueue(v: View, burst: Ints, side: int, now: int) -> None:
    s = v.scalars
    s[FREE_LENGTH] -= 1
    slot = v.free_slots[s[FREE_LENGTH]]
    v.slot_bank[slot], v.slot_row[slot] = burst[BURST_BANK], burst[BURST_ROW]
    v.slot_column[slot], v.slot_line[slot] = burst[BURST_COLUMN], burst[LINE]
    v.slot_write[slot], v.slot_arrival[slot] = side, now
    v.slot_transaction[slot], v.slot_request[slot] = burst[BURST_TRANSACTION], s[REQUESTS]
    v.slot_counted[slot] = 0
    if side == WRITE_SIDE:
        _append(v.write_slots, v.write_keys, s, side, slot, _key(v, slot, WR))
        v.line_filter[_hash(burst[LINE])] += 1
        finish_burst(v, burst[BURST_TRANSACTION], now)
    else:
        _append(v.read_slots, v.read_keys, s, side, slot, _key(v, slot, RD))
    if v.constants[ROW_HITS_FIRST]:
        _hold_precharges(v, side, burst[BURST_BANK])


assert (WRITE_HEAD, WRITE_LENGTH, WRITE_QUEUE, WRITES) == (READ_HEAD + 1, READ_LENGTH + 1, READ_QUEUE + 1, READS + 1)
