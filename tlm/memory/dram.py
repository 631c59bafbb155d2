"""DRAM as latency and bandwidth: channels that serve interleaved addresses in order.

The interface (a target socket, byte addresses, streams) is that of any DRAM model; banks, rows and refresh are not
modelled here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tlm.kernel.module import Module, Parent
from tlm.kernel.payload import Command, Payload, Response
from tlm.kernel.process import Steps
from tlm.kernel.socket import TargetSocket

PS_PER_US = 10**6


@dataclass(frozen=True)
class DramTiming:
    """`channels` channels of `channel_bytes_per_us` each; an access ends `latency_ps` after its last byte's slot."""

    channels: int
    channel_bytes_per_us: int
    latency_ps: int
    interleave_bytes: int

    def occupancy_ps(self, length_bytes: int) -> int:
        """Time that `length_bytes` occupy one channel, rounded up to whole picoseconds."""
        return -(-length_bytes * PS_PER_US // self.channel_bytes_per_us)

    @property
    def peak_bytes_per_us(self) -> int:
        """Bandwidth of all channels together."""
        return self.channels * self.channel_bytes_per_us


def bytes_by_channel(address: int, length: int, timing: DramTiming) -> list[int]:
    """Bytes of [address, address + length) on each channel, channels changing every `interleave_bytes`."""
    step, channels = timing.interleave_bytes, timing.channels
    first, last = address // step, (address + length - 1) // step
    rounds, extra = divmod(last - first + 1, channels)
    counts = [rounds * step] * channels
    for block in range(first, first + extra):
        counts[block % channels] += step
    counts[first % channels] -= address - first * step
    counts[last % channels] -= (last + 1) * step - (address + length)
    return counts


class Dram(Module):
    """A DRAM behind `socket`; counts bytes by (stream, command) and the busy time of each channel."""

    def __init__(self, name: str, parent: Parent, timing: DramTiming, capacity_bytes: int) -> None:
        super().__init__(name, parent)
        self.timing = timing
        self.capacity_bytes = capacity_bytes
        self.socket = TargetSocket("socket", self, b_transport=self.b_transport)
        self.bytes_by_stream: Counter[tuple[str, Command]] = Counter()
        self.channel_busy_ps = [0] * timing.channels
        self._free_ps = [0] * timing.channels

    def b_transport(self, payload: Payload) -> Steps:
        """Serve one transaction: every channel works off its share in the order of arrival."""
        if payload.end_address > self.capacity_bytes:
            payload.response = Response.ADDRESS_ERROR
            return
        now_ps = self.simulation.now_ps
        end_ps = now_ps
        for channel, share in enumerate(bytes_by_channel(payload.address, payload.length, self.timing)):
            if share:
                busy_ps = self.timing.occupancy_ps(share)
                self._free_ps[channel] = max(now_ps, self._free_ps[channel]) + busy_ps
                self.channel_busy_ps[channel] += busy_ps
                end_ps = max(end_ps, self._free_ps[channel])
        self.bytes_by_stream[payload.stream, payload.command] += payload.length
        yield self.simulation.timeout(end_ps + self.timing.latency_ps - now_ps)
        payload.response = Response.OK
