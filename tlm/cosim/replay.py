"""Runs a failing tile's file again, with a waveform if wanted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtl_models.lut_row import lut_row_unit
from rtl_models.reference.row import lut_row
from rtl_models.simulators import SimulatorError, simulator_by_name
from tlm.cosim.cases import Difference, first_difference, make_case
from tlm.cosim.runner import RowUnit, misbehaviour
from tlm.cosim.tile_file import FailingTile, read_tile
from tlm.engines.lut_row_law import LutRowTiming


@dataclass(frozen=True)
class ReplayResult:
    """Outcome of a replay: the tile, the simulator that ran it, and the first difference (None: all equal now).

    `reference_changed` and `law_changed`: today's reference or law expects something else than the file does.
    """

    tile: FailingTile
    simulator: str
    difference: Difference | None
    cycles: int
    reference_changed: bool
    law_changed: bool

    @property
    def passed(self) -> bool:
        """Whether every bit and cycle is equal now."""
        return self.difference is None


def replay(
    path: str | Path, simulator: str = "auto", vcd: str | Path | None = None, row_unit: RowUnit = lut_row_unit
) -> ReplayResult:
    """Run the tile in the file `path` on `simulator` and compare it with today's reference and law.

    `vcd` writes the waveform. Raises InputError for a file that is not a tile and for an unknown or missing simulator.
    """
    tile = read_tile(path)
    chosen = simulator_by_name(simulator)
    geometry, task, stalls = tile.geometry, tile.case.task, tile.case.stalls
    sums = lut_row(task, geometry.value_format, geometry.sum_format)
    case = make_case(tile.case.name, task, stalls, sums, row_timing(tile))
    law_changed = any(not np.array_equal(case.transfers[name], old) for name, old in tile.case.transfers.items())
    waveform = None if vcd is None else Path(vcd)
    try:
        response = chosen.run(row_unit(geometry), [case.stimulus(geometry)], vcd=waveform)[0]
        difference, cycles = first_difference(case, geometry, response), response.cycles_total
    except SimulatorError as error:
        difference, cycles = misbehaviour(error)[1], 0
    reference_changed = not np.array_equal(sums, tile.case.sums)
    return ReplayResult(tile, chosen.name, difference, cycles, reference_changed, law_changed)


def row_timing(tile: FailingTile) -> LutRowTiming:
    """The cycle law of a tile's row."""
    geometry = tile.geometry
    return LutRowTiming(
        k=geometry.k,
        lanes=geometry.lanes,
        build_latency_cycles=geometry.build_latency_cycles,
        adder_latency_cycles=geometry.adder_latency_cycles,
        tree_registers=geometry.tree_registers,
    )
