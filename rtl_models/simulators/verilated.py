"""The Verilated simulator: every stimulus of a call runs inside one call of the shared object."""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl_models.simulators.build import build_unit
from rtl_models.simulators.interface import (
    DRAIN_CYCLES,
    RESET_CYCLES,
    SimulatorError,
    check_stimuli,
    hang_report,
    surplus_report,
)
from rtl_models.simulators.wrapper import Variant
from rtl_models.units import Response, Stimulus, Stream, Unit

HUNG, SURPLUS = 1, 2  # Outcome in batch_driver.h
INITIAL_BITS_SEED = 1


class _StreamArrays(ctypes.Structure):
    _fields_ = (
        ("fields", ctypes.c_void_p),
        ("beat_offsets", ctypes.c_void_p),
        ("pattern", ctypes.c_void_p),
        ("pattern_offsets", ctypes.c_void_p),
        ("transfers", ctypes.c_void_p),
    )


class VerilatorSimulator:
    """Runs units as compiled by Verilator; builds them on first use into the user's cache."""

    name = "verilator"

    def __init__(self, watchdog_cycles: int = 10_000) -> None:
        self.watchdog_cycles = watchdog_cycles
        """Cycles without any transfer, beyond all patterns, after which a unit counts as hung."""

    def run(self, unit: Unit, stimuli: Sequence[Stimulus], vcd: Path | None = None) -> list[Response]:
        """Run all stimuli in one call; see `Simulator.run`."""
        check_stimuli(unit, stimuli, vcd)
        if not stimuli:
            return []
        return self.run_library(build_unit(unit, Variant(traced=vcd is not None)), unit, stimuli, vcd)

    def run_library(
        self, library: Path, unit: Unit, stimuli: Sequence[Stimulus], vcd: Path | None = None
    ) -> list[Response]:
        """Run all stimuli on an already built shared object of `unit`."""
        shared, model = _load(library)
        streams = (*unit.inputs, *unit.outputs)
        packed = [_PackedStream(stream, n < len(unit.inputs), stimuli) for n, stream in enumerate(streams)]
        table = (_StreamArrays * len(streams))(*(p.pointers() for p in packed))
        cycles_total = np.zeros(len(stimuli), np.int64)
        verdict = np.zeros(4 + len(streams), np.int64)
        shared.batch_run(
            model,
            ctypes.c_int64(len(stimuli)),
            ctypes.byref(table),
            ctypes.c_int64(self.watchdog_cycles),
            ctypes.c_int(RESET_CYCLES),
            ctypes.c_int(DRAIN_CYCLES),
            ctypes.c_void_p(cycles_total.ctypes.data),
            ctypes.c_void_p(verdict.ctypes.data),
            str(vcd).encode() if vcd is not None else None,
        )
        _raise_for(verdict, unit, packed)
        return [
            Response(
                payloads={p.stream.name: p.payload(n) for p in packed[len(unit.inputs) :]},
                transfers={p.stream.name: p.transfers[p.beats[n]] for p in packed},
                cycles_total=cycles,
            )
            for n, cycles in enumerate(cycles_total.tolist())
        ]


class _PackedStream:
    """One stream's arrays of all stimuli, end to end."""

    def __init__(self, stream: Stream, is_input: bool, stimuli: Sequence[Stimulus]) -> None:
        self.stream = stream
        name = stream.name
        first = stream.fields[0].name
        beats = [len(s.beats[name][first]) if is_input else s.outputs[name] for s in stimuli]
        patterns = [(s.valid if is_input else s.ready).get(name) for s in stimuli]
        self.beat_offsets = _offsets(beats)
        offsets = self.beat_offsets.tolist()
        self.beats = [slice(*ends) for ends in itertools.pairwise(offsets)]
        """Of each stimulus."""
        self.pattern_offsets = _offsets([0 if p is None else len(p) for p in patterns])
        flags = [np.asarray(p, np.uint8) for p in patterns if p is not None]
        self.pattern = np.concatenate(flags) if flags else np.zeros(0, np.uint8)
        total = int(self.beat_offsets[-1])
        self.transfers = np.full(total, -1, np.int64)
        self.fields: list[NDArray[np.uint64]] = []
        for field in stream.fields:
            if is_input:
                self.fields.append(np.concatenate([s.beats[name][field.name] for s in stimuli]))
            else:
                self.fields.append(np.zeros((total, -(-field.width_bits // 64)), np.uint64))
        self._field_pointers = (ctypes.c_void_p * len(self.fields))(*(f.ctypes.data for f in self.fields))

    def pointers(self) -> _StreamArrays:
        return _StreamArrays(
            ctypes.addressof(self._field_pointers),
            self.beat_offsets.ctypes.data,
            self.pattern.ctypes.data,
            self.pattern_offsets.ctypes.data,
            self.transfers.ctypes.data,
        )

    def payload(self, stimulus: int) -> dict[str, NDArray[np.uint64]]:
        beats = self.beats[stimulus]
        return {f.name: words[beats] for f, words in zip(self.stream.fields, self.fields, strict=True)}


def _offsets(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


@functools.cache
def _load(library: Path) -> tuple[Any, Any]:
    """Load a shared object once and construct its model, with random bits in every register."""
    shared = ctypes.CDLL(str(library))
    shared.batch_construct.restype = ctypes.c_void_p
    shared.batch_run.restype = None
    return shared, ctypes.c_void_p(shared.batch_construct(INITIAL_BITS_SEED))


def _raise_for(verdict: NDArray[np.int64], unit: Unit, packed: list[_PackedStream]) -> None:
    outcome, stimulus, cycle, stream = (int(v) for v in verdict[:4])
    expected = [0 if outcome == 0 else p.beats[stimulus].stop - p.beats[stimulus].start for p in packed]
    where = f"stimulus {stimulus}: "
    if outcome == HUNG:
        done = [int(v) for v in verdict[4:]]
        waiting = [(p.stream.name, d, e) for p, d, e in zip(packed, done, expected, strict=True) if d < e]
        raise SimulatorError(unit.name, where + hang_report(cycle, waiting))
    if outcome == SURPLUS:
        raise SimulatorError(unit.name, where + surplus_report(cycle, packed[stream].stream.name, expected[stream]))
