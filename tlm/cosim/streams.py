"""Row streams of a trace: what one LUT row is fed for one output row and position block, as a `RowTask`."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_models.formats import Bits, encode
from rtl_models.reference.packing import (
    forward_weights,
    update_gradients,
)
from rtl_models.reference.row import RowTask
from tlm.cosim.geometry import StepGeometry
from tlm.cosim.keys import FORWARD, StreamKey
from tlm.schedule.geometry import is_direct
from tlm.schedule.lut_jobs import kept_tiles
from tlm.schedule.zero_tiles import layer_indices
from workloads.record import Floats
from workloads.trace_file import Trace

Indices = NDArray[np.uint8]
_KEPT_SOURCES = 8  # engines, layers and micro-batches whose indices stay in memory


@dataclass(frozen=True)
class StreamSource:
    """An engine's work on one layer and micro-batch: the indices that every row sees, and each row's operands.

    `indices` are [planes, positions, groups]; `operands` are patterns of the value format [rows, groups, k], served
    again and again until the indices end (pooling); groups are padded to whole tiles. `signed`: the first plane is the
    sign plane of two's complement bytes. `start` [rows, positions]: what the sums start from, where that is not +0.
    """

    indices: Indices
    operands: Bits
    lanes: int
    signed: bool
    skip_zero_tiles: bool
    start: Bits | None = None

    def task(self, row: int, positions: slice, init: Bits | None = None) -> RowTask:
        """Return the stream of `row` on a block of positions; sums start at `init` [positions] or `start`."""
        if init is None and self.start is not None:
            init = self.start[row, positions]
        planes, _, groups = self.indices.shape
        tiles, lanes, count = groups // self.lanes, self.lanes, positions.stop - positions.start
        cut = self.indices[:, positions].reshape(planes, count, tiles, lanes)
        by_tile = np.ascontiguousarray(cut.transpose(0, 2, 1, 3))  # [planes, tiles, positions, lanes]
        kept = np.arange(planes * tiles)
        if self.skip_zero_tiles:
            zero = np.asarray(by_tile.reshape(planes, tiles, -1).max(axis=2) == 0)
            kept = np.asarray(kept_tiles(zero), np.int64)
        flags = tile_flags(kept, tiles, self.signed)
        tables = self.operands[row].reshape(-1, lanes, self.operands.shape[-1])
        weights = tables[kept % tiles % len(tables)]
        return RowTask(
            weights=weights,
            indices=by_tile.reshape(planes * tiles, count, lanes)[kept].reshape(-1, lanes),
            positions=np.full(len(kept), count, np.int64),
            start=flags.start,
            emit=flags.emit,
            double=flags.double,
            subtract=flags.subtract,
            init=None if init is None else np.concatenate([init, np.zeros((len(kept) - 1) * count, init.dtype)]),
        )


@dataclass(frozen=True)
class TileFlags:
    """The four flags of each tile of a stream."""

    start: NDArray[np.bool_]
    double: NDArray[np.bool_]
    subtract: NDArray[np.bool_]
    emit: NDArray[np.bool_]


def tile_flags(kept: NDArray[np.int64], tiles_per_plane: int, signed: bool) -> TileFlags:
    """Return the flags of the tiles numbered `kept`, ascending, plane by plane.

    The first tile starts the sums, the last sends them; the first tile of every later plane doubles them (its plane is
    the next one: planes are left out at the front only); tiles of the first plane are taken away if `signed`.
    """
    plane = kept // tiles_per_plane
    number = np.arange(len(kept))
    return TileFlags(
        start=number == 0,
        double=np.diff(plane, prepend=plane[:1]) > 0,
        subtract=(plane == 0) & signed,
        emit=number == len(kept) - 1,
    )


class StreamReader:
    """Makes `StreamSource`s from a trace, and keeps the last few of them."""

    def __init__(self, trace: Trace, geometry: StepGeometry) -> None:
        self.trace = trace
        self.geometry = geometry
        self._kept: OrderedDict[tuple[str, int, int], StreamSource] = OrderedDict()

    def source(self, engine: str, layer: int, micro_batch: int) -> StreamSource:
        """Read and pack what an engine needs for a layer and micro-batch."""
        key = (engine, layer, micro_batch)
        if key not in self._kept:
            while len(self._kept) >= _KEPT_SOURCES:
                self._kept.popitem(last=False)
            self._kept[key] = self._read(*key)
        self._kept.move_to_end(key)
        return self._kept[key]

    def positions(self, key: StreamKey) -> slice:
        """Positions of a stream's block."""
        return self.geometry.shape(key.engine, key.layer, key.micro_batch).blocks[key.block]

    def samples(self, micro_batch: int) -> slice:
        """Samples of a micro-batch."""
        return self.geometry.micro_batches[micro_batch].samples

    def _read(self, engine: str, layer_index: int, micro_batch: int) -> StreamSource:
        network, arithmetic = self.trace.network, self.geometry.config.contract
        layer, k, lanes = network.layers[layer_index], arithmetic.k, arithmetic.lanes
        samples, start = self.samples(micro_batch), None
        indices = layer_indices(self.trace, layer_index, samples, arithmetic, update=engine != FORWARD)
        if engine == FORWARD:
            parts = network.parts(layer_index)
            weights = [forward_weights(network.layers[part], self.trace.weights(part), k, lanes) for part in parts]
            if len(parts) > 1:  # what joins it comes once, the layer's own tiles for each position of its window
                weights = [*weights[:-1], *weights[-1:] * layer.window]
            operands = np.concatenate(weights, axis=1)
            if layer.identity is not None:
                spikes = self.trace.spikes(layer.identity, samples).reshape(-1, layer.out_channels)
                start = encode(np.ascontiguousarray(spikes.T, np.float32), arithmetic.sum)
        else:
            operands = update_gradients(layer, self._gradients(layer_index, micro_batch), k, lanes)
        return StreamSource(
            indices=np.stack(list(indices)),
            operands=encode(np.ascontiguousarray(operands), arithmetic.value),
            lanes=lanes,
            signed=is_direct(network, layer_index) and network.input.signed,
            skip_zero_tiles=self.geometry.config.lut.skip_zero_tiles,
            start=start,
        )

    def _gradients(self, layer_index: int, micro_batch: int) -> Floats:
        """Gradients [T, B, OH, OW, M] that the weight update sums: du, g16 at every timestep, or d16 ([1, ...])."""
        samples = self.samples(micro_batch)
        if is_direct(self.trace.network, layer_index):
            return self.trace.gradient_sums(layer_index, samples)[np.newaxis]
        gradients = self.trace.gradients(layer_index, samples)
        if self.trace.network.joined(layer_index) < len(self.trace.network.layers) - 1:
            return gradients
        return np.broadcast_to(gradients, (self.trace.timesteps, *gradients.shape))
