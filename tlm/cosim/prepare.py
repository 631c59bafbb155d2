"""Prepares the cases of a sample: whole streams, free-running and stalled, and the short windows cut from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtl_models.reference.row import RowTask, lut_row
from tlm.cosim.cases import Case, make_case
from tlm.cosim.expected import Reference, StreamExpectation
from tlm.cosim.geometry import StepGeometry, StreamKey
from tlm.cosim.runner import Prepared
from tlm.cosim.sample import sample_keys
from tlm.cosim.stalls import Stalls, random_stalls, stream_rng
from tlm.cosim.streams import StreamReader
from tlm.cosim.windows import cut_window

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


def deepest(geometry: StepGeometry) -> int:
    """Accumulator depth of the row that runs the streams, which changes neither bits nor cycles.

    The least power of two that holds every block: quick to build, and most traces share one built row.
    """
    last = len(geometry.micro_batches) - 1  # the first micro-batch is a full one, the last may be smaller
    shapes = [geometry.shape(engine, layer, index) for engine, layer in geometry.strata for index in {0, last}]
    longest: int = max(block.stop - block.start for shape in shapes for block in shape.blocks)
    return 1 << (longest - 1).bit_length()


def sample_cases(reader: StreamReader, streams: int, seed: int) -> SampleCases:
    """Prepare a seeded sample: every second stream of an engine and layer is stalled, the first two have windows."""
    reference = Reference(reader)
    by_stratum: dict[tuple[str, int], list[StreamExpectation]] = {}
    for key in sample_keys(reader, streams, seed):
        by_stratum.setdefault((key.engine, key.layer), []).append(reference.expect(key))
    prepared = [
        Prepared(expectation.key, whole_case(reader.geometry, expectation, seed, stalled=number % 2 == 0), expectation)
        for expectations in by_stratum.values()
        for number, expectation in enumerate(expectations)
    ]
    return SampleCases(prepared, _windows(reader.geometry, list(by_stratum.values()), seed))


def whole_case(geometry: StepGeometry, expectation: StreamExpectation, seed: int, stalled: bool | None = None) -> Case:
    """Return the case of a whole stream; `stalled` None draws it, for `STALLED_SHARE` of the streams."""
    rng = stream_rng(seed, expectation.key)
    if stalled is None:
        stalled = bool(rng.random() < STALLED_SHARE)
    timing = geometry.config.row_timing
    task = expectation.task
    stalls = random_stalls(rng, timing.stream_cycles(task.positions)) if stalled else Stalls()
    return make_case(str(expectation.key), task, stalls, expectation.sums, timing)


def _windows(geometry: StepGeometry, strata: list[list[StreamExpectation]], seed: int) -> list[Prepared]:
    """Cut one window of every engine and layer, then a second one, until `WINDOW_CYCLES` are spent.

    The first crosses a bit plane where there is one; alternate engines and layers are stalled first.
    """
    windows: list[Prepared] = []
    cycles = 0
    for turn in range(2):
        for number, expectations in enumerate(strata):
            if turn and cycles > WINDOW_CYCLES:
                break
            expectation = expectations[turn % len(expectations)]
            case = _window_case(geometry, expectation, seed, turn, stalled=(number + turn) % 2 == 0)
            cycles += case.law_cycles
            windows.append(Prepared(expectation.key, case))
    return windows


def _window_case(geometry: StepGeometry, expectation: StreamExpectation, seed: int, turn: int, stalled: bool) -> Case:
    config = geometry.config
    value, total = config.contract.value, config.contract.sum
    rng = np.random.default_rng([turn, int(stream_rng(seed, expectation.key).integers(2**32))])
    task: RowTask = cut_window(expectation.task, value, total, rng, at_plane=turn == 0)
    sums = lut_row(task, value, total)
    length = config.row_timing.stream_cycles(task.positions)
    stalls = random_stalls(rng, max(length, _LEAST_CYCLES)) if stalled else Stalls()
    return make_case(f"{expectation.key} window {turn}", task, stalls, sums, config.row_timing)


def stream_cycles(key: StreamKey, geometry: StepGeometry) -> int:
    """Stall-free cycles of a stream of which no tile is left out."""
    shape = geometry.shape(key.engine, key.layer, key.micro_batch)
    block = shape.blocks[key.block]
    return geometry.config.row_timing.stall_free_cycles(shape.work.tiles, block.stop - block.start)
