"""Channels alike behind interleaved addresses, that run ahead of simulated time together.

What arrives later enters a channel's queues after all that waits already, so a channel's course is known up to the tick
in which its last waiting burst has entered a queue: so far it runs, and never has to go back. Only where no transaction
is known to end first are copies of the channels run on, as if nothing more arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtl_models.reference.threads import run_parts, split
from tlm.memory.bank_kernel import (
    RUN,
    RUN_TO_IDLE,
    RUN_WHILE_WAITING,
    advance,
    source_digest,
)
from tlm.memory.bank_state import (
    BURST_ARRIVAL,
    BURST_FIELDS,
    BURST_TRANSACTION,
    BURST_WRITE,
    DONE_TICK,
    LAST_DATA,
    NEVER,
    NOW,
    READ_LATENCY,
    REMAINING,
    REPORTED,
    SEQUENCE,
    TRANSACTION_FIELDS,
    TRANSACTION_ID,
    TRANSACTIONS,
    WAITING_HEAD,
    WAITING_TAIL,
    Ints,
)
from tlm.memory.controller import (
    ChannelStatistics,
    ControllerConfig,
    channel_statistics,
    check_refreshes,
    idle_channel,
    modelled_standard,
)
from tlm.memory.mapping import address_mapping, decode_burst
from tlm.memory.standard import DramStandard

_NO_LOG = np.zeros((0, 1), np.int64)
_FOREVER = NEVER - 1
_ALIGNED_BURSTS = 16  # decoded at once
_LEAST_BURSTS = 1024  # about 0.2 ms of work: several times what a second thread costs


@dataclass(frozen=True)
class Interleaving:
    """Consecutive blocks of `block_bytes` go to `channels` channels in turn; everything moves in whole bursts."""

    channels: int
    block_bytes: int
    burst_bytes: int

    def bursts(self, address: int, length: int) -> Iterator[tuple[int, int, int]]:
        """(channel, first burst, bursts) of every channel's share of [address, address + length).

        A channel's own addresses are those of its blocks, one after another, so that its share is contiguous.
        """
        per_block = self.block_bytes // self.burst_bytes
        first, last = address // self.burst_bytes, (address + length - 1) // self.burst_bytes
        for block in range(first // per_block, min(last // per_block, first // per_block + self.channels - 1) + 1):
            begin, end = _share(block, first, last, per_block, self.channels)
            yield block % self.channels, begin, end - begin

    def moved_bytes(self, address: int, length: int) -> int:
        """Bytes of all bursts that [address, address + length) touches."""
        first, end = address // self.burst_bytes, -(-(address + length) // self.burst_bytes)
        return (end - first) * self.burst_bytes


class Finish(NamedTuple):
    """A transaction that ends; those of one tick are ordered by the last channel to serve them, then by number."""

    channel: int
    number: int
    slot: int


class ChannelGroup:
    """All channels of a DRAM; transactions go in by `add` and are over at `next_finish`."""

    def __init__(self, standard: DramStandard, controller: ControllerConfig, interleaving: Interleaving) -> None:
        """Raises InputError if the controller asks for what the standard does not have."""
        self.modelled = modelled = modelled_standard(standard, controller)  # with the controller's pseudo-channels
        state, self._constants = idle_channel(modelled, controller)
        mapping = address_mapping(controller.mapping, modelled.organisation, standard.burst_bytes)
        self._standard = standard
        self._mapping = (mapping.plan, mapping.bits, mapping.xor, mapping.low_bursts(_ALIGNED_BURSTS))
        self._blocks = (interleaving.block_bytes // interleaving.burst_bytes, interleaving.burst_bytes)
        self._states = np.tile(state, (interleaving.channels, 1))
        self._copy = self._states.copy()  # runs ahead as if nothing more arrived
        self._ahead = self._states  # of the two, after `next_finish`, the one that its answer was read from
        self._waiting = np.zeros((interleaving.channels, 64, BURST_FIELDS), np.int64)
        self._slots = (len(state) - int(self._constants[TRANSACTIONS])) // TRANSACTION_FIELDS
        self._free = list(range(self._slots))
        self._added = 0

    @property
    def under_way(self) -> int:
        """Transactions that are not over."""
        return self._slots - len(self._free)

    def add(self, address: int, length: int, is_write: bool, tick: int) -> int:
        """Let the bursts of a transaction arrive at the end of `tick`; return the transaction's number.

        Ticks never fall, and none is before the `tick` of `take_finished`.
        """
        if not self._free:
            self._make_slots()
        slot, number = self._free.pop(), self._added
        self._added += 1
        burst_bytes = self._blocks[1]
        span = (address // burst_bytes, (address + length - 1) // burst_bytes)
        place = (int(self._constants[TRANSACTIONS]) + slot * TRANSACTION_FIELDS, number)
        while need := _take_in(
            self._states, self._waiting, span, self._blocks[0], self._mapping, place, is_write, tick
        ):  # one channel lacks `need` rows, another may lack more
            more = np.zeros((len(self._waiting), need, BURST_FIELDS), np.int64)
            self._waiting = np.concatenate([self._waiting, more], axis=1)
        return number

    def next_finish(self) -> int | None:
        """Return the tick in which the next transaction is over if nothing more arrives; None if none is under way."""
        if not self.under_way:
            return None
        self._ahead = self._states
        finish, unknown, waiting = _next_finish(self._states, self._constants)
        if finish >= unknown:
            self._run(self._states, _FOREVER, RUN_WHILE_WAITING, waiting)
            finish, unknown, _ = _next_finish(self._states, self._constants)
        if finish >= unknown:
            self._ahead = self._copy
            np.copyto(self._copy, self._states)
        while finish >= unknown:
            self._run(self._copy, unknown, RUN)  # nothing is over before, so that the copy may take the states' place
            finish, unknown, _ = _next_finish(self._copy, self._constants)
        return int(finish)

    def take_finished(self, tick: int) -> list[int]:
        """Return the numbers of the transactions that are over at `tick`.

        It is the answer of `next_finish`, since when nothing was added.
        """
        found = [Finish(*row) for row in _finished(self._ahead, self._constants, tick).tolist()]
        if self._ahead is self._copy:
            self._states, self._copy = self._copy, self._states
            self._run(self._states, tick, RUN)
        first = int(self._constants[TRANSACTIONS])
        for finish in found:
            self._states[:, first + finish.slot * TRANSACTION_FIELDS + TRANSACTION_ID] = -1
            self._free.append(finish.slot)
        return [finish.number for finish in sorted(found)]

    def idle_tick(self) -> int:
        """Return when the last data beat will have left the bus if nothing more arrives."""
        ahead = self._states.copy()
        self._run(ahead, _FOREVER, RUN_TO_IDLE)
        return int(ahead[:, LAST_DATA].max())

    def statistics(self, tick: int) -> list[ChannelStatistics]:
        """Return each channel's counts up to `tick`; where transactions are under way, as far as it has run ahead."""
        self._run(self._states, tick, RUN)
        return [channel_statistics(state) for state in self._states]

    @property
    def states(self) -> Ints:
        """The channels' states, as far as each has run ahead; not to be changed."""
        return self._states

    def _run(self, states: Ints, until_tick: int, mode: int, waiting: int = 0) -> None:
        """Advance all channels; on threads, each with a part of them, where many bursts are `waiting` to enter."""
        parts = split(len(states)) if waiting >= _LEAST_BURSTS else [(0, len(states))]
        for status in run_parts(_advance_part, parts, states, self._constants, self._waiting, until_tick, mode):
            check_refreshes(status, self._standard)

    def _make_slots(self) -> None:
        """Double the room for transactions."""
        more = np.full((len(self._states), self._slots * TRANSACTION_FIELDS), -1, np.int64)
        self._states = np.concatenate([self._states, more], axis=1)
        self._copy = np.empty_like(self._states)
        self._free = list(range(self._slots, 2 * self._slots))
        self._slots *= 2


