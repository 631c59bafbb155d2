"""Runs cases on one simulator and compares them; stops at the first that differs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rtl_models.simulators import Simulator, SimulatorError
from rtl_models.units import Response, Stimulus, Unit
from tlm.cosim.cases import Case, Difference, count_differences, first_difference
from tlm.cosim.engine import Expectation
from tlm.cosim.keys import StreamKey
from tlm.cosim.result import Comparison, merge
from tlm.cosim.under_test import UnderTest

_MISBEHAVIOUR = re.compile(r"stimulus (\d+): (.*)", re.DOTALL)


@dataclass(frozen=True)
class Prepared:
    """A case of the stream `key`; with the stream's `expectation`, its values are compared with the trace as well."""

    key: StreamKey
    case: Case
    expectation: Expectation | None = None


@dataclass(frozen=True)
class Failing:
    """A case that differs, and its first difference."""

    key: StreamKey
    case: Case
    simulator: str
    geometry: Any
    difference: Difference


@dataclass
class Outcome:
    """Counts per engine and layer, and the first failing case (the counts end with it)."""

    comparisons: list[Comparison] = field(default_factory=list)
    failing: Failing | None = None

    def add(self, other: Outcome) -> None:
        """Add another outcome's counts; the first failing case stays."""
        self.comparisons = merge([*self.comparisons, *other.comparisons])
        self.failing = self.failing or other.failing


def run_cases(simulator: str, geometry: Any, under_test: UnderTest, prepared: Sequence[Prepared]) -> Outcome:
    """Run `prepared` cases of one kind of hardware in one call; compare results, trace values and all transfers.

    A unit that hangs or sends too much fails with what the simulator says. Raises SimulatorError where the unit cannot
    be built or the simulator itself fails.
    """
    outcome = Outcome()
    if not prepared:
        return outcome
    hardware = prepared[0].case.hardware
    chosen, unit = under_test.simulator(hardware, simulator), under_test.unit(hardware, geometry)
    stimuli = [entry.case.stimulus(geometry) for entry in prepared]
    for entry, response in zip(prepared, run_all(chosen, unit, stimuli), strict=False):
        difference, count = _compare(simulator, geometry, entry, response)
        outcome.comparisons.append(count)
        if difference is not None:
            outcome.failing = Failing(entry.key, entry.case, simulator, geometry, difference)
            break
    outcome.comparisons = merge(outcome.comparisons)
    return outcome


def run_all(simulator: Simulator, unit: Unit, stimuli: list[Stimulus]) -> list[Response | Difference]:
    """Run all stimuli in one call; where one misbehaves, again those before it, and what the simulator says of it."""
    try:
        return list(simulator.run(unit, stimuli))
    except SimulatorError as error:
        number, difference = misbehaviour(error)
        return [*simulator.run(unit, stimuli[:number]), difference]


def misbehaviour(error: SimulatorError) -> tuple[int, Difference]:
    """Return under which stimulus a unit hung or sent too much, and the words; raises `error` if it tells of none."""
    match = _MISBEHAVIOUR.fullmatch(str(error.args[1]))
    if match is None:  # not the unit but the simulator failed, or was interrupted
        raise error
    return int(match[1]), Difference("behaviour", text=match[2])


def _compare(
    simulator: str, geometry: Any, entry: Prepared, response: Response | Difference
) -> tuple[Difference | None, Comparison]:
    """Compare one response; returns the first difference and the counts."""
    case = entry.case
    tiles = case.hardware.tiles(case.task)
    count = Comparison(entry.key.engine, entry.key.layer, "", simulator, streams=1, tiles=tiles)
    count.stalled_streams = int(bool(case.stalls))
    count.results = case.values
    if isinstance(response, Difference):
        count.mismatched_results = case.values
        return response, count
    count.transfers = case.beats
    wrong = count_differences(case, geometry, response)
    count.mismatched_results, count.mismatched_bits, count.mismatched_transfers = wrong
    count.law_cycles, count.measured_cycles = case.law_cycles, response.cycles_total
    difference = first_difference(case, geometry, response)
    if entry.expectation is not None:
        count.trace_results = len(entry.expectation.in_trace)
        count.mismatched_trace_results = len(entry.expectation.trace_mismatches)
        difference = difference or trace_difference(entry.expectation)
    return difference, count


def trace_difference(expectation: Expectation) -> Difference | None:
    """Return the first value that differs from the trace's, or None."""
    wrong = expectation.trace_mismatches
    if not len(wrong):
        return None
    value = int(wrong[0])
    return Difference("trace", "", value, int(expectation.from_results[value]), int(expectation.in_trace[value]))
