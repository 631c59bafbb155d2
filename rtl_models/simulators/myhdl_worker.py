"""Worker process: runs the stimuli of one call on a unit in MyHDL's own simulator, in one simulation."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from myhdl import StopSimulation, block, delay, instance

from rtl_models.simulators.interface import DRAIN_CYCLES, RESET_CYCLES, hang_report, surplus_report
from rtl_models.simulators.ports import port_signals
from rtl_models.simulators.process import read_request, send_answer
from rtl_models.simulators.source_lookup import quick_source_lookup
from rtl_models.units import Field, Pattern, Response, Stimulus, Stream, Unit, Words

Delays = Generator[Any, None, Response]
HALF_PERIOD = 5  # time steps, so that waveforms look as those of the Verilated unit


class MisbehaviourError(Exception):
    """The unit hangs or sends too much: the report's words."""


class StreamDriver:
    """Source or sink of one stream for one stimulus."""

    def __init__(self, stream: Stream, signals: dict[str, Any], expected: int, pattern: Pattern | None) -> None:
        self.stream = stream
        self.valid = signals[f"{stream.name}_valid"]
        self.ready = signals[f"{stream.name}_ready"]
        self.ports = [signals[f"{stream.name}_{f.name}"] for f in stream.fields]
        self.expected = expected
        self.pattern = pattern if pattern is not None else np.zeros(0, np.uint8)
        self.transfers: list[int] = []

    def flag(self, cycle: int) -> bool:
        """Return the pattern's flag of a cycle."""
        return cycle >= len(self.pattern) or bool(self.pattern[cycle])


class Source(StreamDriver):
    """Offers the beats of an input stream."""

    def __init__(self, stream: Stream, signals: dict[str, Any], stimulus: Stimulus) -> None:
        payloads = [to_integers(stimulus.beats[stream.name][f.name], f) for f in stream.fields]
        super().__init__(stream, signals, len(payloads[0]), stimulus.valid.get(stream.name))
        self.payloads = payloads
        self.offered = False

    def before_edge(self, cycle: int) -> None:
        """Drive the ports of this cycle."""
        if self.offered:
            return
        beat = len(self.transfers)
        if beat < self.expected and self.flag(cycle):
            self.offered = True
            for port, payload in zip(self.ports, self.payloads, strict=True):
                port.next = payload[beat]
        elif beat:  # a payload that is not valid is hostile
            for port, payload in zip(self.ports, self.payloads, strict=True):
                port.next = payload[beat - 1] ^ ((1 << len(port)) - 1)
        self.valid.next = self.offered

    def sample(self, cycle: int) -> bool:
        """Record a transfer, if there is one."""
        if not (self.offered and self.ready):
            return False
        self.transfers.append(cycle)
        self.offered = False
        return True


class Sink(StreamDriver):
    """Takes the beats of an output stream."""

    def __init__(self, stream: Stream, signals: dict[str, Any], stimulus: Stimulus) -> None:
        super().__init__(stream, signals, stimulus.outputs[stream.name], stimulus.ready.get(stream.name))
        self.values: list[list[int]] = []

    def before_edge(self, cycle: int) -> None:
        """Drive the ready port of this cycle."""
        self.ready.next = self.flag(cycle)

    def sample(self, cycle: int) -> bool:
        """Record a transfer, if there is one."""
        if not (self.valid and self.flag(cycle)):
            return False
        if len(self.transfers) == self.expected:
            raise MisbehaviourError(surplus_report(cycle, self.stream.name, self.expected))
        self.values.append([int(port) for port in self.ports])
        self.transfers.append(cycle)
        return True


def to_integers(words: Words, field: Field) -> list[int]:
    """Return each beat's value of a field, masked to its width."""
    mask = (1 << field.width_bits) - 1
    return [int.from_bytes(beat.tobytes(), "little") & mask for beat in words.astype("<u8")]


