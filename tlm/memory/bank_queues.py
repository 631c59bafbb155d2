"""Bounded queues of requests: acceptance in order, write forwarding and coalescing, keys of the next commands.

A queue lists slots in order of arrival in a window of a longer table, and beside each slot its key: the offset of the
earliest tick of the slot's next command, or of the cell NEVER while that command must not come.
"""

# mypy: disable-error-code=no-any-return
from __future__ import annotations

import numpy as np

from tlm.memory.bank_rules import HELD_PRECHARGE
from tlm.memory.bank_state import (
    ACTIVATING,
    ACTIVE_ENTRIES,
    ACTIVE_KEYS,
    ACTIVE_LENGTH,
    BANKS,
    BURST_ARRIVAL,
    BURST_BANK,
    BURST_COLUMN,
    BURST_ROW,
    BURST_TRANSACTION,
    BURST_WRITE,
    BUSY,
    BUSY_UNITS,
    CLOSED,
    COALESCED_WRITES,
    DONE_TICK,
    EARLIEST,
    ENTRY_BANKS,
    ENTRY_KEYS,
    FILTER,
    FORWARDED_READS,
    FREE_LENGTH,
    FREE_SLOTS,
    LAST_ACCEPTED,
    LAST_DATA,
    LATENCIES,
    LATENCY_BINS,
    LINE,
    LINE_FILTER,
    NEVER,
    NEXT_DUE,
    OFFER_TICK,
    OFFERS,
    OPEN_ROW,
    READ_ENTRIES,
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
    SLOT_ARRIVAL,
    SLOT_BANK,
    SLOT_COLUMN,
    SLOT_COUNTED,
    SLOT_LINE,
    SLOT_REQUEST,
    SLOT_ROW,
    SLOT_TRANSACTION,
    SLOT_WRITE,
    UNIT_BITS,
    WAITING_HEAD,
    WAITING_TAIL,
    WRITE_HEAD,
    WRITE_LENGTH,
    Ints,
)
from tlm.memory.bank_timing import ACT, PRE, RD, helper

READ_SIDE, WRITE_SIDE = 0, 1
"""Added to READ_HEAD, READ_ENTRIES and so on this gives the queue's place; added to RD the column command."""


@helper
def _key(s: Ints, c: Ints, slot: int, side: int) -> int:
    bank = s[slot + SLOT_BANK]
    open_row = s[c[OPEN_ROW] + bank]
    if open_row == s[slot + SLOT_ROW]:
        return c[EARLIEST] + (RD + side) * c[BANKS] + bank
    if open_row == CLOSED:
        return c[EARLIEST] + ACT * c[BANKS] + bank
    if open_row == ACTIVATING:
        return c[OPEN_ROW] - 1  # the cell NEVER, the last of EARLIEST
    return c[EARLIEST] + HELD_PRECHARGE * c[BANKS] + bank


@helper
def _rekey_queue(s: Ints, c: Ints, side: int, bank: int) -> None:
    """Renew the keys of the requests to a bank."""
    first = np.uint64(s[READ_HEAD + side] + c[ENTRY_BANKS])
    for j in range(first, first + np.uint64(s[READ_LENGTH + side])):
        if s[j] == bank:
            entry = np.int64(j) - c[ENTRY_BANKS]
            s[entry + c[ENTRY_KEYS]] = _key(s, c, s[entry], side)


@helper
def _hold_precharges(s: Ints, c: Ints, side: int, bank: int) -> None:
    """Under row hits first: hold every PRE of a bank that a request not younger than it would still hit."""
    first, keys = s[READ_HEAD + side], c[ENTRY_KEYS]
    hit_arrival = -1
    for j in range(first, first + s[READ_LENGTH + side]):
        if s[s[j] + SLOT_BANK] == bank and s[s[j] + SLOT_ROW] == s[c[OPEN_ROW] + bank]:
            hit_arrival = s[s[j] + SLOT_ARRIVAL]
            break
    precharge = c[EARLIEST] + HELD_PRECHARGE * c[BANKS] + bank
    for j in range(first, first + s[READ_LENGTH + side]):
        if s[s[j] + SLOT_BANK] == bank:
            key = _key(s, c, s[j], side)
            held = key == precharge and 0 <= hit_arrival <= s[s[j] + SLOT_ARRIVAL]
            s[j + keys] = c[OPEN_ROW] - 1 if held else key


