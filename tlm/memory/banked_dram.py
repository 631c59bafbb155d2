"""DRAM channels with banks, rows, refresh and a controller each, exact to the clock, without an event per burst.

A channel runs ahead of simulated time to its next completed transaction, from a snapshot. Where a transaction arrives
before that, the channel goes back to the snapshot, runs up to the arrival, and runs ahead again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from simpy.events import Event, Timeout

from rtl_models.errors import InputError
from tlm.kernel.module import Parent
from tlm.kernel.payload import Command, Payload
from tlm.kernel.process import Steps, Wait
from tlm.memory.controller import ControllerConfig, DramChannel, Snapshot
from tlm.memory.dram import ChannelUse, Dram
from tlm.memory.standard import DramStandard

PS_PER_US = 10**6
_FOREVER = 1 << 60


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
        first_block, last_block = first // per_block, last // per_block
        for block in range(first_block, min(last_block, first_block + self.channels - 1) + 1):
            begin = block // self.channels * per_block
            if block == first_block:
                begin += first % per_block
            final = last_block - (last_block - block) % self.channels
            end = final // self.channels * per_block + (last % per_block + 1 if final == last_block else per_block)
            yield block % self.channels, begin, end - begin

    def moved_bytes(self, address: int, length: int) -> int:
        """Bytes of all bursts that [address, address + length) touches."""
        first, end = address // self.burst_bytes, -(-(address + length) // self.burst_bytes)
        return (end - first) * self.burst_bytes


class _Transaction:
    """A payload under way: the channels it still waits for."""

    __slots__ = ("channels_left", "done", "payload")

    def __init__(self, payload: Payload, done: Wait) -> None:
        self.payload = payload
        self.done = done
        self.channels_left = 0

    @property
    def key(self) -> tuple[bool, int, int, str]:
        """Order among transactions of one instant: reads first, then by address; not by who came first."""
        payload = self.payload
        return payload.command is Command.WRITE, payload.address, payload.length, payload.stream


class _Channel:
    """A channel that may be ahead of simulated time, and the state to go back to."""

    def __init__(self, channel: DramChannel) -> None:
        self.channel = channel
        self.pending = 0
        self._standard = channel.standard
        self._snapshot: Snapshot | None = None

    def go_to(self, tick: int) -> None:
        """Be where the channel is at `tick`, whatever it has looked at beyond."""
        if self._snapshot is not None:
            self.channel.restore(self._snapshot)
            self._snapshot = None
        if tick > self.channel.now:
            self.channel.run(tick)

    def look_ahead(self) -> int | None:
        """Run to the next completed transaction; return its time, or None where none is pending."""
        if not self.pending:
            return None
        if not self.channel.completed:
            self._snapshot = self.channel.snapshot()
            self.channel.run(_FOREVER, stop_at_completion=True)
        return self._standard.ps_of_tick(self.channel.completed[0][1])

    def idle_ps(self) -> int:
        """Return when the last data beat will have left the bus if nothing more arrives."""
        state = self.channel.snapshot()
        self.channel.run_until_idle()
        idle_tick = self.channel.idle_tick or 0
        self.channel.restore(state)
        return self._standard.ps_of_tick(idle_tick)

    def take_completed(self, now_ps: int) -> list[int]:
        """Return the transactions complete by `now_ps`; time has come to where the channel is."""
        completed = self.channel.completed
        count = sum(self._standard.ps_of_tick(tick) <= now_ps for _, tick in completed)
        taken = [transaction for transaction, _ in completed[:count]]
        if taken:
            del completed[:count]
            self.pending -= count
            self._snapshot = None
        return taken


class BankedDram(Dram):
    """`channels` channels of a standard, each behind a controller of its own, with interleaved addresses.

    A read ends with its last data beat, a write when its last burst has been accepted into a write queue; `drain` waits
    for the data bus. Transactions of one instant are taken in the order of their addresses. Raises InputError where the
    interleaving is not whole bursts, or the channels hold less than `capacity_bytes`.
    """

    def __init__(
        self,
        name: str,
        parent: Parent,
        standard: DramStandard,
        controller: ControllerConfig,
        interleaving: Interleaving,
        capacity_bytes: int,
    ) -> None:
        super().__init__(name, parent, capacity_bytes)
        check_channels(standard, interleaving, capacity_bytes)
        self.standard = standard
        self.interleaving = interleaving
        self._channels = [_Channel(DramChannel(standard, controller)) for _ in range(interleaving.channels)]
        self._arriving: list[_Transaction] = []
        self._standing: set[int] = set()  # channels that have reached a completion and not looked on yet
        self._going_on = False
        self._under_way: dict[int, _Transaction] = {}
        self._transactions = 0
        self._due_ps: list[int | None] = [None] * interleaving.channels
        self._timer: Timeout | None = None
        self._timer_ps = 0

    @property
    def peak_bytes_per_us(self) -> float:
        """Bandwidth of all channels together."""
        return sum(each.channel.modelled.peak_bytes_per_us for each in self._channels)

    def use(self) -> list[ChannelUse]:
        """Return what every channel did until now."""
        found = []
        for channel in self._channels:
            channel.go_to(self.standard.tick_of_ps(self.simulation.now_ps))
            counts = channel.channel.statistics
            bursts = sum(counts.commands[command] for command in ("RD", "RDA", "WR", "WRA"))
            moved_bytes = bursts * self.standard.burst_bytes
            found.append(
                ChannelUse(
                    busy_ps=round(moved_bytes * PS_PER_US / self.standard.peak_bytes_per_us),
                    row_hits=counts.row_hits,
                    row_misses=counts.row_misses,
                    row_conflicts=counts.row_conflicts,
                    commands=counts.commands,
                )
            )
        return found

    def drain(self) -> Steps:
        """Wait until everything that was accepted has been on the data bus."""
        while True:
            now_ps = self.simulation.now_ps
            end_ps = max(channel.idle_ps() for channel in self._channels)
            if end_ps <= now_ps:
                return
            yield self.simulation.timeout(end_ps - now_ps)

    def _moved_bytes(self, payload: Payload) -> int:
        return self.interleaving.moved_bytes(payload.address, payload.length)

    def _serve(self, payload: Payload) -> Steps:
        wait = Wait(self.env, f"{payload.command} of {payload.length} bytes", self._describe)
        self._arriving.append(_Transaction(payload, wait))
        self._go_on_when_settled()
        account = wait.process.account
        yield from wait.pause(account.state, account.reason)

    def _go_on_when_settled(self) -> None:
        if not self._going_on:
            self._going_on = True
            self.simulation.settled().callbacks.append(self._go_on)

    def _go_on(self, _event: Event) -> None:
        """Take in everything that has arrived in this instant, and look ahead."""
        self._going_on = False
        touched = self._accept() | self._standing
        self._standing.clear()
        for index in touched:
            self._due_ps[index] = self._channels[index].look_ahead()
        due_ps = min((due for due in self._due_ps if due is not None), default=None)
        if due_ps is None or (self._timer is not None and self._timer_ps <= due_ps):
            return
        if self._timer is not None:
            self.simulation.cancel(self._timer)
        self._timer_ps = max(due_ps, self.simulation.now_ps)
        self._timer = self.simulation.timeout(self._timer_ps - self.simulation.now_ps)
        self._timer.callbacks.append(self._complete)

    def _accept(self) -> set[int]:
        """Give the arrivals' bursts to their channels, which go back to this instant; return these."""
        tick = self.standard.tick_of_ps(self.simulation.now_ps)
        touched: set[int] = set()
        for transaction in sorted(self._arriving, key=lambda arrived: arrived.key):
            payload, number = transaction.payload, self._transactions
            self._under_way[number] = transaction
            self._transactions += 1
            writes = payload.command is Command.WRITE
            for index, first, count in self.interleaving.bursts(payload.address, payload.length):
                channel = self._channels[index]
                if index not in touched:
                    touched.add(index)
                    channel.go_to(tick)
                addresses = np.arange(first, first + count) * self.standard.burst_bytes
                channel.channel.add(addresses, writes, number, tick)
                channel.pending += 1
                transaction.channels_left += 1
        self._arriving.clear()
        return touched

    def _complete(self, _event: Event) -> None:
        """Wake whoever waits for a transaction that has left its last channel; what they send next arrives now."""
        self._timer = None
        now_ps = self.simulation.now_ps
        self._go_on_when_settled()
        for index, due_ps in enumerate(self._due_ps):
            if due_ps is None or due_ps > now_ps:
                continue
            self._due_ps[index] = None
            self._standing.add(index)
            for number in self._channels[index].take_completed(now_ps):
                transaction = self._under_way[number]
                transaction.channels_left -= 1
                if not transaction.channels_left:
                    del self._under_way[number]
                    transaction.done.succeed()

    def _describe(self, wait: Wait) -> str:
        return f"{wait.operation} on {self.name} ({len(self._under_way)} under way)"


def check_channels(standard: DramStandard, interleaving: Interleaving, capacity_bytes: int) -> None:
    """Raise InputError where the interleaving is not whole bursts, or the channels hold less than `capacity_bytes`."""
    if interleaving.block_bytes % standard.burst_bytes:
        allowed = f"a multiple of {standard.name}'s burst of {standard.burst_bytes} bytes"
        raise InputError("blocks are not whole bursts", "dram.interleave_bytes", interleaving.block_bytes, allowed)
    room_bytes = interleaving.channels * standard.capacity_bytes
    if room_bytes < capacity_bytes:
        what = f"the step needs {capacity_bytes} bytes of DRAM"
        raise InputError(
            what, "dram.channels", interleaving.channels, f"{-(-capacity_bytes // standard.capacity_bytes)} or more"
        )
