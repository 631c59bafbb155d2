"""A DRAM behind a target socket: what every model of it counts, whatever it knows of banks and refresh."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tlm.kernel.module import Module, Parent
from tlm.kernel.payload import OK, Command, Payload, Response
from tlm.kernel.process import Steps
from tlm.kernel.socket import TargetSocket
from tlm.memory.channel_load import ChannelLoad


@dataclass(frozen=True)
class ChannelUse:
    """What one channel did: `busy_ps` is the time that its bytes take at its peak bandwidth.

    A row hit, miss or conflict is counted once a burst; a model without banks has none, and no commands.
    """

    busy_ps: int
    row_hits: int = 0
    row_misses: int = 0
    row_conflicts: int = 0
    commands: dict[str, int] = field(default_factory=dict)


class Dram(Module):
    """Counts bytes by (stream, command), as asked for and as moved in whole bursts; models say when they move."""

    def __init__(self, name: str, parent: Parent, capacity_bytes: int) -> None:
        super().__init__(name, parent)
        self.capacity_bytes = capacity_bytes
        self.socket = TargetSocket("socket", self, b_transport=self.b_transport)
        self.bytes_by_stream: Counter[tuple[str, Command]] = Counter()
        self.burst_bytes_by_stream: Counter[tuple[str, Command]] = Counter()

    def b_transport(self, payload: Payload) -> Steps:
        """Serve one transaction; an address error where it reaches beyond the capacity."""
        if payload.end_address > self.capacity_bytes:
            payload.response = Response.ADDRESS_ERROR
            return
        key = (payload.stream, payload.command)
        self.bytes_by_stream[key] += payload.length
        self.burst_bytes_by_stream[key] += self._moved_bytes(payload)
        yield from self._serve(payload)
        payload.response = OK

    @property
    def peak_bytes_per_us(self) -> float:
        """Bandwidth of all channels together."""
        raise NotImplementedError

    def use(self) -> list[ChannelUse]:
        """Return what every channel did until now."""
        raise NotImplementedError

    def watch(self) -> None:
        """Keep what `loads` needs from now on."""
        raise NotImplementedError

    def loads(self) -> list[ChannelLoad]:
        """Return how busy every channel was when, from `watch` until now."""
        raise NotImplementedError

    def drain(self) -> Steps:
        """Wait until everything that was accepted has been on the data bus."""
        raise NotImplementedError

    def _moved_bytes(self, payload: Payload) -> int:
        raise NotImplementedError

    def _serve(self, payload: Payload) -> Steps:
        raise NotImplementedError
