"""Prepares the cases of a sample: whole streams, free-running and stalled, and the short windows cut from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlm.cosim.cases import Case, make_case
from tlm.cosim.engine import Engine, Expectation
from tlm.cosim.runner import Prepared
from tlm.cosim.sample import sample_keys
from tlm.cosim.stalls import Stalls, random_stalls, stream_rng

WINDOW_CYCLES = 1200
"""Cycles by law after which no second windows are cut: some 5 s of MyHDL on two cores for a row of 16 lanes."""
STALLED_SHARE = 0.25
"""Share of the streams under stalls when all are run."""
_LEAST_CYCLES = 16


@dataclass(frozen=True)
class SampleCases:
    """Whole streams with what the trace holds of them, and windows of them."""

    streams: list[Prepared]
    windows: list[Prepared]


def sample_cases(engines: Mapping[str, Engine], streams: int, seed: int) -> SampleCases:
    """Prepare a seeded sample: every second stream of an engine and layer is stalled, the first two have windows.

    A layer with a single stream runs it twice, stalled and free. Of a stream in several parts the first one is run.
    """
    by_stratum: dict[tuple[str, int], list[Expectation]] = {}
    for key in sample_keys(engines, streams, seed):
        expectation = next(engines[key.engine].expect(key), None)  # none: every mask is empty
        if expectation is not None:
            by_stratum.setdefault((key.engine, key.layer), []).append(expectation)
    prepared = []
    for (name, _), expectations in by_stratum.items():
        twice = expectations * 2 if len(expectations) == 1 else expectations
        for number, expectation in enumerate(twice):
            case = whole_case(engines[name], expectation, seed, stalled=number % 2 == 0)
            prepared.append(Prepared(expectation.key, case, expectation))
    return SampleCases(prepared, _windows(engines, by_stratum, seed))


def whole_case(engine: Engine, expectation: Expectation, seed: int, stalled: bool | None = None) -> Case:
    """Return the case of a whole stream; `stalled` None draws it.

    Then the first stream of every second layer is stalled, that of the others is not, and `STALLED_SHARE` of the rest.
    """
    key = expectation.key
    rng = stream_rng(seed, key, expectation.part)
    if stalled is None:
        first = key.micro_batch == key.row == key.block == expectation.part == 0
        stalled = key.layer % 2 == 0 if first else bool(rng.random() < STALLED_SHARE)
    geometry = engine.geometry
    case = make_case(expectation.name, engine.hardware, geometry, expectation.task, Stalls(), expectation.results)
    return _stalled(case, geometry, rng) if stalled else case


def _stalled(case: Case, geometry: Any, rng: np.random.Generator) -> Case:
    """Return a free-running case under random stalls."""
    cycles = max(case.law_cycles, _LEAST_CYCLES)
    stalls = random_stalls(rng, cycles, case.hardware.sources, (case.hardware.sink,))
    return make_case(case.name, case.hardware, geometry, case.task, stalls, case.results)


def _windows(
    engines: Mapping[str, Engine], strata: Mapping[tuple[str, int], list[Expectation]], seed: int
) -> list[Prepared]:
    """Cut one window of every engine and layer, then a second one until `WINDOW_CYCLES` are spent.

    The first crosses a bit plane where there is one. Every kind of hardware has two or more, alternately stalled.
    """
    windows: list[Prepared] = []
    cycles = 0
    for turn in range(2):
        made: Counter[str] = Counter()
        for (name, _), expectations in strata.items():
            engine = engines[name]
            number = made[engine.hardware.name]
            alone = sum(engines[other].hardware.name == engine.hardware.name for other, _ in strata) == 1
            if turn and cycles > WINDOW_CYCLES and not alone:
                continue
            expectation = expectations[turn % len(expectations)]
            case = _window_case(engine, expectation, seed, turn, stalled=(number + turn) % 2 == 0)
            made[engine.hardware.name] += 1
            cycles += case.law_cycles
            windows.append(Prepared(expectation.key, case))
    return windows


def _window_case(engine: Engine, expectation: Expectation, seed: int, turn: int, stalled: bool) -> Case:
    hardware, geometry = engine.hardware, engine.geometry
    rng = np.random.default_rng([turn, int(stream_rng(seed, expectation.key).integers(2**32))])
    task = hardware.short_task(geometry, expectation.task, rng, turn == 0)
    case = make_case(f"{expectation.name} window {turn}", hardware, geometry, task)
    return _stalled(case, geometry, rng) if stalled else case
