"""Whether two channels, or courses of channels, do the same from now on if they are given the same.

They do where nothing differs that can still make a difference. A tick that has passed delays nothing, however long ago
it was; ages of requests count, not their numbers; counts and free places never matter. What follows from the rest
(leaders from queues and rows, busy banks from requests, hashes from writes) is not compared.
"""

# mypy: disable-error-code=no-any-return
from __future__ import annotations

from tlm.memory.bank_state import (
    ACCESSES,
    ACTIVATING_SLOT,
    ACTIVATIONS,
    ACTIVE_ENTRIES,
    ACTIVE_LENGTH,
    BURST_FIELDS,
    BUSY,
    CAS_SLOT,
    CLOCK_EXPIRY,
    DONE_TICK,
    EARLIEST,
    FAW_TICKS,
    LIST_HEAD,
    LIST_TAIL,
    NOW,
    OFFER_TICK,
    OFFERED,
    OPEN_BANKS,
    OPEN_ROW,
    PAIR_BANK,
    PAIR_TICK,
    PAIR_UNIT,
    PRIORITY_LENGTH,
    REFRESH_CURSOR,
    REFRESH_LEFT,
    REFRESH_TICK,
    REMAINING,
    REQUESTS,
    ROW_BUS_FREE,
    ROW_CAP,
    SET_ALLOWED,
    SLOT_ARRIVAL,
    SLOT_COUNTED,
    SLOT_LINE,
    SLOT_NEXT,
    SLOT_REQUEST,
    SLOT_TRANSACTION,
    SLOT_WRITE,
    SLOTS,
    TRANSACTION_FIELDS,
    TRANSACTION_ID,
    TRANSACTIONS,
    UNIT_FLOORS,
    UNITS,
    WAITING_HEAD,
    WAITING_TAIL,
    WRITE_MODE,
    Ints,
)
from tlm.memory.bank_timing import helper


@helper
def _equal(a: Ints, b: Ints, first: int, end: int) -> bool:
    different = 0
    for i in range(first, end):
        different |= a[i] ^ b[i]
    return different == 0


@helper
def _equal_from(a: Ints, b: Ints, first: int, end: int, tick: int) -> bool:
    """Whether ticks are equal where they are not before `tick`."""
    different = 0
    for i in range(first, end):
        different |= max(a[i], tick) ^ max(b[i], tick)
    return different == 0


@helper
def _same_scalars(a: Ints, b: Ints, tick: int) -> bool:
    """Whether neither is amid a refresh or an activation in parts, and the next command finds the same buses."""
    now = tick - 1
    same = a[NOW] == now and b[NOW] == now and a[WRITE_MODE] == b[WRITE_MODE]
    same &= a[PRIORITY_LENGTH] == 0 and b[PRIORITY_LENGTH] == 0 and a[REFRESH_TICK] == b[REFRESH_TICK]
    same &= a[REFRESH_CURSOR] == b[REFRESH_CURSOR] and a[REFRESH_LEFT] == b[REFRESH_LEFT]
    same &= a[CAS_SLOT] < 0 and b[CAS_SLOT] < 0 and a[ACTIVATING_SLOT] < 0 and b[ACTIVATING_SLOT] < 0
    same &= max(a[ROW_BUS_FREE], tick) == max(b[ROW_BUS_FREE], tick)
    same &= max(a[CLOCK_EXPIRY], tick) == max(b[CLOCK_EXPIRY], tick)
    same &= max(a[PAIR_TICK], now) == max(b[PAIR_TICK], now)
    if a[PAIR_TICK] >= tick:
        same &= a[PAIR_UNIT] == b[PAIR_UNIT] and a[PAIR_BANK] == b[PAIR_BANK]
    offered_a, offered_b = a[OFFERED] if a[OFFER_TICK] == now else 0, b[OFFERED] if b[OFFER_TICK] == now else 0
    return same and offered_a == offered_b


