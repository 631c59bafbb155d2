"""The transposition unit: spikes packed by channels become the indices of the weight update."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_models.reference.packing import point_groups, update_indices
from rtl_models.reference.transposition import (
    TranspositionTask,
    transposed,
    transposition_outputs,
    transposition_stimulus,
)
from rtl_models.transposition_unit import TranspositionGeometry, transposition_unit
from rtl_models.units import Response, Stimulus, Unit
from tlm.config import Config
from tlm.cosim.engine import Engine, Expectation, StreamSize
from tlm.cosim.geometry import StepGeometry
from tlm.cosim.hardware import Hardware, Results, Transfers
from tlm.cosim.keys import TRANSPOSITION, WEIGHT_UPDATE, StreamKey
from tlm.cosim.stalls import Stalls
from tlm.engines.pipeline_law import TranspositionTiming
from tlm.rtl_geometry import transposition_geometry
from tlm.schedule.transposition import channel_groups, words_per_tile
from tlm.schedule.zero_tiles import layer_planes
from workloads.network import Network
from workloads.trace_file import Trace

LONGEST_STREAM = 1 << 12  # words of a stream, unless a single tile has more
SHORT_WORDS = 6  # simulated in MyHDL
Indices = NDArray[np.uint8]


class Transposition(Hardware[TranspositionGeometry, TranspositionTask]):
    """A word of blocks in, a word of transposed blocks out; a tile is one of the weight update's."""

    name = "transposition_unit"
    sources = ("spikes",)
    sink = "indices"
    geometry_type = TranspositionGeometry
    task_type = TranspositionTask

    def unit(self, geometry: TranspositionGeometry) -> Unit:
        return transposition_unit(geometry)

    def stimulus(self, geometry: TranspositionGeometry, task: TranspositionTask, stalls: Stalls) -> Stimulus:
        return transposition_stimulus(geometry, task, stalls.valid, stalls.ready)

    def reference(self, geometry: TranspositionGeometry, task: TranspositionTask) -> Results:
        return {"data": transposed(task).reshape(-1)}

    def law(self, geometry: TranspositionGeometry, task: TranspositionTask, stalls: Stalls) -> Transfers:
        timing, empty = TranspositionTiming(geometry.latency_cycles), np.zeros(0, np.uint8)
        patterns = stalls.valid.get("spikes", empty), stalls.ready.get("indices", empty)
        cycles = timing.transfers(len(task.spikes), *patterns)
        return {"spikes": cycles.put, "indices": cycles.get}

    def outputs(self, geometry: TranspositionGeometry, response: Response) -> Results:
        return {"data": transposition_outputs(geometry, response).reshape(-1)}

    def tiles(self, task: TranspositionTask) -> int:
        return len(task.counts)

    def beat(self, geometry: TranspositionGeometry, task: TranspositionTask, field: str, number: int) -> int:
        return number // (geometry.blocks * geometry.k)

    def short_task(
        self, geometry: TranspositionGeometry, task: TranspositionTask, rng: np.random.Generator, at_plane: bool
    ) -> TranspositionTask:
        """Some words, each a tile: those with the most spikes, and others at random."""
        spikes = np.bitwise_count(task.spikes).sum(axis=(1, 2), dtype=np.int64)
        count = min(len(spikes), SHORT_WORDS)
        fullest = np.argsort(-spikes, kind="stable")[: count // 2]
        others = rng.choice(np.setdiff1d(np.arange(len(spikes)), fullest), count - len(fullest), replace=False)
        chosen = np.sort(np.concatenate([fullest, others]))
        return TranspositionTask(task.spikes[chosen], np.ones(count, np.int64))


@dataclass(frozen=True)
class _Piece:
    """A stream: some tiles of the weight update, plane by plane, on one of its blocks of elements (r, s, c)."""

    elements: slice
    tiles: range
    words: int
    """Of a tile."""


@dataclass(frozen=True)
class _Packed:
    """Spikes of a layer and micro-batch, both ways, bit plane by bit plane.

    `spikes` are [planes, points, channel groups] as the unit gets them; `indices` are [planes, channel groups, k, point
    groups] as the weight update wants them, 0 beyond the channels.
    """

    spikes: Indices
    indices: Indices


class TranspositionEngine(Engine):
    """Blocks are the weight update's position blocks, each cut into runs of its tiles, plane by plane.

    Every row block of the weight update has the same tiles transposed anew: here they are done once, and also those
    that the schedule leaves out because all their spikes are 0.
    """

    name = TRANSPOSITION
    hardware = Transposition()

    def __init__(self, trace: Trace, config: Config) -> None:
        super().__init__(trace, config)
        self._plan = StepGeometry(trace.network, config, trace.batch)
        self._pieces: dict[tuple[int, int], list[_Piece]] = {}
        self._kept: tuple[tuple[int, int], _Packed] | None = None

    @classmethod
    def geometry_of(cls, network: Network, batch: int, config: Config) -> TranspositionGeometry:
        return transposition_geometry(config)

    def rows(self, layer: int, micro_batch: int) -> int:
        return 1

    def blocks(self, layer: int, micro_batch: int) -> int:
        return len(self._cut(layer, micro_batch))

    def size(self, layer: int, micro_batch: int, block: int) -> StreamSize:
        piece, config = self._cut(layer, micro_batch)[block], self.config
        words = len(piece.tiles) * piece.words
        results = words * config.transposition_blocks * config.lut.k
        return StreamSize(len(piece.tiles), results, words + config.transposition_unit.latency_cycles)

    def expect(self, key: StreamKey) -> Iterator[Expectation]:
        piece, packed = self._cut(key.layer, key.micro_batch)[key.block], self._packed(key.layer, key.micro_batch)
        k, lanes, tiles = self.config.lut.k, self.config.lut.lanes, slice(piece.tiles.start, piece.tiles.stop)
        first, end = channel_groups(self.layer(key.layer), piece.elements.start, piece.elements.stop, k)
        # both as [tiles, channel groups, lanes, k], in the order of the blocks
        spikes = packed.spikes[:, :, first:end].reshape(-1, lanes, k, end - first)[tiles].transpose(0, 3, 1, 2)
        task = TranspositionTask(self._words(spikes), np.full(len(piece.tiles), piece.words, np.int64))
        results = self.hardware.reference(self.geometry, task)
        if self.trace.skipped:
            yield Expectation(key, task, results)
            return
        cut = packed.indices[:, first:end].reshape(-1, end - first, k, packed.indices.shape[3] // lanes, lanes)
        indices = cut.transpose(0, 3, 1, 4, 2).reshape(-1, end - first, lanes, k)[tiles]
        yield Expectation(key, task, results, results["data"], self._words(indices).reshape(-1))

    def _cut(self, layer: int, micro_batch: int) -> list[_Piece]:
        """The streams of a layer and micro-batch: runs of tiles, of at most `LONGEST_STREAM` words or of one tile."""
        key = (layer, micro_batch)
        if key not in self._pieces:
            shape = self._plan.shape(WEIGHT_UPDATE, layer, micro_batch)
            pieces = self._pieces[key] = []
            for elements in shape.blocks:
                words = words_per_tile(self.layer(layer), elements.start, elements.stop, self.config)
                tiles, step = range(shape.work.tiles), max(1, LONGEST_STREAM // words)
                pieces += [_Piece(elements, tiles[first : first + step], words) for first in tiles[::step]]
        return self._pieces[key]

    def _words(self, blocks: Indices) -> Indices:
        """Cut the blocks [tiles, channel groups, lanes, k] of each tile into words, filled up with 0."""
        width, k = self.config.transposition_blocks, blocks.shape[3]
        flat = blocks.reshape(len(blocks), -1, k)
        filled = np.zeros((len(flat), -(-flat.shape[1] // width) * width, k), np.uint8)
        filled[:, : flat.shape[1]] = flat
        return filled.reshape(-1, width, k)

    def _packed(self, layer: int, micro_batch: int) -> _Packed:
        """The spikes of a layer and micro-batch; the last ones asked for are kept."""
        if self._kept is None or self._kept[0] != (layer, micro_batch):
            self._kept = (layer, micro_batch), self._pack(layer, micro_batch)
        return self._kept[1]

    def _pack(self, layer: int, micro_batch: int) -> _Packed:
        shape, k, lanes = self.layer(layer), self.config.lut.k, self.config.lut.lanes
        planes = layer_planes(self.trace, layer, self.samples(micro_batch))
        indices = np.stack([update_indices(shape, plane, k, lanes) for plane in planes])
        taps, per_tap = shape.kernel_height * shape.kernel_width, -(-shape.in_channels // k)
        padded = np.zeros((len(planes), taps, per_tap * k, indices.shape[2]), np.uint8)
        padded[:, :, : shape.in_channels] = indices.reshape(len(planes), taps, shape.in_channels, -1)
        spikes = np.stack([point_groups(shape, plane, k, lanes) for plane in planes])
        return _Packed(spikes, padded.reshape(len(planes), taps * per_tap, k, -1))
