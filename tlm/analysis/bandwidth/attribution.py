"""Which engine a DRAM transfer serves, and on which layer: from its DMA channel, its stream and its address."""

from __future__ import annotations

from bisect import bisect_right

from tlm.kernel.payload import Command
from tlm.schedule.placement import Placement
from tlm.simulation import DramTransfer
from workloads.network import Network

READERS = {
    "inputs": "forward",
    "forward_weights": "forward",
    "forward_spikes": "forward",
    "backward_weights": "backward",
    "backward_gradients": "backward",
    "gradient_state": "gradient",
    "update_weight_gradients": "weight_update",
    "update_gradients": "weight_update",
    "update_spikes": "weight_update",
    "optimiser": "optimiser",
}
"""The engine behind each DMA channel that reads."""

WRITERS = {
    "spikes": "neuron",
    "masks": "neuron",
    "potentials": "neuron",
    "gradients": "gradient",
    "weight_gradients": "weight_update",
    "optimiser_state": "optimiser",
    "weights": "optimiser",
}
"""The engine that makes what a stream writes; the gradients of the last layer come from the host."""


class Attribution:
    """Finds engine and layer of transfers of one placement."""

    def __init__(self, placement: Placement, network: Network) -> None:
        self._network = network
        self._starts, self._keys = zip(*sorted((start, key) for key, start in placement.addresses.items()), strict=True)
        self._last_layer = max(layer for _, layer in placement.addresses)

    def tensor(self, address: int) -> tuple[str, int]:
        """Return (stream, layer) of the tensor at a DRAM address; layer -1 is the network's input."""
        stream, layer = self._keys[bisect_right(self._starts, address) - 1]
        return stream, layer

    def of(self, transfer: DramTransfer) -> tuple[str, int]:
        """Return (engine, layer): the layer that the engine works on, which need not be that of the tensor.

        Forward and weight update look spikes of a layer up for the layer that takes them; backward sums for it take
        that layer's weights and gradients. Forward work of a projection is that of the layer that it joins. With
        shortcuts spikes go to the first layer that takes them, gradients to the sums of the layer below.
        """
        stream, layer = self.tensor(transfer.address)
        if transfer.command is Command.WRITE:
            return "host" if (stream, layer) == ("gradients", self._last_layer) else WRITERS[stream], layer
        engine = READERS[transfer.channel]
        if engine == "backward":
            return engine, self._network.layers[layer].source
        if engine in ("forward", "weight_update") and stream in ("inputs", "spikes"):
            layer = self._network.consumers(layer)[0]
        return engine, self._network.joined(layer) if engine == "forward" else layer
