"""Runs a failing tile's file again, with a waveform if wanted; and any tiles through any unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtl_models.simulators import SimulatorError, simulator_by_name
from rtl_models.units import Response
from tlm.cosim.cases import Difference, first_difference, make_case
from tlm.cosim.hardware import UnitMaker
from tlm.cosim.runner import misbehaviour, run_all
from tlm.cosim.tile_file import FailingTile, Tile, read_tile
from tlm.cosim.under_test import UnderTest


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


@dataclass(frozen=True)
class TileResult:
    """What became of one tile: its name, the first difference (None: all equal), and the cycles that it took."""

    name: str
    difference: Difference | None
    cycles: int


def cosim(
    tiles: Sequence[Tile],
    unit: UnitMaker | None = None,
    simulator: str = "auto",
    verilog: str | Path | None = None,
) -> list[TileResult]:
    """Run tiles of any kinds of hardware and compare each with its reference results and cycles.

    unit: takes the place of our unit: a function from a geometry to a `rtl_models.units.Unit`. verilog: a file with a
    Verilog module ``unit`` of that unit's ports, run by Verilator. Both are for tiles of one kind.

    Raises InputError for a simulator that is unknown, missing or unable to run it, a file that cannot be read, a tile
    that does not fit; SimulatorError where something cannot be built, with the log.
    """
    results: list[TileResult] = []
    for tile in tiles:
        hardware = tile.case.hardware
        name = {hardware.name: Path(verilog)} if verilog is not None else {}
        under_test = UnderTest({} if unit is None else {hardware.name: unit}, name)
        chosen = "verilator" if verilog is not None and simulator == "auto" else simulator_by_name(simulator).name
        made = under_test.unit(hardware, tile.geometry)
        stimulus = tile.case.stimulus(tile.geometry)
        response = run_all(under_test.simulator(hardware, chosen), made, [stimulus])[0]
        if isinstance(response, Response):
            difference = first_difference(tile.case, tile.geometry, response)
            results.append(TileResult(tile.case.name, difference, response.cycles_total))
        else:
            results.append(TileResult(tile.case.name, response, 0))
    return results


def replay(
    path: str | Path,
    simulator: str = "auto",
    vcd: str | Path | None = None,
    unit: UnitMaker | None = None,
    verilog: str | Path | None = None,
) -> ReplayResult:
    """Run the tile in the file `path` on `simulator` and compare it with today's reference and law.

    `vcd` writes the waveform; `unit` or `verilog` take the place of our unit. Raises InputError for a file that is not
    a tile and for an unknown or missing simulator.
    """
    tile = read_tile(path)
    name = simulator_by_name("verilator" if verilog is not None and simulator == "auto" else simulator).name
    hardware, geometry, old = tile.case.hardware, tile.geometry, tile.case
    files = {} if verilog is None else {hardware.name: Path(verilog)}
    under_test = UnderTest({} if unit is None else {hardware.name: unit}, files)
    chosen = under_test.simulator(hardware, name)
    case = make_case(old.name, hardware, geometry, old.task, old.stalls)
    law_changed = any(not np.array_equal(case.transfers[stream], cycles) for stream, cycles in old.transfers.items())
    changed = any(not np.array_equal(case.results[field], values) for field, values in old.results.items())
    waveform = None if vcd is None else Path(vcd)
    try:
        response = chosen.run(under_test.unit(hardware, geometry), [case.stimulus(geometry)], vcd=waveform)[0]
        difference, cycles = first_difference(case, geometry, response), response.cycles_total
    except SimulatorError as error:
        difference, cycles = misbehaviour(error)[1], 0
    return ReplayResult(tile, name, difference, cycles, changed, law_changed)
