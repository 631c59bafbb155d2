"""The simulation of a traced step in lock-step with hardware, against the same simulation without any."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from rtl_models.simulators import SimulatorError
from tlm.config import Config
from tlm.cosim.cases import Difference
from tlm.cosim.hardware import UnitMaker
from tlm.cosim.keys import StreamKey
from tlm.cosim.locked.backward import LockedBackwardUnit
from tlm.cosim.locked.row import LockedRow, RowWork
from tlm.cosim.stalls import Stalls
from tlm.cosim.under_test import UnderTest
from tlm.cosim.units.backward_unit import HARDWARE, Backward
from tlm.cosim.units.lut_row import Forward, LutEngine, WeightUpdate, row_timing
from tlm.engines.streams import Stream
from tlm.kernel.module import Module
from tlm.kernel.time import Clock
from tlm.rtl_geometry import check_has_rtl
from tlm.schedule.lut_jobs import LutJob
from tlm.simulation import SimulationResult, simulate
from tlm.trace_config import check_fits, config_for_trace
from workloads.trace_file import Trace, open_trace

WINDOW_TILES = 200
COMPARED = ("time_ps", "engines", "spans", "transfers", "dram_busy_ps", "work")
"""What of a `SimulationResult` must be the same in both runs: every time, stalls by reason, every DRAM transaction."""


@dataclass(frozen=True)
class LockedPart:
    """What one unit did in lock-step: tiles and results in the window, and the cycles it was clocked."""

    unit: str
    tiles: int
    results: int
    wrong_results: int
    cycles_run: int


@dataclass
class LockstepResult:
    """Outcome of a run in lock-step. Times are picoseconds.

    `differing` names what of the simulation's result is not that of the run without hardware; `failure` tells the
    first difference at a unit's ports, with tile and cycle.
    """

    trace_digest: str
    network: str
    config: str
    window_tiles: int
    parts: list[LockedPart] = field(default_factory=list)
    time_ps: int = 0
    unlocked_time_ps: int = 0
    differing: list[str] = field(default_factory=list)
    failure: str | None = None
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether hardware took part and nothing differs."""
        return self.failure is None and not self.differing and any(part.results for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self) | {"passed": self.passed}


class LockedChip:
    """The hardware of a chip in lock-step: one row of each LUT array and one backward unit, for their first tiles."""

    def __init__(self, trace: Trace, config: Config, window_tiles: int, under_test: UnderTest) -> None:
        self.rows: list[LockedRow] = []
        self.failure: str | None = None
        self._window_tiles = window_tiles
        self._under_test = under_test
        self.backward: LockedBackwardUnit | None = None
        self._backward = Backward(trace, config)
        self._engines: dict[str, LutEngine] = {e.name: e for e in (Forward(trace, config), WeightUpdate(trace, config))}

    def row(self, engine: str, array: Module, clock: Clock, jobs: Sequence[tuple[Stream, LutJob]]) -> LockedRow | None:
        """Return a Verilated row for the whole jobs that hold the window's tiles; None for an array without jobs."""
        window, tiles = [], 0
        for stream, job in jobs:
            if tiles >= self._window_tiles:
                break
            window.append((stream, job))
            tiles += len(job.tiles)
        if not window:
            return None
        source = self._engines[engine]
        unit = self._under_test.interactive(source.hardware, source.geometry)
        timing = row_timing(source.geometry)
        made = LockedRow(array, clock, timing, unit, window, self._work_of(source), self._report)
        self.rows.append(made)
        return made

    def backward_unit(self, engine: Module, clock: Clock) -> LockedBackwardUnit | None:
        """Return a Verilated backward unit for the first work items of unit 0; None for a network of one layer."""
        if not self._backward.layers:
            return None
        unit = self._under_test.interactive(HARDWARE, self._backward.geometry)
        self.backward = LockedBackwardUnit(engine, clock, unit, self._backward, self._window_tiles, self._report)
        return self.backward

    def parts(self) -> list[LockedPart]:
        """What the units did."""
        units: list[LockedRow | LockedBackwardUnit] = [*self.rows, *([] if self.backward is None else [self.backward])]
        return [LockedPart(u.name, u.tiles, u.results, u.wrong_results, u.unit.cycles_run) for u in units]

    def _work_of(self, engine: LutEngine) -> Any:
        def work(stream: Stream, job: LutJob) -> RowWork:
            layer, batch = stream.layer, stream.micro_batch.index
            block = engine.block_at(layer, batch, job.position_first)
            (entry,) = engine.expect(StreamKey(engine.name, layer, batch, job.row_first, block))
            if len(entry.trace_mismatches):
                number = int(entry.trace_mismatches[0])
                values = int(entry.from_results[number]), int(entry.in_trace[number])
                self._report(entry.name, Difference("trace", beat=number, expected=values[0], got=values[1]))
            stimulus = engine.hardware.stimulus(engine.geometry, entry.task, Stalls())
            return RowWork(stimulus, entry.results["data"])

        return work

    def _report(self, part: str, difference: Difference) -> None:
        if self.failure is None:
            self.failure = f"{part}: {difference}"


def lockstep(
    trace: str | Path,
    config: Config | None = None,
    window_tiles: int = WINDOW_TILES,
    units: Mapping[str, UnitMaker] | None = None,
    verilog: Mapping[str, str | Path] | None = None,
) -> LockstepResult:
    """Simulate the step of `trace` with one row of each LUT array and one backward unit as hardware, and without.

    window_tiles: each unit runs its first tiles, this many or as many more as complete the last job or group. units and
    verilog take the place of ours, as in `cosimulate`. Raises InputError for a file that is no trace, a configuration
    of another arithmetic, a window without a tile, or where Verilator is missing.
    """
    if window_tiles < 1:
        raise InputError("tiles of the window", "lockstep", window_tiles, "1 or more")
    files = {name: Path(path) for name, path in (verilog or {}).items()}
    began = time.perf_counter()
    with open_trace(trace) as opened:
        config = config_for_trace(opened.arithmetic) if config is None else config
        check_fits(config, opened)
        check_has_rtl(config)
        chip = LockedChip(opened, config, window_tiles, UnderTest(units or {}, files))
        result = LockstepResult(opened.digest, opened.network.name, config.name, window_tiles)
        unlocked = simulate(opened, config)
        result.unlocked_time_ps = unlocked.time_ps
        try:
            locked = simulate(opened, config, hardware=chip)
        except SimulatorError as error:
            result.failure = chip.failure or str(error)
        else:
            result.time_ps = locked.time_ps
            result.differing = differing(locked, unlocked)
            result.failure = chip.failure
    result.parts = chip.parts()
    result.seconds = time.perf_counter() - began
    return result


def differing(locked: SimulationResult, unlocked: SimulationResult) -> list[str]:
    """Return the names of what differs between two runs, of `COMPARED`."""
    return [name for name in COMPARED if getattr(locked, name) != getattr(unlocked, name)]
