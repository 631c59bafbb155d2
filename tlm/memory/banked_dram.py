"""DRAM channels with banks, rows, refresh and a controller each, exact to the clock, without an event per burst.

The channels run ahead of simulated time (`tlm.memory.channel_group`), and one timer stands for the next transaction
that is over.
"""

from __future__ import annotations

from dataclasses import dataclass

from simpy.events import Event, Timeout

from rtl_models.errors import InputError
from tlm.kernel.module import Parent
from tlm.kernel.payload import Command, Payload
from tlm.kernel.process import Steps, Wait
from tlm.memory.channel_group import ChannelGroup
from tlm.memory.channel_load import ChannelLoad, ChannelSamples
from tlm.memory.controller import ControllerConfig
from tlm.memory.dram import ChannelUse, Dram
from tlm.memory.interleaving import Interleaving
from tlm.memory.standard import DramStandard

PS_PER_US = 10**6


@dataclass(frozen=True)
class _Transaction:
    """A payload under way."""

    payload: Payload
    done: Wait

    @property
    def key(self) -> tuple[bool, int, int, str]:
        """Order among transactions of one instant: reads first, then by address; not by who came first."""
        payload = self.payload
        return payload.command is Command.WRITE, payload.address, payload.length, payload.stream


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
        self._channels = ChannelGroup(standard, controller, interleaving)
        self._arriving: list[_Transaction] = []
        self._going_on = False
        self._under_way: dict[int, _Transaction] = {}
        self._due_tick = 0
        self._timer: Timeout | None = None
        self._timer_ps = 0
        self._samples: ChannelSamples | None = None

    @property
    def peak_bytes_per_us(self) -> float:
        """Bandwidth of all channels together."""
        return self.interleaving.channels * self._channels.modelled.peak_bytes_per_us

    def use(self) -> list[ChannelUse]:
        """Return what every channel did until now, or somewhat longer where transactions are under way."""
        found = []
        for counts in self._channels.statistics(self.standard.tick_of_ps(self.simulation.now_ps)):
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

    def watch(self) -> None:
        """Keep what `loads` needs from now on."""
        self._samples = ChannelSamples(self._channels.modelled)
        self._samples.take(self._channels.fronts(), self.simulation.now_ps)

    def loads(self) -> list[ChannelLoad]:
        """Return how busy every channel was when, from `watch` until now."""
        if self._samples is None:
            return []
        self._channels.statistics(self.standard.tick_of_ps(self.simulation.now_ps))
        self._samples.take(self._channels.fronts(), self.simulation.now_ps)
        return self._samples.loads()

    def drain(self) -> Steps:
        """Wait until everything that was accepted has been on the data bus."""
        while True:
            now_ps = self.simulation.now_ps
            end_ps = self.standard.ps_of_tick(self._channels.idle_tick())
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
        self._accept()
        due_tick = self._channels.next_finish()
        if self._samples is not None and self._samples.due(self.simulation.now_ps):
            self._samples.take(self._channels.fronts(), self.simulation.now_ps)
        if due_tick is None:
            return
        self._due_tick = due_tick
        due_ps = self.standard.ps_of_tick(due_tick)
        if self._timer is not None:
            if self._timer_ps == due_ps:
                return
            self.simulation.cancel(self._timer)
        self._timer_ps = due_ps
        self._timer = self.simulation.timeout(due_ps - self.simulation.now_ps)
        self._timer.callbacks.append(self._complete)

    def _accept(self) -> None:
        """Give the arrivals' bursts to the channels."""
        tick = self.standard.tick_of_ps(self.simulation.now_ps)
        for transaction in sorted(self._arriving, key=lambda arrived: arrived.key):
            payload = transaction.payload
            writes = payload.command is Command.WRITE
            self._under_way[self._channels.add(payload.address, payload.length, writes, tick)] = transaction
        self._arriving.clear()

    def _complete(self, _event: Event) -> None:
        """Wake whoever waits for a transaction that has left its last channel; what they send next arrives now."""
        self._timer = None
        self._go_on_when_settled()
        for number in self._channels.take_finished(self._due_tick):
            self._under_way.pop(number).done.succeed()

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