@helper
def rekey_bank(s: Ints, c: Ints, bank: int) -> None:
    """Renew the keys of all requests to a bank, after its row has changed."""
    for side in range(2):
        if c[ROW_HITS_FIRST]:
            _hold_precharges(s, c, side, bank)
        elif s[READ_LENGTH + side] > 0:
            _rekey_queue(s, c, side, bank)


@helper
def _move(s: Ints, c: Ints, source: int, target: int) -> None:
    """Move an entry with its key and its bank."""
    s[target] = s[source]
    s[target + c[ENTRY_KEYS]] = s[source + c[ENTRY_KEYS]]
    s[target + c[ENTRY_BANKS]] = s[source + c[ENTRY_BANKS]]


@helper
def _append(s: Ints, c: Ints, side: int, slot: int) -> None:
    """Append a slot; at the end of the table the queue first moves back to its front."""
    base, head, length = c[READ_ENTRIES + side], s[READ_HEAD + side], s[READ_LENGTH + side]
    if length == 0:
        head = base
    elif head + length == base + 4 * c[READ_QUEUE + side]:
        for j in range(length):
            _move(s, c, head + j, base + j)
        head = base
    s[READ_HEAD + side] = head
    s[head + length] = slot
    s[head + length + c[ENTRY_KEYS]] = _key(s, c, slot, side)
    s[head + length + c[ENTRY_BANKS]] = s[slot + SLOT_BANK]
    s[READ_LENGTH + side] = length + 1


@helper
def take(s: Ints, c: Ints, side: int, j: int) -> int:
    """Take the entry at `j` out of its queue, moving the shorter side, and return its slot."""
    slot = s[j]
    head, length = s[READ_HEAD + side], s[READ_LENGTH + side]
    if j - head <= length // 2:
        for i in range(j, head, -1):
            _move(s, c, i - 1, i)
        s[READ_HEAD + side] = head + 1
    else:
        for i in range(j, head + length - 1):
            _move(s, c, i + 1, i)
    s[READ_LENGTH + side] = length - 1
    if side == WRITE_SIDE:
        s[c[LINE_FILTER] + _hash(s[slot + SLOT_LINE])] -= 1
    if c[ROW_HITS_FIRST]:
        _hold_precharges(s, c, side, s[slot + SLOT_BANK])
    return slot


@helper
def activate_request(s: Ints, c: Ints, slot: int) -> None:
    """Put a request on the list of those whose row was opened for them."""
    entry = c[ACTIVE_ENTRIES] + s[ACTIVE_LENGTH]
    s[entry] = slot
    s[entry + c[ACTIVE_KEYS]] = c[EARLIEST] + (RD + s[slot + SLOT_WRITE]) * c[BANKS] + s[slot + SLOT_BANK]
    s[ACTIVE_LENGTH] += 1


@helper
def hold_bank(s: Ints, c: Ints, bank: int, change: int) -> None:
    """Count the requests that wait for their column command on an activated bank: no PRE meanwhile."""
    s[c[BUSY] + bank] += change
    held, precharge = c[EARLIEST] + HELD_PRECHARGE * c[BANKS] + bank, c[EARLIEST] + PRE * c[BANKS] + bank
    s[held] = NEVER if s[c[BUSY] + bank] > 0 else s[precharge]
    s[c[BUSY_UNITS] + (bank >> c[UNIT_BITS])] += change


@helper
def take_active(s: Ints, c: Ints, j: int) -> int:
    """Take the activated request at `j` out and return its slot."""
    slot = s[j]
    for i in range(j, c[ACTIVE_ENTRIES] + s[ACTIVE_LENGTH] - 1):
        s[i], s[i + c[ACTIVE_KEYS]] = s[i + 1], s[i + 1 + c[ACTIVE_KEYS]]
    s[ACTIVE_LENGTH] -= 1
    return slot


@helper
def free_slot(s: Ints, c: Ints, slot: int) -> None:
    """Give a slot back."""
    s[c[FREE_SLOTS] + s[FREE_LENGTH]] = slot
    s[FREE_LENGTH] += 1