@helper
def _same_banks(a: Ints, b: Ints, c: Ints, tick: int) -> bool:
    """Whether the same rows are open, and all commands become legal at the same ticks."""
    same = _equal(a, b, c[OPEN_ROW], c[BUSY]) and _equal_from(a, b, c[EARLIEST], c[OPEN_ROW], tick)
    same = same and _equal_from(a, b, c[UNIT_FLOORS], c[UNIT_FLOORS] + 2 * c[UNITS], tick)
    same = same and _equal_from(a, b, c[ACTIVATIONS], c[SET_ALLOWED], tick - c[FAW_TICKS])
    same = same and _equal_from(a, b, c[SET_ALLOWED], c[SLOTS], tick)
    return same and (c[ROW_CAP] == 0 or _equal(a, b, c[ACCESSES], c[OPEN_BANKS]))


@helper
def _same_request(a: Ints, b: Ints, i: int, j: int) -> bool:
    """Whether the requests in slot `i` of one and in slot `j` of the other are the same, and of the same age."""
    if i == 0 or j == 0:
        return i == j
    same = a[i + SLOT_LINE] == b[j + SLOT_LINE] and a[i + SLOT_WRITE] == b[j + SLOT_WRITE]
    same &= a[i + SLOT_TRANSACTION] == b[j + SLOT_TRANSACTION] and a[i + SLOT_ARRIVAL] == b[j + SLOT_ARRIVAL]
    same &= a[i + SLOT_COUNTED] == b[j + SLOT_COUNTED]
    return same and a[REQUESTS] - a[i + SLOT_REQUEST] == b[REQUESTS] - b[j + SLOT_REQUEST]


@helper
def _same_requests(a: Ints, b: Ints, c: Ints) -> bool:
    """Whether the same requests are queued in the same order, and the same ones have had rows opened for them."""
    for ends in range(c[LIST_HEAD], c[LIST_TAIL]):
        i, j = a[ends], b[ends]
        while i > 0 and _same_request(a, b, i, j):
            i, j = a[i + SLOT_NEXT], b[j + SLOT_NEXT]
        if i > 0 or j > 0:
            return False
    if a[ACTIVE_LENGTH] != b[ACTIVE_LENGTH]:
        return False
    for entry in range(c[ACTIVE_ENTRIES], c[ACTIVE_ENTRIES] + a[ACTIVE_LENGTH]):
        if not _same_request(a, b, a[entry], b[entry]):
            return False
    return True


@helper
def _same_transactions(a: Ints, b: Ints, first: int, end: int) -> bool:
    """Whether the same transactions are under way, and equally far."""
    for t in range(first, end, TRANSACTION_FIELDS):
        if a[t + TRANSACTION_ID] != b[t + TRANSACTION_ID]:
            return False
        if a[t + TRANSACTION_ID] >= 0 and not _equal(a, b, t + REMAINING, t + DONE_TICK + 1):
            return False
    return True


@helper
def _same_waiting(a: Ints, b: Ints, waiting_a: Ints, waiting_b: Ints) -> bool:
    """Whether the same bursts wait to enter the queues."""
    bursts = a[WAITING_TAIL] - a[WAITING_HEAD]
    if b[WAITING_TAIL] - b[WAITING_HEAD] != bursts:
        return False
    i, j, different = a[WAITING_HEAD] * BURST_FIELDS, b[WAITING_HEAD] * BURST_FIELDS, 0
    for k in range(bursts * BURST_FIELDS):
        different |= waiting_a[i + k] ^ waiting_b[j + k]
    return different == 0


@helper
def alike(a: Ints, b: Ints, c: Ints, length: int, waiting_a: Ints, waiting_b: Ints) -> bool:
    """Whether two channels do the same from now on, given the same; `length` is that of a state."""
    tick = a[NOW] + 1
    return (
        _same_scalars(a, b, tick)
        and _same_transactions(a, b, c[TRANSACTIONS], length)
        and _same_banks(a, b, c, tick)
        and _same_requests(a, b, c)
        and _same_waiting(a, b, waiting_a, waiting_b)
    )
