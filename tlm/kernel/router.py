"""Address decoding: one target socket in front, one initiator socket for each region of the address map."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from tlm.kernel.errors import AddressMapError
from tlm.kernel.module import Module, Parent
from tlm.kernel.payload import Payload, Response
from tlm.kernel.process import Steps
from tlm.kernel.socket import InitiatorSocket, TargetSocket


@dataclass(frozen=True)
class Region:
    """`size_bytes` bytes from `start_address`, named after the output they are routed to."""

    name: str
    start_address: int
    size_bytes: int

    @property
    def end_address(self) -> int:
        """First byte address after the region."""
        return self.start_address + self.size_bytes

    def __str__(self) -> str:
        return f"{self.name} [{self.start_address:#x}, {self.end_address:#x})"


class Router(Module):
    """Routes transactions from `input` to `outputs[region name]` by address; addresses are not translated.

    A transaction that touches bytes of no region gets ADDRESS_ERROR, one that crosses from a region into the
    next BURST_ERROR. Takes no time. Raises AddressMapError if regions overlap, leave a hole between them, are
    empty, or if there is none.
    """

    def __init__(self, name: str, parent: Parent, regions: Sequence[Region]) -> None:
        super().__init__(name, parent)
        self.regions = tuple(sorted(regions, key=lambda region: region.start_address))
        self._check()
        self._starts = [region.start_address for region in self.regions]
        self.input = TargetSocket("input", self, self._b_transport, transport_dbg=self._transport_dbg)
        self.outputs = {region.name: InitiatorSocket(region.name, self) for region in self.regions}

    def _check(self) -> None:
        if not self.regions:
            raise AddressMapError("address map is empty", self.name)
        for region in self.regions:
            if region.size_bytes < 1 or region.start_address < 0:
                raise AddressMapError("region is empty or negative", self.name, str(region), "at least 1 byte from 0")
        for lower, upper in zip(self.regions, self.regions[1:], strict=False):
            if upper.start_address < lower.end_address:
                raise AddressMapError("regions overlap", self.name, f"{lower} and {upper}", "disjoint regions")
            if upper.start_address > lower.end_address:
                raise AddressMapError("hole between regions", self.name, f"{lower} and {upper}", "no holes")

    def decode(self, payload: Payload) -> InitiatorSocket | None:
        """Return the output for `payload`, or set its error response and return None."""
        index = bisect_right(self._starts, payload.address) - 1
        if index < 0 or payload.end_address > self.regions[-1].end_address:
            payload.response = Response.ADDRESS_ERROR
            return None
        if payload.end_address > self.regions[index].end_address:
            payload.response = Response.BURST_ERROR
            return None
        return self.outputs[self.regions[index].name]

    def _b_transport(self, payload: Payload) -> Steps:
        output = self.decode(payload)
        if output is not None:
            yield from output.b_transport(payload)

    def _transport_dbg(self, payload: Payload) -> int:
        output = self.decode(payload)
        return 0 if output is None else output.transport_dbg(payload)
