"""How large each piece of a training step is: micro-batches, and the work of a LUT engine on one layer."""

from __future__ import annotations

from dataclasses import dataclass

from workloads.network import DIRECT, Network
from workloads.record import Arithmetic

BIT_PLANES = 8  # a byte input enters the first layer plane by plane (docs/contract.md)


@dataclass(frozen=True)
class MicroBatch:
    """Consecutive samples that are worked on together."""

    index: int
    first: int
    count: int

    @property
    def samples(self) -> slice:
        """The samples as a slice of the batch."""
        return slice(self.first, self.first + self.count)


def micro_batches(batch: int, size: int) -> tuple[MicroBatch, ...]:
    """Cut a batch into micro-batches of `size` samples, the last one shorter."""
    firsts = range(0, batch, size)
    return tuple(MicroBatch(i, first, min(size, batch - first)) for i, first in enumerate(firsts))


@dataclass(frozen=True)
class LutWork:
    """One layer and micro-batch on a LUT engine: `rows` output rows, `positions` look-ups a tile and row.

    Every position walks `planes` bit planes of `tiles_per_plane` tiles each; with pooling, the tiles of the receptive
    field once for every position of its window.
    """

    rows: int
    positions: int
    planes: int
    tiles_per_plane: int

    @property
    def tiles(self) -> int:
        """Tiles of one position block when none is skipped."""
        return self.planes * self.tiles_per_plane


def is_direct(network: Network, layer: int) -> bool:
    """Whether `layer` (0-based) takes bytes, the same at every timestep, instead of spikes."""
    return layer == 0 and network.input.coding == DIRECT


def part_tiles(network: Network, layer: int, arithmetic: Arithmetic) -> int:
    """Tiles of one bit plane of one weight tensor on the forward engine, those of a whole pooling window."""
    shape = network.layers[layer]
    return shape.window * -(-shape.groups(arithmetic.k) // arithmetic.lanes)


def forward_work(network: Network, layer: int, samples: int, arithmetic: Arithmetic) -> LutWork:
    """Work of the forward engine: rows are output channels, positions are (t, b, y, x), or (b, y, x) for bytes.

    The tiles of a projection come before those of the layer that it joins.
    """
    shape = network.layers[layer]
    direct = is_direct(network, layer)
    timesteps = 1 if direct else network.timesteps
    tiles = sum(part_tiles(network, part, arithmetic) for part in network.parts(layer))
    planes = BIT_PLANES if direct else 1
    return LutWork(shape.out_channels, timesteps * samples * shape.out_positions, planes, tiles)


def update_point_groups(network: Network, layer: int, samples: int, k: int) -> int:
    """Groups of k points of a micro-batch: each (t, b) plane is padded to a multiple of k, linear layers run on."""
    shape = network.layers[layer]
    planes = samples * (1 if is_direct(network, layer) else network.timesteps)
    if shape.fully_connected:
        return -(-planes // k)
    return planes * -(-shape.conv_positions // k)


def update_work(network: Network, layer: int, samples: int, arithmetic: Arithmetic) -> LutWork:
    """Work of the weight update engine: rows are output channels, positions are the elements (r, s, c)."""
    shape = network.layers[layer]
    groups = update_point_groups(network, layer, samples, arithmetic.k)
    tiles = -(-groups // arithmetic.lanes)
    planes = BIT_PLANES if is_direct(network, layer) else 1
    return LutWork(shape.out_channels, shape.elements, planes, tiles)
