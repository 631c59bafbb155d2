"""`chip.vcd`: engine states, channels, buffers and DRAM channels as a waveform, for viewers of hardware signals.

Times are picoseconds, as in the waveforms of the RTL units. Every change is there, unless a signal changes so often
that the file would grow without bound: then the signal is the largest value of equal stretches, and its name says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from pathlib import Path
from typing import Any

from vcd import VCDWriter
from vcd.writer import Variable

from tlm.kernel.account import State
from tlm.report.buffer_use import buffer_use
from tlm.report.counters import busy_share, queue_lengths, transactions_under_way
from tlm.report.steps import Steps, in_bins, total
from tlm.simulation import SimulationResult
from workloads.atomic import replacing
from workloads.network import Network

MOST_CHANGES = 200_000  # of one signal, about 5 MB
STATES = {State.STARVED: 0, State.BLOCKED: 1, State.BUSY: 2}
"""Values of the signals `code`."""


@dataclass(frozen=True)
class _Signal:
    """A signal of the file, and its changes as (time_ps, value)."""

    scope: str
    name: str
    kind: str
    bits: int | None
    changes: Iterable[tuple[int, Any]]


def write_waveform(result: SimulationResult, network: Network, path: Path) -> None:
    """Write the waveform of a simulated step to `path`, whole or not at all.

    The result needs its occupancy (`simulate(..., occupancy=True)`) for more than the engines' states and DRAM
    transactions under way. Raises InputError if the file cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="ascii") as file:
        writer = VCDWriter(file, timescale="1 ps", date="", comment=f"h2learn: one training step of {network.name!a}")
        streams = [_registered(writer, number, signal) for number, signal in enumerate(_signals(result, network))]
        for time_ps, _, variable, value in merge(*streams, key=lambda change: change[:2]):
            writer.change(variable, time_ps, value)
        writer.close(result.time_ps)


def _registered(writer: VCDWriter, number: int, signal: _Signal) -> Iterator[tuple[int, int, Variable[Any], Any]]:
    changes = iter(signal.changes)
    _, first = next(changes)
    variable = writer.register_var(signal.scope, signal.name, signal.kind, signal.bits, init=first)
    return ((time_ps, number, variable, value) for time_ps, value in changes)


def _signals(result: SimulationResult, network: Network) -> Iterator[_Signal]:
    """All signals; each is known from time 0 on."""
    occupancy, end_ps = result.occupancy, result.time_ps
    levels = {} if occupancy is None else occupancy.levels
    scopes = {scope.rpartition(".")[2]: scope for scope in (name.rpartition(".")[0] for name in levels)}
    for engine, intervals in result.intervals.items():
        scope = scopes.get(engine, f"chip.{engine}")
        yield _Signal(scope, "code", "reg", 2, [(i.start_ps, STATES[i.state]) for i in intervals])
        yield _Signal(scope, "activity", "string", None, [(i.start_ps, i.activity) for i in intervals])
    for name, part in levels.items():
        scope, _, base = name.rpartition(".")
        yield _integer(scope, f"{base}_{part.unit}", Steps(part.times_ps, part.levels), end_ps)
    for command, steps in transactions_under_way(result).items():
        yield _integer("chip.dram", f"{command}_under_way", steps, end_ps)
    if occupancy is None:
        return
    for buffer, kinds in buffer_use(result, occupancy, network).items():
        for kind, steps in [("all", total(kinds.values())), *kinds.items()]:
            yield _integer(f"chip.buffers.{buffer}", f"{kind.replace(' ', '_')}_bytes", steps, end_ps)
    for number, load in enumerate(occupancy.dram):
        queues = {f"{name}_queued": steps for name, steps in queue_lengths(load).items()}
        for name, steps in {"busy_share": busy_share(load), **queues}.items():
            yield _Signal(f"chip.dram.channel{number}", name, "real", None, _changes(steps, end_ps))


def _integer(scope: str, name: str, steps: Steps, end_ps: int) -> _Signal:
    if len(steps.values) > MOST_CHANGES:
        steps, name = in_bins(steps, end_ps, MOST_CHANGES)[1], f"{name}_most"
    bits = max(1, int(steps.values.max()).bit_length())
    return _Signal(scope, name, "reg", bits, _changes(steps, end_ps))


def _changes(steps: Steps, end_ps: int) -> Iterator[tuple[int, Any]]:
    known = total([steps])  # from 0 on
    pairs = zip(known.times_ps.tolist(), known.values.tolist(), strict=True)
    return ((time_ps, value) for time_ps, value in pairs if time_ps <= end_ps)
