"""Channels alike behind interleaved addresses, that run ahead of simulated time together.

What arrives later enters a channel's queues after all that waits already, so a channel's course is known up to the tick
in which its last waiting burst has entered a queue: so far it runs, and never has to go back. Only where no transaction
is known to end first are copies of the channels run on, as if nothing more arrived. Channels in the same situation have
one state together, a course (`tlm.memory.channel_courses`).
"""

from __future__ import annotations

import numpy as np

from rtl_models.reference.threads import run_parts, split
from tlm.memory.bank_kernel import RUN, RUN_TO_IDLE, RUN_WHILE_WAITING, advance
from tlm.memory.bank_state import (
    BURST_FIELDS,
    LAST_DATA,
    NEVER,
    TRANSACTION_FIELDS,
    TRANSACTION_ID,
    TRANSACTIONS,
    Ints,
)
from tlm.memory.channel_courses import counted_fronts, no_counts, unite
from tlm.memory.channel_finish import finishes, next_finish
from tlm.memory.channel_intake import take_in
from tlm.memory.controller import (
    ChannelStatistics,
    ControllerConfig,
    channel_statistics,
    check_refreshes,
    idle_channel,
    modelled_standard,
)
from tlm.memory.interleaving import Interleaving
from tlm.memory.mapping import address_mapping
from tlm.memory.standard import DramStandard

_NO_LOG = np.zeros((0, 1), np.int64)
_FOREVER = NEVER - 1
_ALIGNED_BURSTS = 16  # decoded at once
_LEAST_BURSTS = 1024  # about 0.2 ms of work: several times what a second thread costs


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
        channels = interleaving.channels
        self._courses = 1
        self._course_of = np.zeros(channels, np.int64)
        self._booked = no_counts(channels)
        self._states = np.tile(state, (channels, 1))  # of the courses there are; the others are room for more
        self._copies = self._states.copy()  # run ahead as if nothing more arrived
        self._copied = False  # whether the last `next_finish` had to ask the copies
        self._waiting = np.zeros((channels, 64, BURST_FIELDS), np.int64)
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
        courses = self._courses
        if courses > 1:
            courses = unite(self._states, self._constants, self._waiting, self._course_of, self._booked, courses)
        need = 1
        while need:  # one course lacks `need` rows, another may lack more
            need, courses = take_in(
                *(self._states, self._waiting, self._course_of, span, self._blocks[0], self._mapping, place),
                *(is_write, tick, courses),
            )
            if need:
                more = np.zeros((len(self._waiting), need, BURST_FIELDS), np.int64)
                self._waiting = np.concatenate([self._waiting, more], axis=1)
        self._courses = courses
        return number

    def next_finish(self) -> int | None:
        """Return the tick in which the next transaction is over if nothing more arrives; None if none is under way."""
        if not self.under_way:
            return None
        states = self._states[: self._courses]
        finish, unknown, waiting = next_finish(states, self._constants)
        if finish >= unknown:
            self._run(states, _FOREVER, RUN_WHILE_WAITING, waiting)
            finish, unknown, _ = next_finish(states, self._constants)
        self._copied = finish >= unknown
        if self._copied:
            copies = self._copies[: self._courses]
            np.copyto(copies, states)
            while finish >= unknown:
                self._run(copies, unknown, RUN)  # nothing is over before, so that the copies may take the states' place
                finish, unknown, _ = next_finish(copies, self._constants)
        return int(finish)

    def take_finished(self, tick: int) -> list[int]:
        """Return the numbers of the transactions that are over at `tick`.

        It is the answer of `next_finish`, since when nothing was added.
        """
        found = finishes(self._copies if self._copied else self._states, self._course_of, self._constants, tick)
        if self._copied:
            self._states, self._copies = self._copies, self._states
            self._run(self._states[: self._courses], tick, RUN)
        first = int(self._constants[TRANSACTIONS])
        for _, _, slot in found:
            self._states[: self._courses, first + slot * TRANSACTION_FIELDS + TRANSACTION_ID] = -1
            self._free.append(slot)
        return [number for _, number, _ in found]

    def idle_tick(self) -> int:
        """Return when the last data beat will have left the bus if nothing more arrives."""
        ahead = self._states[: self._courses].copy()
        self._run(ahead, _FOREVER, RUN_TO_IDLE)
        return int(ahead[:, LAST_DATA].max())

    def statistics(self, tick: int) -> list[ChannelStatistics]:
        """Return each channel's counts up to `tick`; where transactions are under way, as far as it has run ahead."""
        self._run(self._states[: self._courses], tick, RUN)
        return [channel_statistics(front) for front in self.fronts()]

    def fronts(self) -> Ints:
        """Return the front of each channel's state [channel, FRONT], as far as it has run ahead."""
        return counted_fronts(self._states, self._course_of, self._booked)

    def _run(self, states: Ints, until_tick: int, mode: int, waiting: int = 0) -> None:
        """Advance the courses; on threads, each with a part of them, where many bursts are `waiting` to enter."""
        parts = split(len(states)) if waiting >= _LEAST_BURSTS else [(0, len(states))]
        for status in run_parts(_advance_part, parts, states, self._constants, self._waiting, until_tick, mode):
            check_refreshes(status, self._standard)

    def _make_slots(self) -> None:
        """Double the room for transactions."""
        more = np.full((len(self._states), self._slots * TRANSACTION_FIELDS), -1, np.int64)
        self._states = np.concatenate([self._states, more], axis=1)
        self._copies = np.empty_like(self._states)
        self._free = list(range(self._slots, 2 * self._slots))
        self._slots *= 2


def _advance_part(
    states: Ints, constants: Ints, waiting: Ints, until_tick: int, mode: int, first: int, end: int
) -> int:
    return advance(states[first:end], constants, waiting[first:end], _NO_LOG, until_tick, mode)
