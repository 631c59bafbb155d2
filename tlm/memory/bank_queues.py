"""Bounded queues of requests: acceptance in order, write forwarding and coalescing, and who leads.

A queue is a list of requests for each bank. Of these only two can be next: the oldest that hits the open row and the
oldest that does not, the leaders. Beside each leader stands its key: the offset of the earliest tick of the command it
needs next, or of a cell NEVER while that command must not come.
"""

# mypy: disable-error-code=no-any-return
from __future__ import annotations

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
    BURST_FIELDS,
    BURST_ROW,
    BURST_TRANSACTION,
    BURST_WRITE,
    BUSY,
    BUSY_UNITS,
    CLOSED,
    COALESCED_WRITES,
    DONE_TICK,
    EARLIEST,
    FILTER,
    FORWARDED_READS,
    FREE_LENGTH,
    FREE_SLOTS,
    LAST_ACCEPTED,
    LAST_DATA,
    LATENCIES,
    LATENCY_BINS,
    LEADER_KEYS,
    LEADER_PLACE,
    LEADER_SLOT,
    LEADER_STEP,
    LEADERS,
    LINE,
    LINE_FILTER,
    LIST_HEAD,
    LIST_TAIL,
    NEVER,
    NEXT_DUE,
    OFFER_TICK,
    OFFERED,
    OFFERS,
    OPEN_ROW,
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
    SLOT_BEFORE,
    SLOT_COLUMN,
    SLOT_COUNTED,
    SLOT_LINE,
    SLOT_NEXT,
    SLOT_REQUEST,
    SLOT_ROW,
    SLOT_TRANSACTION,
    SLOT_WRITE,
    UNIT_BITS,
    WAITING_HEAD,
    WAITING_TAIL,
    WRITE_LENGTH,
    Ints,
)
from tlm.memory.bank_timing import ACT, PRE, RD, helper

READ_SIDE, WRITE_SIDE = 0, 1
"""Added to READ_LENGTH and so on this gives the queue's place; added to RD the column command."""

HITS, MISSES = 0, 1
"""The kinds of leaders."""


@helper
def _key(s: Ints, c: Ints, side: int, kind: int, bank: int, slot: int) -> int:
    """Return the key of a leader."""
    if kind == HITS:
        return c[EARLIEST] + (RD + side) * c[BANKS] + bank
    open_row = s[c[OPEN_ROW] + bank]
    if open_row == CLOSED:
        return c[EARLIEST] + ACT * c[BANKS] + bank
    hit = s[c[LEADER_SLOT] + 2 * side * c[BANKS] + bank]
    held = c[ROW_HITS_FIRST] and hit > 0 and s[hit + SLOT_ARRIVAL] <= s[slot + SLOT_ARRIVAL]
    if open_row == ACTIVATING or held:
        return c[OPEN_ROW] - 1  # the cell NEVER, the last of EARLIEST
    return c[EARLIEST] + HELD_PRECHARGE * c[BANKS] + bank


@helper
def _lead(s: Ints, c: Ints, side: int, kind: int, bank: int, slot: int) -> None:
    """Make a slot, or none, the leader of its kind."""
    group, step = 2 * side + kind, c[LEADER_STEP]
    first = group * c[BANKS]
    place = s[c[LEADER_PLACE] + first + bank]
    s[c[LEADER_SLOT] + first + bank] = slot
    if slot == 0:
        if place > 0:
            s[LEADERS + group] -= 1
            last = c[LEADER_KEYS] + first + s[LEADERS + group]
            for part in range(4):
                s[place + part * step] = s[last + part * step]
            s[c[LEADER_PLACE] + first + s[place + 3 * step]] = place
            s[c[LEADER_PLACE] + first + bank] = 0
        return
    if place == 0:
        place = c[LEADER_KEYS] + first + s[LEADERS + group]
        s[LEADERS + group] += 1
        s[c[LEADER_PLACE] + first + bank] = place
        s[place + 3 * step] = bank
    s[place] = _key(s, c, side, kind, bank, slot)
    s[place + step] = slot
    s[place + 2 * step] = s[slot + SLOT_REQUEST]


@helper
def _first_from(s: Ints, c: Ints, slot: int, kind: int) -> int:
    """Return the first of a bank's requests from `slot` on that hits the open row, or does not; 0 for none."""
    while slot > 0 and (s[slot + SLOT_ROW] == s[c[OPEN_ROW] + s[slot + SLOT_BANK]]) == (kind == MISSES):
        slot = s[slot + SLOT_NEXT]
    return slot


@helper
def new_leaders(s: Ints, c: Ints, bank: int) -> None:
    """Find the leaders of a bank after its row has changed."""
    for side in range(2):
        head = s[c[LIST_HEAD] + side * c[BANKS] + bank]
        if head > 0:
            for kind in range(2):
                _lead(s, c, side, kind, bank, _first_from(s, c, head, kind))


@helper
def take(s: Ints, c: Ints, slot: int) -> None:
    """Take a request out of its queue."""
    bank, side = s[slot + SLOT_BANK], s[slot + SLOT_WRITE]
    before, after = s[slot + SLOT_BEFORE], s[slot + SLOT_NEXT]
    ends = side * c[BANKS] + bank
    s[before + SLOT_NEXT if before > 0 else c[LIST_HEAD] + ends] = after
    s[after + SLOT_BEFORE if after > 0 else c[LIST_TAIL] + ends] = before
    s[READ_LENGTH + side] -= 1
    for kind in range(2):
        if s[c[LEADER_SLOT] + (2 * side + kind) * c[BANKS] + bank] == slot:
            _lead(s, c, side, kind, bank, _first_from(s, c, after, kind))
    if side == WRITE_SIDE:
        s[c[LINE_FILTER] + _hash(s[slot + SLOT_LINE])] -= 1
    if c[ROW_HITS_FIRST]:
        _renew_miss(s, c, side, bank)


