"""The parts of a co-simulation: configurations, windows, stalls, samples, differences and verdicts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtl_models.errors import InputError
from rtl_models.formats import BFLOAT16, BINARY16, BINARY32, Bits, FloatFormat
from rtl_models.lut_row import LutRowGeometry
from rtl_models.reference.row import RowTask, lut_row
from rtl_models.units import Response
from tests.cosim.traces import ARITHMETIC
from tlm.config import Config
from tlm.cosim import Comparison, Failure, config_for_trace
from tlm.cosim.cases import Case, count_differences, first_difference
from tlm.cosim.keys import StreamKey
from tlm.cosim.result import CosimResult, merge, tile_path, verdicts
from tlm.cosim.sample import sample_keys, strata
from tlm.cosim.stalls import Stalls, random_stalls, stream_rng
from tlm.cosim.units import HARDWARE, open_engines
from tlm.cosim.units.lut_row import widest_row
from tlm.cosim.windows import LONGEST_WINDOW, MOST_TILES, cut_window, window
from workloads.record import Arithmetic
from workloads.trace_file import open_trace

GEOMETRY = LutRowGeometry(k=2, lanes=2)


def test_without_a_name_the_preset_takes_the_arithmetic_of_the_trace() -> None:
    arithmetic = Arithmetic(value=BFLOAT16, sum=BINARY32, k=3, lanes=2, micro_batch=5)
    config = config_for_trace(arithmetic, overrides=("lut.adder_latency_cycles=7",))
    assert config.name == "h2learn"
    assert config.contract == arithmetic
    assert config.lut.adder_latency_cycles == 7


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("lut.k=5", r"^config: lut.k: differs from the arithmetic .*, got 5, allowed: 4$"),
        ("lut.lanes=8", r"^config: lut.lanes: differs from .*, got 8, allowed: 16$"),
        ("arithmetic.micro_batch=3", r"^config: arithmetic.micro_batch: differs .*, got 3, allowed: 8$"),
        ("arithmetic.sum_format=binary16", r"^config: arithmetic.sum_format: .*, got 'binary16', allowed: binary32$"),
        (
            "arithmetic.value_format=bfloat16",
            r"^config: arithmetic.value_format: .*, got 'bfloat16', allowed: binary16$",
        ),
    ],
)
@pytest.mark.parametrize("name", [None, "h2learn"])
def test_another_arithmetic_is_refused_with_both_values(name: str | None, override: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        config_for_trace(Arithmetic(), name, (override,))


def random_task(rng: np.random.Generator, tiles: int, positions: int, planes: int, signed: bool) -> RowTask:
    """Tiles of bit planes with operands over the whole binary16 range, like a stream of a trace."""
    count = tiles * planes
    weights = rng.integers(0, 0x7C00, (count, 2, 2)) | rng.integers(0, 2, (count, 2, 2)) << 15
    number = np.arange(count)
    return RowTask(
        weights=weights.astype(np.uint16),
        indices=rng.integers(0, 4, (count * positions, 2)).astype(np.uint8),
        positions=np.full(count, positions),
        start=number == 0,
        emit=number == count - 1,
        double=(number % tiles == 0) & (number > 0),
        subtract=(number < tiles) & signed,
        init=np.tile(rng.integers(0, 0x40000000, positions), count).astype(np.uint32),
    )


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 9), st.integers(1, 3), st.booleans(), st.booleans())
def test_windows_are_small_and_of_the_same_work(
    seed: int, tiles: int, positions: int, planes: int, signed: bool, at_plane: bool
) -> None:
    rng = np.random.default_rng(seed)
    task = random_task(rng, tiles, positions, planes, signed)
    cut = cut_window(task, BINARY16, BINARY32, rng, at_plane)
    assert 1 <= cut.positions[0] <= LONGEST_WINDOW
    assert len(cut.positions) == min(MOST_TILES, tiles * planes)
    if at_plane and planes > 1 and tiles * planes > 1:
        assert cut.double.any()


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 9), st.integers(1, 3), st.booleans(), st.data())
def test_windows_end_to_end_give_the_sums_of_the_stream(
    seed: int, tiles: int, positions: int, planes: int, signed: bool, data: st.DataObject
) -> None:
    task = random_task(np.random.default_rng(seed), tiles, positions, planes, signed)
    count = tiles * planes
    first = data.draw(st.integers(0, count - 1))
    chosen = np.array(sorted(data.draw(st.sets(st.integers(0, positions - 1), min_size=1))))
    tail = window(task, BINARY16, BINARY32, first, count - first, chosen)
    assert np.array_equal(lut_row(tail, BINARY16, BINARY32), lut_row(task, BINARY16, BINARY32)[chosen])


def test_stalls_depend_on_the_seed_and_the_stream_alone() -> None:
    key = StreamKey("forward", 1, 2, 3, 4)

    def stalls(seed: int, stream: StreamKey) -> Stalls:
        return random_stalls(stream_rng(seed, stream), 50, ("load", "index"), ("out",))

    one, again = stalls(7, key), stalls(7, key)
    others = [stalls(8, key), stalls(7, replace(key, row=4))]
    for stream in ("load", "index"):
        assert np.array_equal(one.valid[stream], again.valid[stream])
    assert np.array_equal(one.ready["out"], again.ready["out"])
    for other in others:
        assert any(not np.array_equal(one.valid[stream], other.valid[stream]) for stream in one.valid)
    assert bool(one)
    assert not Stalls()


def test_stalls_stall() -> None:
    shares = []
    for seed in range(60):
        stalls = random_stalls(np.random.default_rng(seed), 200, ("load", "index"), ("out",))
        for pattern in (*stalls.valid.values(), *stalls.ready.values()):
            assert pattern.dtype == np.uint8
            assert len(pattern) in (0, 400)
            shares.append(1.0 if len(pattern) == 0 else float(pattern.mean()))
    assert min(shares) < 0.3
    assert 0.1 < np.mean(np.array(shares) == 1.0) < 0.4
    assert 0.5 < np.mean(shares) < 0.8


def test_a_sample_holds_the_corners(trace_path: Path, config: Config) -> None:
    with open_trace(trace_path) as trace:
        engines = open_engines(trace, config)
        keys = sample_keys(engines, 90, 1)
        few = sample_keys(engines, 1, 1)
    assert len(set(keys)) == len(keys)
    assert {(key.engine, key.layer) for key in few} == set(strata(engines))
    single = sum(engine.count(layer).streams == 1 for engine in engines.values() for layer in engine.layers)
    assert len(few) == 2 * len(strata(engines)) - single
    for name, layer in strata(engines):
        engine = engines[name]
        last = engine.micro_batch_count - 1
        corner = engine.rows(layer, last) - 1, engine.blocks(layer, last) - 1
        assert StreamKey(name, layer, last, *corner) in keys
        assert StreamKey(name, layer, 0, 0, 0) in keys


def make_case_of(sums: Bits, cycles: dict[str, list[int]]) -> Case:
    task = random_task(np.random.default_rng(0), 1, len(sums), 1, False)
    transfers = {name: np.array(values) for name, values in cycles.items()}
    return Case("stream", HARDWARE["lut_row"], task, Stalls(), {"data": sums}, transfers)


def respond(sums: Bits, cycles: dict[str, list[int]]) -> Response:
    payloads = {"out": {"data": sums.astype(np.uint64)[:, None]}}
    return Response(payloads, {name: np.array(values) for name, values in cycles.items()}, 10)


CYCLES = {"load": [0, 1], "index": [3, 4], "out": [6, 7]}
SUMS = np.array([5, 9], np.uint32)


def test_no_difference() -> None:
    case = make_case_of(SUMS, CYCLES)
    assert first_difference(case, GEOMETRY, respond(SUMS, CYCLES)) is None
    assert count_differences(case, GEOMETRY, respond(SUMS, CYCLES)) == (0, 0, 0)
    assert case.law_cycles == 8


def test_a_wrong_result_comes_before_a_late_transfer() -> None:
    case = make_case_of(SUMS, CYCLES)
    response = respond(np.array([5, 10], np.uint32), CYCLES | {"load": [0, 2]})
    assert str(first_difference(case, GEOMETRY, response)) == "result 1 (data): expected 0x9, got 0xa, in cycle 7"
    assert count_differences(case, GEOMETRY, response) == (1, 2, 1)


def test_the_earliest_late_transfer_is_told() -> None:
    case = make_case_of(SUMS, CYCLES)
    response = respond(SUMS, {"load": [0, 1], "index": [3, 5], "out": [6, 8]})
    words = "beat 1 of index: cycle by the law 4, measured 5"
    assert str(first_difference(case, GEOMETRY, response)) == words
    assert count_differences(case, GEOMETRY, response) == (0, 0, 2)


def test_the_verdict_needs_free_and_stalled_streams() -> None:
    def verdict(streams: int, stalled: int, failure: Failure | None = None) -> tuple[str, str]:
        entries = [Comparison("forward", 0, "conv1", "myhdl", streams=streams, stalled_streams=stalled)]
        unit = verdicts({"lut_row": ("forward",)}, entries, failure)[0]
        return unit.verdict, unit.reason

    assert verdict(3, 1) == ("proved", "2 free-running and 1 stalled streams equal the law and the reference (myhdl)")
    assert verdict(3, 0) == ("not yet", "no stalled stream was compared")
    assert verdict(3, 3) == ("not yet", "no free-running stream was compared")
    assert verdict(3, 1, Failure("lut_row", "stream", "myhdl", "beat 1", None)) == ("refuted", "stream: beat 1")


def test_comparisons_add_up() -> None:
    parts = [
        Comparison("weight_update", 0, "conv1", "myhdl", streams=1, law_cycles=5, measured_cycles=5),
        Comparison("forward", 0, "conv1", "myhdl", streams=2, law_cycles=7, measured_cycles=8),
        Comparison("weight_update", 0, "conv1", "myhdl", streams=3, law_cycles=1, measured_cycles=1),
    ]
    forward, update = merge(parts)
    assert (forward.engine, forward.streams, forward.difference_cycles) == ("forward", 2, 1)
    assert (update.engine, update.streams, update.law_cycles, update.difference_cycles) == ("weight_update", 4, 6, 0)
    assert parts[0].streams == 1


def test_a_result_without_comparisons_has_not_passed() -> None:
    result = CosimResult("digest", "net", "h2learn", "sample", 0, ("myhdl",))
    assert not result.passed
    result.comparisons.append(Comparison("forward", 0, "conv1", "myhdl", results=1))
    assert result.passed
    result.comparisons[0].mismatched_transfers = 1
    assert not result.passed


def test_the_name_of_a_tile_file_has_no_spaces() -> None:
    name = tile_path(Path("out"), str(StreamKey("forward", 1, 2, 3, 4)), "myhdl")
    assert name == Path("out/forward-layer-1-micro-batch-2-row-3-block-4-myhdl.tile")


@pytest.mark.parametrize("value", [BINARY16, BFLOAT16])
def test_the_hostile_row_spans_the_most_exponents(value: FloatFormat, trace_path: Path, config: Config) -> None:
    one = 0x3C00 if value == BINARY16 else 0x3F80
    operands = np.full((3, 2, 2), one, np.uint16)
    operands[1, 0, 0] = 0x8000 | one  # a sign is no exponent
    operands[2, 1, 1] = 0x0800
    assert widest_row(operands, value.fraction_bits) == 2
    operands[0] = 0
    assert widest_row(operands, value.fraction_bits) == 2
    assert ARITHMETIC.value == config.contract.value
