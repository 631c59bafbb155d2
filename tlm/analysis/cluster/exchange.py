"""All-reduces between chips in a simulation, message by message over a ring or a tree."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial

from tlm.analysis.cluster.collective import RING, TREE, Gradient, Links, children, ring_chunks
from tlm.analysis.cluster.links import ChipSums, Wire
from tlm.kernel.module import Module, Parent
from tlm.kernel.process import Process, Steps
from tlm.kernel.synchronize import Watermark
from workloads.record import Floats

Levels = Sequence[Sequence[Watermark]]
"""A level for each chip and layer, 1 once it is reached."""


class Exchange(Module, ABC):
    """Adds the chips' gradients up, layer by layer: `ready` tells when a chip has its own, `summed` when the sums.

    A chip begins a layer when its gradients are ready and it has the sums of the layer before. `values` are the chips'
    gradients [chips, elements] of each layer, where messages shall carry them.
    """

    def __init__(
        self,
        parent: Parent,
        links: Links,
        gradients: Sequence[Gradient],
        ready: Levels,
        summed: Levels,
        values: Sequence[Floats] | None = None,
    ) -> None:
        super().__init__("exchange", parent)
        self.chips = len(ready)
        self.sums = [
            [
                ChipSums(gradient, None if values is None else values[layer][chip])
                for layer, gradient in enumerate(gradients)
            ]
            for chip in range(self.chips)
        ]
        """The sums of each chip and layer."""
        self._links, self._gradients = links, gradients
        self._ready, self._summed = ready, summed
        self.build()
        for chip in range(self.chips):
            self.process(partial(self._layers, chip), f"chip{chip}")

    @abstractmethod
    def build(self) -> None:
        """Make the wires, and whatever works on them beside the chips' own processes."""

    @abstractmethod
    def all_reduce(self, chip: int, layer: int) -> Steps:
        """A chip's part in the all-reduce of a layer; it has the sums afterwards."""

    def _layers(self, chip: int, _process: Process) -> Steps:
        for layer in range(len(self._gradients)):
            yield from self._ready[chip][layer].wait_for(1, "weight gradients")
            yield from self.all_reduce(chip, layer)
            self._summed[chip][layer].advance(1)


class RingExchange(Exchange):
    """Every chip sends to the next one, and takes from the one before."""

    def build(self) -> None:
        """One wire a chip, to the next."""
        most = 2 * self.chips * len(self._gradients)
        self._wires = [Wire(f"wire{chip}", self, self._links.timing, most) for chip in range(self.chips)]

    def all_reduce(self, chip: int, layer: int) -> Steps:
        """Send a chunk and take the one before it, n - 1 times to add and n - 1 times to keep."""
        sums, chips = self.sums[chip][layer], self.chips
        sizes = ring_chunks(self._gradients[layer].elements, chips)
        for step in range(2 * (chips - 1)):
            sent, taken = (chip - step) % chips, (chip - step - 1) % chips
            if sizes[sent]:
                message = sums.message(sum(sizes[:sent]), sizes[sent])
                yield from self._wires[chip].socket.b_transport(message, "link")
            if sizes[taken]:
                message = yield from self._wires[chip - 1].arrived.get("other chips")
                sums.take(message, adding=step < chips - 1)


class TreeExchange(Exchange):
    """Every chip has wires to and from the chip above it; segments follow one another up, and down again."""

    def build(self) -> None:
        """Two wires for every chip but the root, and a process for every wire that leads down."""
        self._segments = [
            (layer, first, size)
            for layer, gradient in enumerate(self._gradients)
            for first, size in self._links.segments(gradient)
        ]
        self._known = [Watermark(f"known{chip}", self) for chip in range(self.chips)]
        timing, most = self._links.timing, len(self._segments)
        below = range(1, self.chips)
        self._up = {chip: Wire(f"up{chip}", self, timing, most) for chip in below}
        self._down = {chip: Wire(f"down{chip}", self, timing, most) for chip in below}
        for chip in range(self.chips):
            for child in children(chip, self.chips):
                self.process(partial(self._send_down, chip, child), f"send_down{child}")
                self.process(partial(self._take_down, child), f"take_down{child}")

    def all_reduce(self, chip: int, layer: int) -> Steps:
        """Add the segments from below to the chip's own and send them up; wait until all have come down again."""
        sums, known = self.sums[chip][layer], self._known[chip]
        for first, size in self._links.segments(self._gradients[layer]):
            for child in children(chip, self.chips):
                message = yield from self._up[child].arrived.get("other chips")
                sums.take(message, adding=True)
            if chip:
                yield from self._up[chip].socket.b_transport(sums.message(first, size), "link")
            else:
                known.advance(known.level + 1)
        through = sum(number <= layer for number, _, _ in self._segments)
        yield from known.wait_for(through, "other chips")

    def _send_down(self, chip: int, child: int, _process: Process) -> Steps:
        for number, (layer, first, size) in enumerate(self._segments):
            yield from self._known[chip].wait_for(number + 1, "other chips")
            message = self.sums[chip][layer].message(first, size)
            yield from self._down[child].socket.b_transport(message, "link")

    def _take_down(self, chip: int, _process: Process) -> Steps:
        for number, (layer, _, _) in enumerate(self._segments):
            message = yield from self._down[chip].arrived.get("other chips")
            self.sums[chip][layer].take(message, adding=False)
            self._known[chip].advance(number + 1)


EXCHANGES: dict[str, type[Exchange]] = {RING: RingExchange, TREE: TreeExchange}