def to_words(values: Sequence[int], field: Field) -> Words:
    """Return values as [beats, words] of 64 bits, least significant word first."""
    words = -(-field.width_bits // 64)
    raw = b"".join(v.to_bytes(8 * words, "little") for v in values)
    return np.frombuffer(raw, "<u8").reshape(len(values), words).astype(np.uint64)


def run_stimulus(unit: Unit, signals: dict[str, Any], stimulus: Stimulus, watchdog_cycles: int) -> Delays:
    """Reset the unit and drive one stimulus; a generator of MyHDL delays that returns the Response."""
    sources = [Source(s, signals, stimulus) for s in unit.inputs]
    sinks = [Sink(s, signals, stimulus) for s in unit.outputs]
    drivers: list[Source | Sink] = [*sinks, *sources]
    clk, rst = signals["clk"], signals["rst"]
    rst.next = 1
    for driver in drivers:
        (driver.valid if isinstance(driver, Source) else driver.ready).next = 0
    for _ in range(RESET_CYCLES):
        clk.next = 0
        yield delay(HALF_PERIOD)
        clk.next = 1
        yield delay(HALF_PERIOD)
    rst.next = 0
    patterns_end = max(len(d.pattern) for d in drivers)
    last_transfer, cycle = -1, 0
    end = DRAIN_CYCLES if all(d.expected == 0 for d in drivers) else None
    while cycle != end:
        for driver in drivers:
            driver.before_edge(cycle)
        clk.next = 0
        yield delay(HALF_PERIOD)
        if sum(driver.sample(cycle) for driver in drivers):
            last_transfer = cycle
            if all(len(d.transfers) == d.expected for d in drivers):
                end = cycle + 1 + DRAIN_CYCLES
        elif end is None and cycle > patterns_end and cycle - last_transfer > watchdog_cycles:
            waiting = [(d.stream.name, len(d.transfers), d.expected) for d in (*sources, *sinks)]
            raise MisbehaviourError(hang_report(last_transfer, [w for w in waiting if w[1] < w[2]]))
        clk.next = 1
        yield delay(HALF_PERIOD)
        cycle += 1
    return Response(
        payloads={
            s.stream.name: {f.name: to_words([v[n] for v in s.values], f) for n, f in enumerate(s.stream.fields)}
            for s in sinks
        },
        transfers={d.stream.name: np.array(d.transfers, np.int64) for d in (*sources, *sinks)},
        cycles_total=last_transfer + 1,
    )


def simulate(unit: Unit, stimuli: Sequence[Stimulus], vcd: Path | None, watchdog_cycles: int) -> list[Response] | str:
    """Run all stimuli in one simulation; return the responses, or the words of what the unit did wrong."""
    responses: list[Response] = []
    wrong: list[str] = []

    @block
    def bench() -> Any:
        signals = port_signals(unit)
        device = unit.block(**signals, **unit.parameters)

        @instance
        def drive() -> Iterator[Any]:
            for number, stimulus in enumerate(stimuli):
                try:
                    responses.append((yield from run_stimulus(unit, signals, stimulus, watchdog_cycles)))
                except MisbehaviourError as problem:
                    wrong.append(f"stimulus {number}: {problem}")
                    break
            raise StopSimulation

        return device, drive

    simulation = bench()
    if vcd is not None:
        vcd.unlink(missing_ok=True)
        simulation.config_sim(
            trace=True, tracebackup=False, timescale="1ps", directory=str(vcd.absolute().parent), filename=vcd.stem
        )
    simulation.run_sim(quiet=1)
    if vcd is not None:
        simulation.quit_sim()
        vcd.absolute().parent.joinpath(f"{vcd.stem}.vcd").replace(vcd)
    return wrong[0] if wrong else responses


def main() -> None:
    """Answer one request (unit, stimuli, vcd, watchdog_cycles)."""
    request = read_request()
    # MyHDL prints; standard output carries the answer
    with contextlib.redirect_stdout(sys.stderr), quick_source_lookup():
        answer = simulate(*request)
    send_answer(answer)


if __name__ == "__main__":
    main()