def _advance_part(
    states: Ints, constants: Ints, waiting: Ints, until_tick: int, mode: int, first: int, end: int
) -> int:
    return advance(states[first:end], constants, waiting[first:end], _NO_LOG, until_tick, mode)


Mapping = tuple[NDArray[np.int64], NDArray[np.int64], bool, NDArray[np.int64]]


@njit(nogil=True)
def _share_compiled(block: int, first: int, last: int, per_block: int, channels: int) -> tuple[int, int]:
    """Return the (first, end) of the bursts, in the channel's own numbers, of the channel that `block` lies on.

    `block` is the first of the channel's blocks that hold bursts of `first` to `last`.
    """
    last_block = last // per_block
    begin = block // channels * per_block
    if block == first // per_block:
        begin += first % per_block
    final = last_block - (last_block - block) % channels
    end = final // channels * per_block + (last % per_block + 1 if final == last_block else per_block)
    return begin, end


_share: Callable[[int, int, int, int, int], tuple[int, int]] = _share_compiled.py_func


def _compiled(sources: int) -> Any:
    """Compile the acceptance; `sources` makes the stored code another one when a module that it uses has changed."""

    @njit(nogil=True, cache=True)
    def take_in(
        states: Ints,
        waiting: NDArray[np.int64],
        span: tuple[int, int],
        per_block: int,
        mapping: Mapping,
        place: tuple[int, int],
        is_write: bool,
        tick: int,
    ) -> int:
        """Append the bursts `span` (first, last) to each channel's; return how many rows a channel lacks, 0 if done."""
        first, last = span
        transaction, number = place
        plan, bits, xor, offsets = mapping
        channels, rows, _ = waiting.shape
        blocks = range(first // per_block, min(last // per_block, first // per_block + channels - 1) + 1)
        for block in blocks:
            begin, end = _share_compiled(block, first, last, per_block, channels)
            s = states[block % channels]
            lacks = s[WAITING_TAIL] - s[WAITING_HEAD] + end - begin - rows
            if lacks > 0 and sources:
                return int(max(lacks, rows))
        fields, base = np.zeros(6, np.int64), np.zeros(4, np.int64)
        for block in blocks:
            begin, end = _share_compiled(block, first, last, per_block, channels)
            channel = block % channels
            s = states[channel]
            if s[WAITING_TAIL] + end - begin > rows:
                head, count = s[WAITING_HEAD], s[WAITING_TAIL] - s[WAITING_HEAD]
                for i in range(count):
                    for field in range(BURST_FIELDS):  # a row at once would compile the words of an error, for 3 s
                        waiting[channel, i, field] = waiting[channel, head + i, field]
                s[WAITING_HEAD], s[WAITING_TAIL] = 0, count
            row = s[WAITING_TAIL]
            for burst in range(begin, end):
                low = burst % len(offsets)
                if low == 0 or burst == begin:
                    decode_burst(burst - low, plan, bits, xor, fields, base)
                for field in range(4):
                    waiting[channel, row, field] = base[field] ^ offsets[low, field]
                waiting[channel, row, BURST_WRITE], waiting[channel, row, BURST_TRANSACTION] = is_write, transaction
                waiting[channel, row, BURST_ARRIVAL] = tick
                row += 1
            s[WAITING_TAIL] = row
            s[transaction + TRANSACTION_ID], s[transaction + REMAINING] = number, end - begin
            s[transaction + DONE_TICK], s[transaction + SEQUENCE], s[transaction + REPORTED] = 0, number, 0
        return 0

    return take_in


_take_in = _compiled(source_digest("bank_state", "mapping"))


@njit(nogil=True, cache=True)
def _next_finish(states: Ints, constants: Ints) -> tuple[int, int, int]:
    """Return (tick, unknown, waiting): when the first transaction known is over, from when on others may be, and how
    many bursts wait to enter a queue.

    A transaction is over when its last channel is. A channel that has bursts of it left is not before its next read,
    or, if some wait outside its queues, before the next one enters: that is enough for a write.
    """
    known, unknown, waiting = NEVER, NEVER, 0
    for channel in range(len(states)):
        waiting += states[channel, WAITING_TAIL] - states[channel, WAITING_HEAD]
    for t in range(constants[TRANSACTIONS], states.shape[1], TRANSACTION_FIELDS):
        over, complete, found = 0, True, False
        for channel in range(len(states)):
            s = states[channel]
            if s[t + TRANSACTION_ID] >= 0:
                found = True
                if s[t + REMAINING] > 0:
                    complete = False
                    waits = s[WAITING_HEAD] < s[WAITING_TAIL]
                    over = max(over, s[NOW] if waits else s[NOW] + 1 + constants[READ_LATENCY])
                else:
                    over = max(over, s[t + DONE_TICK])
        if found and complete:
            known = min(known, over)
        elif found:
            unknown = min(unknown, over)
    return known, unknown, waiting


@njit(nogil=True, cache=True)
def _finished(states: Ints, constants: Ints, tick: int) -> Ints:
    """Return [transactions, (last channel, number, slot)] of all that are over at `tick`."""
    first = constants[TRANSACTIONS]
    slots = (states.shape[1] - first) // TRANSACTION_FIELDS
    found = np.empty((slots, 3), np.int64)
    count = 0
    for slot in range(slots):
        t = first + slot * TRANSACTION_FIELDS
        over, last, number = 0, -1, -1
        for channel in range(len(states)):
            s = states[channel]
            if s[t + TRANSACTION_ID] >= 0:
                number = s[t + TRANSACTION_ID]
                if s[t + REMAINING] > 0:
                    over = NEVER
                elif s[t + DONE_TICK] >= over:
                    over, last = s[t + DONE_TICK], channel
        if number >= 0 and over == tick:
            found[count, 0], found[count, 1], found[count, 2] = last, number, slot
            count += 1
    return found[:count]
