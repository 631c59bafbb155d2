"""Names and counts of the row streams of a training step: from shapes alone, so that any network is quick.

A *row stream* is what one LUT row works through without a pause: one output row m of one layer and micro-batch, one
position block of the schedule, every plane and group tile of it back to back (docs/cosim.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tlm.config import Config
from tlm.schedule.geometry import LutWork, MicroBatch, forward_work, micro_batches, update_work
from tlm.schedule.lut_jobs import plan_jobs
from workloads.network import Network

FORWARD = "forward"
WEIGHT_UPDATE = "weight_update"
ENGINES = (FORWARD, WEIGHT_UPDATE)


@dataclass(frozen=True, order=True)
class StreamKey:
    """Names one row stream: engine, layer (from 0), micro-batch, output row m and position block."""

    engine: str
    layer: int
    micro_batch: int
    row: int
    block: int

    def __str__(self) -> str:
        return f"{self.engine} layer {self.layer} micro-batch {self.micro_batch} row {self.row} block {self.block}"


@dataclass(frozen=True)
class StreamShape:
    """An engine's work on one layer and micro-batch, and the position blocks that the schedule cuts it into."""

    work: LutWork
    blocks: tuple[slice, ...]


@dataclass(frozen=True)
class StreamCount:
    """How much one engine has to do on one layer in the whole step, before all-zero tiles are left out."""

    engine: str
    layer: int
    layer_name: str
    streams: int
    tiles: int
    results: int
    cycles: int


class StepGeometry:
    """The row streams of one training step of `batch` samples, under one configuration."""

    def __init__(self, network: Network, config: Config, batch: int) -> None:
        self.network = network
        self.config = config
        self.micro_batches: tuple[MicroBatch, ...] = micro_batches(batch, config.arithmetic.micro_batch)
        self._shapes: dict[tuple[str, int, int], StreamShape] = {}

    @property
    def strata(self) -> list[tuple[str, int]]:
        """Every engine and layer that LUT rows work on."""
        return [(engine, layer) for engine in ENGINES for layer in range(len(self.network.layers))]

    def shape(self, engine: str, layer: int, micro_batch: int) -> StreamShape:
        """Shape of the work of `engine` on a layer and micro-batch."""
        samples = self.micro_batches[micro_batch].count
        key = (engine, layer, samples)
        if key not in self._shapes:
            self._shapes[key] = self._plan(engine, layer, samples)
        return self._shapes[key]

    def count(self) -> list[StreamCount]:
        """Count row streams, tiles (tables built), emitted sums and stall-free cycles per engine and layer."""
        timing = self.config.row_timing
        counts = []
        for engine, layer in self.strata:
            streams = tiles = results = cycles = 0
            for batch in self.micro_batches:
                shape = self.shape(engine, layer, batch.index)
                rows, per_block = shape.work.rows, shape.work.tiles
                streams += rows * len(shape.blocks)
                tiles += rows * len(shape.blocks) * per_block
                results += rows * shape.work.positions
                sizes = (block.stop - block.start for block in shape.blocks)
                cycles += rows * sum(timing.stall_free_cycles(per_block, size) for size in sizes)
            counts.append(StreamCount(engine, layer, self.network.layers[layer].name, streams, tiles, results, cycles))
        return counts

    def stream_keys(self) -> Iterator[StreamKey]:
        """Yield the key of every row stream, lazily: engine, layer, micro-batch, row, block."""
        for engine, layer in self.strata:
            for batch in self.micro_batches:
                shape = self.shape(engine, layer, batch.index)
                for row in range(shape.work.rows):
                    for block in range(len(shape.blocks)):
                        yield StreamKey(engine, layer, batch.index, row, block)

    def _plan(self, engine: str, layer: int, samples: int) -> StreamShape:
        arithmetic = self.config.contract
        if engine == FORWARD:
            work, lut_engine = forward_work(self.network, layer, samples, arithmetic), self.config.forward_engine
        else:
            work, lut_engine = update_work(self.network, layer, samples, arithmetic), self.config.weight_update_engine
        jobs = plan_jobs(work, lut_engine, self.config.row_timing).jobs
        blocks = sorted({(job.position_first, job.position_end) for job in jobs})
        return StreamShape(work, tuple(slice(first, end) for first, end in blocks))
