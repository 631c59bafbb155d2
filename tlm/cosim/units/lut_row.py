"""The LUT row: output rows of the forward engine and of the weight update engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from rtl_models.formats import Bits
from rtl_models.lut_row import LutRowGeometry, lut_row_unit
from rtl_models.reference.row import RowTask, lut_row, row_outputs, row_stimulus
from rtl_models.units import Response, Stimulus, Unit
from tlm.config import Config
from tlm.cosim.engine import Engine, Expectation, StreamSize
from tlm.cosim.expected import Reference
from tlm.cosim.geometry import StepGeometry
from tlm.cosim.hardware import Hardware, Results, Transfers
from tlm.cosim.keys import FORWARD, WEIGHT_UPDATE, StreamKey
from tlm.cosim.stalls import Stalls
from tlm.cosim.streams import StreamReader
from tlm.cosim.windows import LONGEST_WINDOW, cut_window
from tlm.engines.lut_row_law import LutRowTiming
from tlm.rtl_geometry import row_geometry
from workloads.network import Network
from workloads.trace_file import Trace


class LutRow(Hardware[LutRowGeometry, RowTask]):
    """Rows of look-up elements; a tile is one set of tables, served to the positions of a block."""

    name = "lut_row"
    sources = ("load", "index")
    sink = "out"
    geometry_type = LutRowGeometry
    task_type = RowTask

    def unit(self, geometry: LutRowGeometry) -> Unit:
        return lut_row_unit(geometry)

    def stimulus(self, geometry: LutRowGeometry, task: RowTask, stalls: Stalls) -> Stimulus:
        return row_stimulus(geometry, task, stalls.valid, stalls.ready)

    def reference(self, geometry: LutRowGeometry, task: RowTask) -> Results:
        return {"data": lut_row(task, geometry.value_format, geometry.sum_format)}

    def law(self, geometry: LutRowGeometry, task: RowTask, stalls: Stalls) -> Transfers:
        cycles = row_timing(geometry).transfers(task.positions, task.emit, stalls.valid, stalls.ready)
        return {"load": cycles.load, "index": cycles.index, "out": cycles.out}

    def outputs(self, geometry: LutRowGeometry, response: Response) -> Results:
        return {"data": row_outputs(geometry, response)}

    def tiles(self, task: RowTask) -> int:
        return len(task.positions)

    def short_task(self, geometry: LutRowGeometry, task: RowTask, rng: np.random.Generator, at_plane: bool) -> RowTask:
        return cut_window(task, geometry.value_format, geometry.sum_format, rng, at_plane)

    def short_geometry(self, geometry: LutRowGeometry) -> LutRowGeometry:
        """A memory of `LONGEST_WINDOW` positions: its depth changes neither bits nor cycles."""
        return replace(geometry, depth=LONGEST_WINDOW)


def row_timing(geometry: LutRowGeometry) -> LutRowTiming:
    """The cycle law of a row."""
    return LutRowTiming(
        k=geometry.k,
        lanes=geometry.lanes,
        build_latency_cycles=geometry.build_latency_cycles,
        adder_latency_cycles=geometry.adder_latency_cycles,
        tree_registers=geometry.tree_registers,
    )


class LutEngine(Engine):
    """An engine of LUT rows: a stream is an output row on a position block, every plane and tile of it."""

    hardware = LutRow()

    def __init__(self, trace: Trace, config: Config) -> None:
        super().__init__(trace, config)
        self._plan = StepGeometry(trace.network, config, trace.batch)
        self._reader = StreamReader(trace, self._plan)
        self._reference = Reference(self._reader)
        self._timing = config.row_timing

    @classmethod
    def geometry_of(cls, network: Network, batch: int, config: Config) -> LutRowGeometry:
        """The least power of two of positions that holds every block: quick to build, and most traces share it."""
        return row_geometry(config, StepGeometry(network, config, batch).deepest())

    def rows(self, layer: int, micro_batch: int) -> int:
        return self._plan.shape(self.name, layer, micro_batch).work.rows

    def blocks(self, layer: int, micro_batch: int) -> int:
        return len(self._plan.shape(self.name, layer, micro_batch).blocks)

    def block_at(self, layer: int, micro_batch: int, position: int) -> int:
        """The block that begins at a position."""
        blocks = self._plan.shape(self.name, layer, micro_batch).blocks
        return [block.start for block in blocks].index(position)

    def size(self, layer: int, micro_batch: int, block: int) -> StreamSize:
        shape = self._plan.shape(self.name, layer, micro_batch)
        positions = shape.blocks[block].stop - shape.blocks[block].start
        tiles = shape.work.tiles
        return StreamSize(tiles, positions, self._timing.stall_free_cycles(tiles, positions))

    def expect(self, key: StreamKey) -> Iterator[Expectation]:
        yield self._reference.expect(key)

    def hostile_key(self, layer: int, micro_batch: int, block: int, rng: np.random.Generator) -> StreamKey:
        """The row whose operands span the most exponents, where the order of additions shows."""
        operands = self._reader.source(self.name, layer, micro_batch).operands
        row = widest_row(operands, self.config.contract.value.fraction_bits)
        return StreamKey(self.name, layer, micro_batch, row, block)


class Forward(LutEngine):
    """Rows are output channels, positions are output positions, tables hold sums of weights."""

    name = FORWARD

    @classmethod
    def layers_of(cls, network: Network) -> list[int]:
        return list(network.main)


class WeightUpdate(LutEngine):
    """Rows are output channels, positions are elements of the receptive field, tables hold sums of gradients."""

    name = WEIGHT_UPDATE
    accumulates = True


def widest_row(operands: Bits, fraction_bits: int) -> int:
    """Return the row of operands [rows, groups, k] whose non-zero operands span the most binary exponents."""
    magnitude = operands.reshape(len(operands), -1).astype(np.int64)
    sign_bit = 8 * operands.dtype.itemsize - 1
    magnitude &= (1 << sign_bit) - 1
    exponent = magnitude >> fraction_bits
    largest = exponent.max(axis=1)
    smallest = np.where(magnitude > 0, exponent, np.iinfo(np.int64).max).min(axis=1)
    span = np.where(magnitude.any(axis=1), largest - smallest, -1)
    return int(np.argmax(span))
