"""DRAM as latency and bandwidth: channels that serve interleaved addresses in order, without banks, rows or refresh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tlm.kernel.module import Parent
from tlm.kernel.payload import Payload
from tlm.kernel.process import Steps
from tlm.memory.channel_load import ChannelLoad
from tlm.memory.dram import ChannelUse, Dram

PS_PER_US = 10**6


@dataclass(frozen=True)
class FlatTiming:
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


def bytes_by_channel(address: int, length: int, timing: FlatTiming) -> list[int]:
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


class FlatDram(Dram):
    """Every channel works off its shares in the order of arrival."""

    def __init__(self, name: str, parent: Parent, timing: FlatTiming, capacity_bytes: int) -> None:
        super().__init__(name, parent, capacity_bytes)
        self.timing = timing
        self._busy_ps = [0] * timing.channels
        self._free_ps = [0] * timing.channels
        self._busy_from_to_ps: list[list[int]] | None = None

    @property
    def peak_bytes_per_us(self) -> float:
        """Bandwidth of all channels together."""
        return self.timing.peak_bytes_per_us

    def use(self) -> list[ChannelUse]:
        """Return the time that every channel was occupied."""
        return [ChannelUse(busy_ps) for busy_ps in self._busy_ps]

    def watch(self) -> None:
        """Keep what `loads` needs from now on."""
        self._busy_from_to_ps = [[self.simulation.now_ps] for _ in self._busy_ps]

    def loads(self) -> list[ChannelLoad]:
        """Return every channel as idle and occupied in turn: it has no queue of its own."""
        found = []
        for times_ps in self._busy_from_to_ps or []:
            busy = np.arange(len(times_ps) - 1) % 2
            found.append(ChannelLoad(np.array(times_ps, np.int64), busy.astype(np.float64)))
        return found

    def drain(self) -> Steps:
        """Return at once: a write ends with its last byte."""
        return
        yield

    def _moved_bytes(self, payload: Payload) -> int:
        return payload.length

    def _serve(self, payload: Payload) -> Steps:
        end_ps = now_ps = self.env._now
        shares = bytes_by_channel(payload.address, payload.length, self.timing)
        occupancy_ps = {share: self.timing.occupancy_ps(share) for share in set(shares)}  # most are the same
        for channel, share in enumerate(shares):
            if share:
                start_ps = self._free_ps[channel]
                if start_ps < now_ps:
                    start_ps = now_ps
                free_ps = start_ps + occupancy_ps[share]
                self._free_ps[channel] = free_ps
                self._busy_ps[channel] += occupancy_ps[share]
                if free_ps > end_ps:
                    end_ps = free_ps
                if self._busy_from_to_ps is not None:
                    self._note(self._busy_from_to_ps[channel], start_ps, free_ps)
        yield self.simulation.timeout(end_ps + self.timing.latency_ps - now_ps)

    def _note(self, times_ps: list[int], start_ps: int, end_ps: int) -> None:
        """Add a stretch in which a channel is occupied: it goes on with the last one, or begins one of its own."""
        if times_ps[-1] == start_ps and len(times_ps) > 1:
            times_ps[-1] = end_ps
        else:
            times_ps += [start_ps, end_ps]