@helper
def _hash(line: int) -> int:
    return (line ^ (line >> 8) ^ (line >> 17)) & (FILTER - 1)


@helper
def _buffered(s: Ints, c: Ints, line: int) -> bool:
    """Whether a write to this burst's address waits in the write queue."""
    if s[c[LINE_FILTER] + _hash(line)] == 0:
        return False
    found = False
    for j in range(s[WRITE_HEAD], s[WRITE_HEAD] + s[WRITE_LENGTH]):
        found = found or s[s[j] + SLOT_LINE] == line
    return found


@helper
def finish_burst(s: Ints, transaction: int, tick: int) -> None:
    """Take note that one burst of a transaction is complete at `tick`."""
    s[transaction + DONE_TICK] = max(s[transaction + DONE_TICK], tick)
    s[transaction + REMAINING] -= 1
    if s[transaction + REMAINING] == 0:
        s[NEXT_DUE] = min(s[NEXT_DUE], s[transaction + DONE_TICK])


@helper
def finish_read(s: Ints, c: Ints, arrival: int, tick: int) -> None:
    """Count a read whose last data beat comes at `tick`."""
    latency = tick - arrival
    s[READ_LATENCY_SUM] += latency
    s[READ_LATENCY_MIN] = min(s[READ_LATENCY_MIN], latency)
    s[READ_LATENCY_MAX] = max(s[READ_LATENCY_MAX], latency)
    if c[LATENCY_BINS]:
        s[c[LATENCIES] + min(latency, c[LATENCY_BINS] - 1)] += 1
    s[LAST_DATA] = max(s[LAST_DATA], tick)


@helper
def accept(s: Ints, c: Ints, waiting: Ints, now: int) -> None:
    """Offer waiting bursts, in order, at the end of tick `now` until one is refused or has not arrived yet."""
    if c[OFFERS] and s[OFFER_TICK] == now:
        return
    offers = 0
    while s[WAITING_HEAD] < s[WAITING_TAIL] and (c[OFFERS] == 0 or offers < c[OFFERS]):
        i = s[WAITING_HEAD]
        if waiting[i, BURST_ARRIVAL] > now:
            break
        side, transaction = waiting[i, BURST_WRITE], waiting[i, BURST_TRANSACTION]
        if s[WRITE_LENGTH] > 0 and _buffered(s, c, waiting[i, LINE]):
            if side == WRITE_SIDE:
                s[COALESCED_WRITES] += 1
                finish_burst(s, transaction, now)
            else:
                s[FORWARDED_READS] += 1
                finish_read(s, c, now, now + 1)
                finish_burst(s, transaction, now + 1)
        elif s[READ_LENGTH + side] < c[READ_QUEUE + side]:
            _enqueue(s, c, waiting, i, now)
        else:
            break
        s[READS + side] += 1
        s[LAST_ACCEPTED] = now
        s[REQUESTS] += 1
        s[WAITING_HEAD] += 1
        offers += 1
        s[OFFER_TICK] = now


@helper
def _enqueue(s: Ints, c: Ints, waiting: Ints, i: int, now: int) -> None:
    s[FREE_LENGTH] -= 1
    slot, side = s[c[FREE_SLOTS] + s[FREE_LENGTH]], waiting[i, BURST_WRITE]
    s[slot + SLOT_BANK], s[slot + SLOT_ROW] = waiting[i, BURST_BANK], waiting[i, BURST_ROW]
    s[slot + SLOT_COLUMN], s[slot + SLOT_LINE] = waiting[i, BURST_COLUMN], waiting[i, LINE]
    s[slot + SLOT_WRITE], s[slot + SLOT_ARRIVAL] = side, now
    s[slot + SLOT_TRANSACTION], s[slot + SLOT_REQUEST] = waiting[i, BURST_TRANSACTION], s[REQUESTS]
    s[slot + SLOT_COUNTED] = 0
    _append(s, c, side, slot)
    if side == WRITE_SIDE:
        s[c[LINE_FILTER] + _hash(waiting[i, LINE])] += 1
        finish_burst(s, waiting[i, BURST_TRANSACTION], now)
    if c[ROW_HITS_FIRST]:
        _hold_precharges(s, c, side, waiting[i, BURST_BANK])
