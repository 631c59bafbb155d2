"""What every RTL simulator offers, and the checks of a stimulus that all of them share."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from rtl_models.errors import InputError
from rtl_models.units import Response, Stimulus, Stream, Unit, Words

RESET_CYCLES = 2
DRAIN_CYCLES = 32
"""Cycles run after the last expected transfer, with every sink ready, to see that nothing more comes out."""


class SimulatorError(RuntimeError):
    """The simulated unit misbehaved or could not be built: the unit's name, and what happened."""

    def __init__(self, unit: str, problem: str) -> None:
        super().__init__(unit, problem)

    def __str__(self) -> str:
        unit, problem = self.args
        return f"{unit}: {problem}"


class Simulator(Protocol):
    """Runs units from reset with ready/valid stimuli, each stimulus after a reset of its own.

    A source offers its next beat in the first cycle after its previous transfer whose `valid` flag is 1, and holds it
    until it is taken; a sink is ready in the cycles whose `ready` flag is 1; beyond a pattern's end all flags are 1.
    """

    @property
    def name(self) -> str:
        """Name by which a user asks for this simulator."""

    def run(self, unit: Unit, stimuli: Sequence[Stimulus], vcd: Path | None = None) -> list[Response]:
        """Run every stimulus and return the responses in order; `vcd` writes the waveform of a single one.

        Raises InputError for a stimulus that does not fit the unit; SimulatorError where the unit hangs, sends more
        beats than expected, or cannot be built.
        """


def check_stimuli(unit: Unit, stimuli: Sequence[Stimulus], vcd: Path | None) -> None:
    """Raise InputError unless every stimulus has the unit's streams, fields and word counts."""
    if vcd is not None and len(stimuli) != 1:
        raise InputError("number of stimuli with a waveform", unit.name, len(stimuli), "1")
    inputs, outputs = {s.name for s in unit.inputs}, {s.name for s in unit.outputs}
    words = [(s, {f.name: -(-f.width_bits // 64) for f in s.fields}) for s in unit.inputs]
    for number, stimulus in enumerate(stimuli):
        if stimulus.beats.keys() != inputs or stimulus.outputs.keys() != outputs:
            where = f"{unit.name}, stimulus {number}"
            _check_names(where, "input streams", stimulus.beats, [s.name for s in unit.inputs])
            _check_names(where, "output streams", stimulus.outputs, [s.name for s in unit.outputs])
        for stream, widths in words:
            _check_payload(unit, number, stream, widths, stimulus.beats[stream.name])


def _check_names(where: str, what: str, got: Collection[str], allowed: list[str]) -> None:
    if set(got) != set(allowed):
        raise InputError(what, where, sorted(got), ", ".join(allowed))


def _check_payload(unit: Unit, number: int, stream: Stream, widths: dict[str, int], fields: dict[str, Words]) -> None:
    where = f"{unit.name}, stimulus {number}"
    if fields.keys() != widths.keys():
        _check_names(where, f"fields of {stream.name}", fields, list(widths))
    beats = len(fields[stream.fields[0].name])
    for name, words in widths.items():
        payload = fields[name]
        if payload.shape != (beats, words) or payload.dtype != np.uint64:
            got = f"{payload.dtype}{list(payload.shape)}"
            raise InputError(f"payload of {stream.name}.{name}", where, got, f"uint64{[beats, words]}")


def hang_report(cycle: int, waiting: Sequence[tuple[str, int, int]]) -> str:
    """Return the watchdog's words: the cycle, and each stream that waits as (name, beats done, beats expected)."""
    streams = ", ".join(f"{name} ({done} of {expected} beats)" for name, done, expected in waiting)
    return f"no transfer since cycle {cycle}; waiting: {streams}"


def surplus_report(cycle: int, stream: str, expected: int) -> str:
    """Return the words for a beat that nobody expects."""
    return f"stream {stream} sends more than the {expected} expected beats, in cycle {cycle}"
