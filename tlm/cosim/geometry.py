"""Shapes of the row streams of a training step, from the network alone, so that any network is quick.

A *row stream* is what one LUT row works through without a pause: one output row m of one layer and micro-batch, one
position block of the schedule, every plane and group tile of it back to back (docs/cosim.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from tlm.config import Config
from tlm.cosim.keys import FORWARD, WEIGHT_UPDATE
from tlm.schedule.geometry import LutWork, MicroBatch, forward_work, micro_batches, update_work
from tlm.schedule.lut_jobs import plan_jobs
from workloads.network import Network


@dataclass(frozen=True)
class StreamShape:
    """An engine's work on one layer and micro-batch, and the position blocks that the schedule cuts it into."""

    work: LutWork
    blocks: tuple[slice, ...]


class StepGeometry:
    """The row streams of one training step of `batch` samples, under one configuration."""

    def __init__(self, network: Network, config: Config, batch: int) -> None:
        self.network = network
        self.config = config
        self.micro_batches: tuple[MicroBatch, ...] = micro_batches(batch, config.arithmetic.micro_batch)
        self._shapes: dict[tuple[str, int, int], StreamShape] = {}

    def shape(self, engine: str, layer: int, micro_batch: int) -> StreamShape:
        """Shape of the work of `engine` on a layer and micro-batch."""
        samples = self.micro_batches[micro_batch].count
        key = (engine, layer, samples)
        if key not in self._shapes:
            self._shapes[key] = self._plan(engine, layer, samples)
        return self._shapes[key]

    def deepest(self) -> int:
        """Return the least power of two of positions that holds every block."""
        last = len(self.micro_batches) - 1  # the first micro-batch is a full one, the last may be smaller
        everything = range(len(self.network.layers))
        shapes = [
            self.shape(engine, layer, index)
            for engine, layers in ((FORWARD, self.network.main), (WEIGHT_UPDATE, everything))
            for layer in layers
            for index in {0, last}
        ]
        longest: int = max(block.stop - block.start for shape in shapes for block in shape.blocks)
        return 1 << (longest - 1).bit_length()

    def _plan(self, engine: str, layer: int, samples: int) -> StreamShape:
        arithmetic = self.config.contract
        if engine == FORWARD:
            work, lut_engine = forward_work(self.network, layer, samples, arithmetic), self.config.forward_engine
        else:
            work, lut_engine = update_work(self.network, layer, samples, arithmetic), self.config.weight_update_engine
        jobs = plan_jobs(work, lut_engine, self.config.row_timing).jobs
        blocks = sorted({(job.position_first, job.position_end) for job in jobs})
        return StreamShape(work, tuple(slice(first, end) for first, end in blocks))
