"""What messages between chips are made of: wires that take time, and the numbers that a message may carry."""

from __future__ import annotations

import numpy as np

from rtl_models.formats import decode, encode
from tlm.analysis.cluster.addition import add
from tlm.analysis.cluster.collective import Gradient, LinkTiming
from tlm.kernel.channel import TokenChannel
from tlm.kernel.module import Module, Parent
from tlm.kernel.payload import Command, Payload, Response
from tlm.kernel.process import Steps
from tlm.kernel.socket import InitiatorSocket, TargetSocket
from workloads.record import Floats


class Wire(Module):
    """One direction of a link: a message occupies it for its bytes' time, and is in `arrived` a latency later."""

    def __init__(self, name: str, parent: Parent, timing: LinkTiming, most_messages: int) -> None:
        super().__init__(name, parent)
        self._timing = timing
        self.socket = InitiatorSocket("socket", self)
        self.socket.bind(TargetSocket("target", self, self._transport))
        self.arrived: TokenChannel[Payload] = TokenChannel("arrived", self, most_messages)

    def _transport(self, payload: Payload) -> Steps:
        yield self.simulation.timeout(self._timing.serial_ps(payload.length))
        payload.response = Response.OK
        arrival = self.simulation.timeout(self._timing.latency_ps)
        arrival.callbacks.append(lambda _: self._arrive(payload))

    def _arrive(self, payload: Payload) -> None:
        self.arrived.try_put(payload)  # there is room for all


class ChipSums:
    """A chip's sums of one layer; without `values` messages have a length only, as in every timing model."""

    def __init__(self, gradient: Gradient, values: Floats | None) -> None:
        self._gradient = gradient
        self.values = None if values is None else values.copy()

    def message(self, first: int, size: int) -> Payload:
        """Return a message of `size` sums from number `first` on; its address counts the layer's bytes."""
        total = self._gradient.total
        data = None
        if self.values is not None:
            data = bytearray(encode(self.values[first : first + size], total).tobytes())
        return Payload(Command.WRITE, first * total.width_bytes, size * total.width_bytes, "weight_gradients", data)

    def take(self, message: Payload, adding: bool) -> None:
        """Put the sums of a message in the place of the chip's own, or add the chip's own to them."""
        if self.values is None or message.data is None:
            return
        total = self._gradient.total
        got = decode(np.frombuffer(message.data, total.bits_dtype), total)
        part = slice(message.address // total.width_bytes, message.end_address // total.width_bytes)
        self.values[part] = add(got, self.values[part], total) if adding else got