@helper
def take_hit(s: Ints, c: Ints, slot: int, side: int, bank: int) -> None:
    """Take the leader of a bank's row hits out of its queue, where no precharge is held back for hits."""
    before, after = s[slot + SLOT_BEFORE], s[slot + SLOT_NEXT]
    ends, row = side * c[BANKS] + bank, s[slot + SLOT_ROW]
    s[before + SLOT_NEXT if before > 0 else c[LIST_HEAD] + ends] = after
    s[after + SLOT_BEFORE if after > 0 else c[LIST_TAIL] + ends] = before
    s[READ_LENGTH + side] -= 1
    while after > 0 and s[after + SLOT_ROW] != row:
        after = s[after + SLOT_NEXT]
    if after > 0:  # its key is the one before's
        leader = 2 * side * c[BANKS] + bank
        place = s[c[LEADER_PLACE] + leader]
        s[c[LEADER_SLOT] + leader] = after
        s[place + c[LEADER_STEP]], s[place + 2 * c[LEADER_STEP]] = after, s[after + SLOT_REQUEST]
    else:
        _lead(s, c, side, HITS, bank, 0)
    if side == WRITE_SIDE:
        s[c[LINE_FILTER] + _hash(s[slot + SLOT_LINE])] -= 1


@helper
def _renew_miss(s: Ints, c: Ints, side: int, bank: int) -> None:
    """Under row hits first a hit that comes or goes may hold or free the bank's precharge."""
    miss = s[c[LEADER_SLOT] + (2 * side + MISSES) * c[BANKS] + bank]
    if miss > 0:
        _lead(s, c, side, MISSES, bank, miss)


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
def _buffered(s: Ints, c: Ints, line: int, bank: int) -> bool:
    """Whether a write to this burst's address waits in the write queue."""
    if s[c[LINE_FILTER] + _hash(line)] == 0:
        return False
    slot = s[c[LIST_HEAD] + WRITE_SIDE * c[BANKS] + bank]
    while slot > 0 and s[slot + SLOT_LINE] != line:
        slot = s[slot + SLOT_NEXT]
    return slot > 0


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
    if s[OFFER_TICK] != now:
        s[OFFERED] = 0
    while s[WAITING_HEAD] < s[WAITING_TAIL] and (c[OFFERS] == 0 or s[OFFERED] < c[OFFERS]):
        i = s[WAITING_HEAD] * BURST_FIELDS
        if waiting[i + BURST_ARRIVAL] > now:
            break
        side, transaction = waiting[i + BURST_WRITE], waiting[i + BURST_TRANSACTION]
        if s[WRITE_LENGTH] > 0 and _buffered(s, c, waiting[i + LINE], waiting[i + BURST_BANK]):
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
        s[OFFERED] += 1
        s[OFFER_TICK] = now


@helper
def _enqueue(s: Ints, c: Ints, waiting: Ints, i: int, now: int) -> None:
    s[FREE_LENGTH] -= 1
    slot, side, bank = s[c[FREE_SLOTS] + s[FREE_LENGTH]], waiting[i + BURST_WRITE], waiting[i + BURST_BANK]
    ends = side * c[BANKS] + bank
    before = s[c[LIST_TAIL] + ends]
    s[slot + SLOT_BANK], s[slot + SLOT_ROW] = bank, waiting[i + BURST_ROW]
    s[slot + SLOT_COLUMN], s[slot + SLOT_LINE] = waiting[i + BURST_COLUMN], waiting[i + LINE]
    s[slot + SLOT_WRITE], s[slot + SLOT_ARRIVAL] = side, now
    s[slot + SLOT_TRANSACTION], s[slot + SLOT_REQUEST] = waiting[i + BURST_TRANSACTION], s[REQUESTS]
    s[slot + SLOT_COUNTED], s[slot + SLOT_NEXT], s[slot + SLOT_BEFORE] = 0, 0, before
    s[before + SLOT_NEXT if before > 0 else c[LIST_HEAD] + ends] = slot
    s[c[LIST_TAIL] + ends] = slot
    s[READ_LENGTH + side] += 1
    kind = HITS if s[slot + SLOT_ROW] == s[c[OPEN_ROW] + bank] else MISSES
    if s[c[LEADER_SLOT] + (2 * side + kind) * c[BANKS] + bank] == 0:
        _lead(s, c, side, kind, bank, slot)
        if c[ROW_HITS_FIRST]:
            _renew_miss(s, c, side, bank)
    if side == WRITE_SIDE:
        s[c[LINE_FILTER] + _hash(waiting[i + LINE])] += 1
        finish_burst(s, waiting[i + BURST_TRANSACTION], now)


@helper
def next_arrival(s: Ints, c: Ints, waiting: Ints, tick: int) -> int:
    """Return the tick before which another burst must be offered: after its arrival, or after an offer just taken."""
    if s[WAITING_HEAD] == s[WAITING_TAIL]:
        return NEVER
    arrival = waiting[s[WAITING_HEAD] * BURST_FIELDS + BURST_ARRIVAL]
    if arrival >= tick:
        return arrival + 1
    return tick + 1 if c[OFFERS] > 0 and s[OFFER_TICK] == tick - 1 else NEVER
