"""Streams, one layer of one micro-batch on one engine each, and the fixed orders in which the engines take them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from tlm.schedule.geometry import MicroBatch
from workloads.network import Network

FORWARD, BACKWARD, UPDATE = "forward", "backward", "weight_update"
AHEAD = 2
"""Layers that are looked up again before the next micro-batch begins: as many as there is room for, mostly."""


@dataclass(frozen=True)
class Stream:
    """One layer of one micro-batch on one engine; `recompute`: the forward look-ups again, for potentials and masks."""

    engine: str
    layer: int
    micro_batch: MicroBatch
    recompute: bool = False

    @property
    def name(self) -> str:
        """Short name for reports and parts of the simulation."""
        again = "_again" if self.recompute else ""
        return f"{self.engine}{again}_l{self.layer}_mb{self.micro_batch.index}"


def forward_streams(
    network: Network,
    batches: tuple[MicroBatch, ...],
    recomputed: frozenset[int] = frozenset(),
    micro_batches_in_flight: int = 1,
) -> list[Stream]:
    """Streams of the forward engine, in its order: micro-batch, then layer ascending.

    The layers in `recomputed` follow once more, descending, after their micro-batch; where another micro-batch may be
    in flight beside it, the first two at once and the others in turn with its layers. Every stream waits for earlier
    ones of this order only, directly or through the backward pass, so nothing can wait in a circle.
    """
    found: list[Stream] = []
    again: list[Stream] = []
    for batch in batches:
        forward = [Stream(FORWARD, layer, batch) for layer in network.main]
        if micro_batches_in_flight == 1:
            found += again
            again = []
        found += again[:AHEAD]
        for pair in zip_longest(again[AHEAD:], forward):
            found += [stream for stream in pair if stream is not None]
        again = [Stream(FORWARD, layer, batch, recompute=True) for layer in sorted(recomputed, reverse=True)]
    return found + again


def backward_streams(network: Network, batches: tuple[MicroBatch, ...]) -> list[Stream]:
    """Streams of the backward engine: sums for the output of each layer but the last, descending."""
    return [Stream(BACKWARD, layer, batch) for batch in batches for layer in reversed(network.hidden)]


def update_streams(network: Network, batches: tuple[MicroBatch, ...]) -> list[Stream]:
    """Streams of the weight update engine: every layer, projections too, descending."""
    layers = range(len(network.layers))
    return [Stream(UPDATE, layer, batch) for batch in batches for layer in reversed(layers)]


def serial_order(
    network: Network, batches: tuple[MicroBatch, ...], recomputed: frozenset[int] = frozenset()
) -> Iterator[Stream]:
    """The order of all streams where nothing overlaps: forward, then update and backward layer by layer.

    A layer in `recomputed` is looked up again just before its backward stream. A projection is updated with the layer
    that it joins.
    """
    for batch in batches:
        yield from (Stream(FORWARD, layer, batch) for layer in network.main)
        for layer in range(len(network.layers) - 1, -1, -1):
            yield Stream(UPDATE, layer, batch)
            if layer - 1 in recomputed:
                yield Stream(FORWARD, layer - 1, batch, recompute=True)
            if layer - 1 in network.hidden:
                yield Stream(BACKWARD, layer - 1, batch)
