"""Co-simulation of a traced step: reference, RTL simulators and cycle laws against each other, in one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from rtl_models.simulators import available_simulators, simulator_by_name
from rtl_models.simulators.children import Children
from tlm.config import Config
from tlm.cosim.builds import build_all
from tlm.cosim.engine import Engine
from tlm.cosim.everything import Setting, run_everything
from tlm.cosim.hardware import UnitMaker
from tlm.cosim.journal import Journal, run_identity
from tlm.cosim.keys import StreamCount
from tlm.cosim.prepare import sample_cases
from tlm.cosim.result import CosimResult, Failure, tile_path, verdicts
from tlm.cosim.runner import Failing, Outcome, Prepared, run_cases
from tlm.cosim.sample import strata
from tlm.cosim.tile_file import FailingTile, write_tile
from tlm.cosim.under_test import UnderTest
from tlm.cosim.units import ENGINES, HARDWARE, open_engines
from tlm.rtl_geometry import check_has_rtl
from tlm.trace_config import check_fits, config_for_trace
from workloads.trace_file import Trace, open_trace

MODES = ("sample", "all")
SAMPLE_STREAMS = 40
MYHDL_CYCLES_PER_S = 350  # a row of 16 lanes on one core, measured (docs/cosim.md)
_PROCESSES = 2  # of MyHDL side by side

Progress = Callable[[int, int], None]
"""Called with (cycles done, cycles in all) as a long co-simulation goes on."""


_WindowPart = tuple[Any, UnderTest, list[Prepared]]
"""Geometry, what is under test, and the windows, as `run_cases` takes them."""


@dataclass(frozen=True)
class _Plan:
    """Which simulator runs whole streams, and whether MyHDL runs windows of them."""

    streams: str | None
    windows: bool

    @property
    def simulators(self) -> tuple[str, ...]:
        names = ([self.streams] if self.streams else []) + (["myhdl"] if self.windows else [])
        return tuple(dict.fromkeys(names))


def cosimulate(
    trace: str | Path,
    config: Config | None = None,
    mode: str = "sample",
    simulator: str = "auto",
    sample_seed: int = 0,
    progress: Progress | None = None,
    out: str | Path | None = None,
    units: Mapping[str, UnitMaker] | None = None,
    verilog: Mapping[str, str | Path] | None = None,
    sample_streams: int = SAMPLE_STREAMS,
) -> CosimResult:
    """Co-simulate streams of the trace file `trace` and compare every bit and the cycle of every transfer.

    `mode` "sample" picks about `sample_streams` streams by `sample_seed`; "all" runs every one, and goes on where an
    interrupted run of the same work was. `simulator` "auto" is Verilator for streams and MyHDL for windows of some of
    them; "verilator" or "myhdl" is that one alone. Part of the streams runs under random stalls. The first mismatch
    ends the run and is written as a tile file into folder `out` (None: not written). Without `config` the preset
    h2learn is used with the trace's arithmetic. `units` (functions from a geometry to a unit) and `verilog` (files for
    Verilator with a module ``unit``) take the place of our hardware, by its name.

    Raises InputError for a file that is not a trace, a configuration of another arithmetic or of hardware that cannot
    be, an unknown mode, unit or simulator, a missing one asked for by name, and "all" where only MyHDL is there and was
    not asked for by name; SimulatorError where a simulator cannot be built or its processes die.
    """
    if mode not in MODES:
        raise InputError("unknown mode", "cosim", mode, ", ".join(MODES))
    if sample_streams < 1:
        raise InputError("number of streams in the sample", "cosim", sample_streams, "1 or more")
    if sample_seed < 0:
        raise InputError("wrong value", "cosim: sample seed", sample_seed, "a whole number >= 0")
    under_test = UnderTest(units or {}, {name: Path(path) for name, path in (verilog or {}).items()})
    with open_trace(trace) as opened:
        if config is None:
            config = config_for_trace(opened.arithmetic)
        check_fits(config, opened)
        check_has_rtl(config)
        engines = open_engines(opened, config)
        counts = [engine.count(layer) for engine in engines.values() for layer in engine.layers]
        plan = _plan(simulator, mode, counts)
        result = CosimResult(
            trace_digest=opened.digest,
            network=opened.network.name,
            config=config.name,
            mode=mode,
            sample_seed=sample_seed,
            simulators=plan.simulators,
            available=[asdict(count) for count in counts],
        )
        _note_limits(result, plan, simulator, mode, opened)
        setting = Setting(Path(trace), config, str(plan.streams), sample_seed, under_test)
        run = _Run(opened, engines, setting, plan, progress)
        outcome = run.everything(result) if mode == "all" else run.sample(result, sample_streams)
        _conclude(result, outcome, opened, out)
        return result


@dataclass
class _Run:
    """One co-simulation under way."""

    trace: Trace
    engines: dict[str, Engine]
    setting: Setting
    plan: _Plan
    progress: Progress | None

    def sample(self, result: CosimResult, streams: int) -> Outcome:
        """Run a seeded sample: MyHDL on windows while Verilator builds and runs whole streams."""
        with _timed(result, "reference"):
            cases = sample_cases(self.engines, streams, self.setting.seed)
        if self.plan.streams is None:  # then the windows carry what the trace holds of their streams
            by_key = {entry.key: entry.expectation for entry in cases.streams}
            cases = replace(cases, windows=[replace(entry, expectation=by_key[entry.key]) for entry in cases.windows])
        outcome = Outcome()
        started = time.perf_counter()
        with self._windows_started(cases.windows if self.plan.windows else []) as waiting:
            if self.plan.streams:
                self._build(result)
                with _timed(result, self.plan.streams):
                    self._run_streams(outcome, [*cases.streams, *cases.windows])
            for future in waiting:
                outcome.add(future.result())
            if waiting:
                result.seconds["myhdl"] = time.perf_counter() - started
        return outcome

    def everything(self, result: CosimResult) -> Outcome:
        """Run every stream; with `auto` a sample of windows in MyHDL first."""
        outcome = Outcome()
        if self.plan.windows:
            outcome.add(self.sample(result, len(strata(self.engines))))
        if outcome.failing is not None or self.plan.streams is None:
            return outcome
        self._build(result)
        with Journal(self._identity()) as journal, _timed(result, f"{self.plan.streams}, all streams"):
            if journal.done:
                result.notes.append(f"{len(journal.done)} jobs are taken over from a run that was interrupted")
            if not journal.recording:
                result.notes.append("the same co-simulation is under way elsewhere: this one cannot be resumed")
            every = run_everything(self.setting, self.engines, journal, self.progress)
        outcome.comparisons = [entry for entry in outcome.comparisons if entry.simulator != self.plan.streams]
        outcome.add(every)
        return outcome

    @contextmanager
    def _windows_started(self, windows: list[Prepared]) -> Iterator[list[Future[Outcome]]]:
        """Run windows in MyHDL meanwhile; those that still run at the end, because something failed, are stopped."""
        children = Children()
        with ThreadPoolExecutor(_PROCESSES) as pool:
            try:
                parts = dict(enumerate(self._window_parts(windows)))
                # the longest first: begun last, it would be waited for
                order = sorted(parts, key=lambda number: _law_cycles(parts[number]), reverse=True)
                run = {n: pool.submit(children.work, partial(run_cases, "myhdl", *parts[n])) for n in order}
                yield [run[number] for number in parts]
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                children.stop()

    def _window_parts(self, windows: list[Prepared]) -> Iterator[_WindowPart]:
        """The windows of each kind of hardware, in as many parts as run side by side if there are many."""
        for name, hardware in HARDWARE.items():
            if not self.setting.under_test.in_myhdl(hardware):
                continue
            own = [entry for entry in windows if entry.case.hardware.name == name]
            parts = _PROCESSES if len(own) > 2 * _PROCESSES else 1
            for start in range(parts if own else 0):
                geometry = hardware.short_geometry(self.engines[own[0].key.engine].geometry)
                yield geometry, self.setting.under_test, own[start::parts]

    def _build(self, result: CosimResult) -> None:
        """Build the Verilated units, if those run the streams, so that a failing build is told from a failing tile."""
        if self.plan.streams != "verilator":
            return
        wanted = {engine.hardware.name: (engine.hardware, engine.geometry) for engine in self._working()}
        with _timed(result, "build"):
            build_all(self.setting.under_test, wanted.values())

    def _run_streams(self, outcome: Outcome, prepared: list[Prepared]) -> None:
        """Run whole streams, unit by unit, up to the first that differs."""
        for name in HARDWARE:
            own = [entry for entry in prepared if entry.case.hardware.name == name]
            if own and outcome.failing is None:
                geometry = self.engines[own[0].key.engine].geometry
                outcome.add(run_cases(self.setting.simulator, geometry, self.setting.under_test, own))

    def _working(self) -> list[Engine]:
        """The engines that have work in this step."""
        return [engine for engine in self.engines.values() if engine.layers]

    def _identity(self) -> str:
        """Name of the journal of this work: trace, configuration, seed, simulator, hardware and programs."""
        setting = self.setting
        hardware = {engine.hardware.name: engine for engine in self._working()}
        units = [setting.under_test.identity(engine.hardware, engine.geometry) for engine in hardware.values()]
        config = setting.config.model_dump_json()
        return run_identity([self.trace.digest, config, str(setting.seed), setting.simulator, *units])


def _law_cycles(part: _WindowPart) -> int:
    """Cycles of all windows of a part, by the law."""
    return sum(window.case.law_cycles for window in part[2])


def _plan(simulator: str, mode: str, counts: list[StreamCount]) -> _Plan:
    """Choose the simulators; raises InputError for one that is unknown or missing, and for hours nobody asked for."""
    if simulator != "auto":
        simulator_by_name(simulator)
        if simulator == "myhdl" and mode == "sample":
            return _Plan(None, windows=True)
        return _Plan(simulator, windows=False)
    if "verilator" in available_simulators():
        return _Plan("verilator", windows=True)
    if mode == "all":
        hours = sum(count.cycles for count in counts) / MYHDL_CYCLES_PER_S / 3600
        what = (
            f"all tiles need Verilator, which is not installed (MyHDL asked for by name would take about {hours:.1f} h)"
        )
        raise InputError(what, "simulator", "auto", "verilator, myhdl")
    return _Plan(None, windows=True)


def _note_limits(result: CosimResult, plan: _Plan, simulator: str, mode: str, trace: Trace) -> None:
    """Say what this run leaves out."""
    if simulator == "auto" and plan.streams is None:
        result.notes.append("Verilator is not installed: MyHDL alone runs short windows of the sampled streams")
    if mode == "all" and simulator == "myhdl":
        hours = sum(int(count["cycles"]) for count in result.available) / MYHDL_CYCLES_PER_S / 3600
        result.notes.append(f"all tiles through MyHDL take about {hours:.1f} h on one core")
    if trace.skipped:
        result.notes.append(
            "the step held non-finite values, whose bits are unspecified: nothing is compared with the trace"
        )
    elif trace.origin:
        result.notes.append(
            f"the step was computed by {trace.origin}, not bit by bit as the machine does: operands are the trace's, "
            "and what the units make of them is compared with the reference alone"
        )


def _conclude(result: CosimResult, outcome: Outcome, trace: Trace, out: str | Path | None) -> None:
    """Fill in counts, verdicts and the failure, and write the failing tile."""
    result.comparisons = outcome.comparisons
    for entry in result.comparisons:
        entry.layer_name = trace.network.layers[entry.layer].name
    if outcome.failing is not None:
        result.failure = _write_failure(outcome.failing, trace, out)
    engines_of = {name: tuple(engine.name for engine in ENGINES if engine.hardware.name == name) for name in HARDWARE}
    result.units = verdicts(engines_of, result.comparisons, result.failure)


def _write_failure(failing: Failing, trace: Trace, out: str | Path | None) -> Failure:
    text = str(failing.difference)
    path = None
    if out is not None:
        path = tile_path(Path(out), failing.case.name, failing.simulator)
        tile = FailingTile(failing.geometry, failing.case, failing.simulator, text, trace.network.name, trace.digest)
        write_tile(tile, path)
    return Failure(
        failing.case.hardware.name, failing.case.name, failing.simulator, text, None if path is None else str(path)
    )


@contextmanager
def _timed(result: CosimResult, phase: str) -> Iterator[None]:
    """Book wall time to a phase of the result."""
    started = time.perf_counter()
    yield
    result.seconds[phase] = result.seconds.get(phase, 0.0) + time.perf_counter() - started
