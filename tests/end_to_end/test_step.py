"""Whole training steps on a tiny accelerator: every byte and every picosecond accounted for, whatever does not fit."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import lru_cache
from itertools import combinations, pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rtl_models.errors import InputError
from tests.end_to_end.steps import (
    BANKED,
    BUFFERS,
    LONG_STEPS,
    ONE_ARRAY,
    STEPS,
    make_network,
    make_record,
    make_trace,
    small_buffers,
    tiny_config,
)
from tlm.config import load_config
from tlm.schedule.placement import position_parts
from tlm.schedule.step_counts import StepCounts
from tlm.schedule.traffic import count_traffic
from tlm.simulation import SimulationResult, simulate
from workloads.trace_file import open_trace, write_trace
from workloads.training_step import initial_state, training_step

EVERY_SPILL = [names for count in range(len(BUFFERS) + 1) for names in combinations(BUFFERS, count)]
FEW_OR_MOST = [
    names if len(names) in (0, 1, 4, 5) else pytest.param(names, marks=pytest.mark.slow) for names in EVERY_SPILL
]
"""Of these, any two buffers meet in all four ways in the ordinary run."""
SMALL = ("spikes", "linear", 2)
LONG = ("spikes", "linear", 9)


@lru_cache(maxsize=16)
def run(step: tuple[str, str, int], *overrides: str) -> SimulationResult:
    """Simulate a step, but for those of the last ones that are asked for again: many tests compare with the same."""
    return run_again(step, *overrides)


def run_again(step: tuple[str, str, int], *overrides: str) -> SimulationResult:
    return simulate(make_trace(*step), tiny_config(*overrides))


def assert_accounts_add_up(result: SimulationResult) -> None:
    for name, engine in result.engines.items():
        assert engine.total_ps == result.time_ps, name
        assert sum(i.end_ps - i.start_ps for i in result.intervals[name]) == result.time_ps, name


def assert_bytes(step: tuple[str, str, int], result: SimulationResult, *overrides: str) -> None:
    trace = make_trace(*step)
    expected = count_traffic(trace.network, trace.batch, tiny_config(*overrides), result.placement, StepCounts(trace))
    assert {k: v for k, v in result.dram_read_bytes.items() if v} == expected.read_by_stream()
    assert {k: v for k, v in result.dram_written_bytes.items() if v} == expected.written_by_stream()
    assert sum(t.length_bytes for t in result.transfers) == expected.read.total() + expected.written.total()


@pytest.mark.parametrize("step", STEPS)
def test_a_step_with_large_buffers(step: tuple[str, str, int]) -> None:
    result = run(step)
    assert_accounts_add_up(result)
    assert_bytes(step, result)
    assert {stream for stream, _ in result.placement.tensors.keys() - result.placement.resident} == {"optimiser_state"}


@pytest.mark.parametrize("step", LONG_STEPS)
def test_a_step_in_which_nothing_fits(step: tuple[str, str, int]) -> None:
    overrides = small_buffers(step, *BUFFERS)
    result = run(step, *overrides)
    assert not result.placement.resident
    assert_accounts_add_up(result)
    assert_bytes(step, result, *overrides)


@pytest.mark.parametrize("names", FEW_OR_MOST, ids="+".join)
def test_every_combination_of_buffers_that_are_too_small(names: tuple[str, ...]) -> None:
    overrides = small_buffers(LONG, *names)
    result = run(LONG, *overrides)
    for name in BUFFERS:
        tensors = {key for key, tensor in result.placement.tensors.items() if tensor.buffer == name}
        assert (tensors & result.placement.resident) == (set() if name in names else tensors)
    assert_accounts_add_up(result)
    assert_bytes(LONG, result, *overrides)


@pytest.mark.parametrize("names", [(), ("potentials", "gradients")], ids=["large", "small"])
@pytest.mark.parametrize(("weights_bytes", "parts"), [(416, 12), (600, 6), (800, 3), (1400, 1)])
def test_weights_of_a_wide_layer_come_in_parts_of_its_positions(
    names: tuple[str, ...], weights_bytes: int, parts: int
) -> None:
    """A linear layer on 12 positions of 16 weights a channel: as many positions as fit, work and bytes the same."""
    step = ("spikes", "wide", 9)
    overrides = (*small_buffers(step, *names), f"buffers.weights_bytes={weights_bytes}")
    result, whole = run(step, *overrides), run(step, *small_buffers(step, *names))
    assert len(position_parts(make_network(*step), 0, tiny_config(*overrides), result.placement)) == parts
    assert_accounts_add_up(result)
    assert_bytes(step, result, *overrides)
    assert result.work == whole.work
    for tensor in ("potentials", "masks", "spikes"):
        assert result.dram_read_bytes.get(tensor) == whole.dram_read_bytes.get(tensor)


def test_weights_of_one_position_are_the_least() -> None:
    with pytest.raises(InputError, match=r"buffers.weights_bytes: .* got 415, allowed: at least 416$"):
        run(("spikes", "wide", 9), "buffers.weights_bytes=415")


@pytest.mark.parametrize("pipeline", ["none", "layer"])
@pytest.mark.parametrize("names", [(), BUFFERS], ids=["large", "small"])
def test_bytes_do_not_depend_on_the_pipeline(pipeline: str, names: tuple[str, ...]) -> None:
    step = ("direct", "conv", 9)
    overrides = small_buffers(step, *names, overrides=(*ONE_ARRAY, f"pipeline={pipeline}"))
    result = run(step, *overrides)
    assert_accounts_add_up(result)
    assert_bytes(step, result, *overrides)


@pytest.mark.parametrize("step", [("direct", "conv", 9), LONG])
@pytest.mark.parametrize("names", [(), BUFFERS], ids=["large", "small"])
def test_more_overlap_takes_less_time(step: tuple[str, str, int], names: tuple[str, ...]) -> None:
    buffers = small_buffers(step, *names, overrides=ONE_ARRAY)
    times = [run(step, f"pipeline={pipeline}", *buffers).time_ps for pipeline in ("end_to_end", "layer", "none")]
    assert times[0] < times[1] < times[2]


def test_no_pipeline_runs_one_stream_at_a_time() -> None:
    spans = run(("spikes", "conv", 3), "pipeline=none").spans
    assert len(spans) == 3 * (4 + 3 + 4)  # micro-batches x (forward + backward + update)
    assert all(before.end_ps <= after.start_ps for before, after in pairwise(spans))


def test_a_layer_pipeline_works_on_one_micro_batch_at_a_time() -> None:
    spans = run(("spikes", "conv", 3), "pipeline=layer").spans
    by_batch = [[s for s in spans if s.stream.micro_batch.index == index] for index in range(3)]
    for before, after in pairwise(by_batch):
        assert max(s.end_ps for s in before) <= min(s.start_ps for s in after)


@pytest.mark.parametrize(("flight", "most"), [(1, 1), (2, 2), (3, 3), (9, 3)])
def test_micro_batches_in_flight_are_bounded(flight: int, most: int) -> None:
    spans = run(("spikes", "conv", 3), f"micro_batches_in_flight={flight}", "host.round_trip_ps=9000000").spans
    first = {index: min(s.start_ps for s in spans if s.stream.micro_batch.index == index) for index in range(3)}
    last = {index: max(s.end_ps for s in spans if s.stream.micro_batch.index == index) for index in range(3)}
    assert max(sum(first[i] <= time < last[i] for i in range(3)) for time in first.values()) == most


def test_one_in_flight_is_the_layer_pipeline() -> None:
    step = ("signed", "conv", 2)
    assert run(step, "micro_batches_in_flight=1").time_ps == run(step, "pipeline=layer").time_ps


def test_the_same_step_twice_gives_the_same_result() -> None:
    assert run(STEPS[0]) == run_again(STEPS[0])


def test_the_result_does_not_depend_on_the_hash_seed() -> None:
    code = (
        "from tests.end_to_end.test_step import *; r = run(LONG, *small_buffers(LONG, *BUFFERS)); "
        "print(r.engines, r.transfers, r.spans, r.intervals, r.dram_read_bytes)"
    )
    root = Path(__file__).parents[2]
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


@pytest.mark.parametrize("step", [("direct", "conv", 9), ("spikes", "conv", 9)])
@pytest.mark.parametrize("names", [(), BUFFERS], ids=["large", "small"])
def test_a_step_with_banked_dram(step: tuple[str, str, int], names: tuple[str, ...]) -> None:
    overrides = small_buffers(step, *names, overrides=BANKED)
    result = run(step, *overrides)
    assert_accounts_add_up(result)
    assert_bytes(step, result, *overrides)
    assert run_again(step, *overrides) == result
    for stream, size in result.dram_read_bytes.items():
        assert size <= result.dram_burst_read_bytes[stream]
    columns = sum(c.commands["RD"] + c.commands["WR"] for c in result.dram_channels)
    assert sum(c.row_hits + c.row_misses + c.row_conflicts for c in result.dram_channels) == columns
    moved = sum(result.dram_burst_read_bytes.values()) + sum(result.dram_burst_written_bytes.values())
    assert 0.5 * moved < columns * 32 <= moved  # neighbours share bursts: some writes meet in a queue


def test_a_step_ends_with_its_last_posted_write() -> None:
    """What the optimiser writes last is on the bus before the step is over."""
    result = run(SMALL, *BANKED)
    accepted_ps = max(transfer.end_ps for transfer in result.transfers)
    assert accepted_ps < result.time_ps
    written = sum(result.dram_burst_written_bytes.values()) // 32
    assert written // 2 <= sum(c.commands["WR"] for c in result.dram_channels) <= written


def test_recording_transactions_changes_nothing(tmp_path: Path) -> None:
    plain = run(SMALL)
    recorded = simulate(make_trace(*SMALL), tiny_config(), tmp_path / "transactions.parquet")
    assert recorded == plain
    table = pq.read_table(tmp_path / "transactions.parquet").to_pydict()
    assert len(table["bytes"]) == len(plain.transfers)
    assert sum(table["bytes"]) == sum(plain.dram_read_bytes.values()) + sum(plain.dram_written_bytes.values())
    assert set(table["response"]) == {"ok"}
    assert max(table["end_ps"]) <= plain.time_ps


@pytest.mark.parametrize("step", [("signed", "conv", 2), ("spikes", "conv", 1)])
def test_skipping_zero_tiles_saves_tiles_and_time_but_no_bytes(step: tuple[str, str, int]) -> None:
    plain, skipping = run(step), run(step, "lut.skip_zero_tiles=true")
    assert skipping.work["forward_tiles"] < plain.work["forward_tiles"]
    assert skipping.work["weight_update_tiles"] < plain.work["weight_update_tiles"]
    assert skipping.time_ps < plain.time_ps
    assert skipping.dram_read_bytes == plain.dram_read_bytes


@pytest.mark.parametrize("names", [(), ("gradients",), ("spikes",), BUFFERS], ids="+".join)
def test_a_silent_start_skips_the_last_tiles_of_the_update(names: tuple[str, ...], tmp_path: Path) -> None:
    """Timesteps without spikes are the last points: nobody waits for their gradients, which are read all the same."""
    step = ("spikes", "conv", 9)
    record = make_record(*step)
    inputs = record.inputs.copy()
    inputs[:2] = 0
    arithmetic, state = record.arithmetic, initial_state(make_network(*step), record.arithmetic, 0)
    silent = training_step(record.network, arithmetic, state, inputs, record.labels, record.optimiser)
    write_trace(silent, tmp_path / "silent.h5")
    with open_trace(tmp_path / "silent.h5") as trace:
        result = simulate(trace, tiny_config("lut.skip_zero_tiles=true", *small_buffers(step, *names)))
    assert_accounts_add_up(result)


@pytest.mark.parametrize("skips", [("false", "false"), ("true", "false"), ("false", "true")])
def test_sparsity_switched_off_costs_time_and_work_but_no_bytes(skips: tuple[str, str]) -> None:
    step = ("spikes", "conv", 3)
    dual = run(step)
    less = run(
        step, f"backward_engine.skip_zero_gradients={skips[0]}", f"backward_engine.skip_inactive_outputs={skips[1]}"
    )
    assert less.work["backward_macs"] > dual.work["backward_macs"]
    if skips[0] == "false":  # with two lanes a tile, outputs that are computed for nothing only fill lanes that idle
        assert less.engines["backward"].busy_ps > dual.engines["backward"].busy_ps
    assert less.dram_read_bytes == dual.dram_read_bytes


def test_dense_backward_work_is_that_of_the_layers() -> None:
    off = ("backward_engine.skip_zero_gradients=false", "backward_engine.skip_inactive_outputs=false")
    network = make_network("spikes", "linear", 2)
    result = run(SMALL, *off)
    assert result.work["backward_macs"] == 5 * network.layers[1].weights_count  # once a sample, for all timesteps


def test_one_timestep_of_a_middle_layer_counts_its_own_gradients() -> None:
    """With T = 1 the sums below the last layer and those further down are made once each."""
    off = ("backward_engine.skip_zero_gradients=false", "backward_engine.skip_inactive_outputs=false")
    result = run(("spikes", "conv", 1), *off)
    taps = sum(
        sum(0 <= y + 1 - 2 * oy < 3 and 0 <= x + 1 - 2 * ox < 3 for oy in range(2) for ox in range(2))
        for y in range(4)
        for x in range(4)
    )
    assert result.work["backward_macs"] == 5 * (taps * 5 * 4 + 120 + 18)


def test_lut_work_is_that_of_the_plan() -> None:
    result = run(SMALL)
    # 2 timesteps x 5 samples, 2 lanes a look-up cycle. Layer 0: 12 taps of 2 channels = 6 tiles, 7 rows;
    # layer 1: 7 channels = 3 groups = 2 tiles, 3 rows.
    assert result.work["forward_look_ups"] == 2 * 5 * (6 * 7 + 2 * 3) * 2


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            "arithmetic.value_format=bfloat16",
            "config: arithmetic.value_format: .*, got 'bfloat16', allowed: binary16",
        ),
        ("arithmetic.sum_format=binary16", "config: arithmetic.sum_format: .*, got 'binary16', allowed: binary32"),
        ("lut.k=4", "config: lut.k: differs from the arithmetic that the trace was computed with, got 4, allowed: 3"),
        (
            "lut.lanes=4",
            "config: lut.lanes: differs from the arithmetic that the trace was computed with, got 4, allowed: 2",
        ),
        ("arithmetic.micro_batch=3", "config: arithmetic.micro_batch: .*, got 3, allowed: 2"),
    ],
)
def test_another_arithmetic_than_the_trace_s_is_refused(override: str, words: str) -> None:
    with pytest.raises(InputError, match=f"^{words}$"):
        run(SMALL, override)


def test_the_preset_runs_the_same_trace() -> None:
    own = ("arithmetic.micro_batch=2", "lut.k=3", "lut.lanes=2")
    result = simulate(make_trace(*STEPS[0]), load_config("h2learn", own))
    assert_accounts_add_up(result)
    assert result.cycles == -(-result.time_ps // 1000)


@pytest.mark.parametrize(
    ("buffer", "waiting"),
    [
        ("weights", {"forward": "starved", "backward": "starved"}),
        ("spikes", {"forward": "starved", "transposition": "starved"}),
        ("gradients", {"weight_update": "starved"}),
        ("partial_sums", {"optimiser": "starved"}),
        ("potentials", {"gradient": "starved", "neuron": "blocked"}),
        ("output", {"forward": "blocked"}),
        ("backward_sums", {"backward": "blocked"}),
    ],
)
def test_a_narrow_port_limits_its_engines_and_they_say_so(buffer: str, waiting: dict[str, str]) -> None:
    """One bank of two bytes instead of thousands: the step takes longer, for the port's sake; no byte changes."""
    step = ("spikes", "conv", 3)
    wide, narrow = run(step), run(step, f"buffer_ports.{buffer}={{ports: 1, banks: 1, bank_width_bytes: 2}}")
    assert narrow.time_ps > wide.time_ps
    assert_accounts_add_up(narrow)
    reason = f"{buffer.replace('_', ' ')} port"
    for engine, state in waiting.items():
        assert getattr(narrow.engines[engine], f"{state}_ps").get(reason, 0) > 0, engine
    for name, use in narrow.buffer_ports.items():
        assert use.moved_bytes == wide.buffer_ports[name].moved_bytes
    assert not any(reason in engine.starved_ps | engine.blocked_ps for engine in wide.engines.values())
    assert narrow.dram_read_bytes == wide.dram_read_bytes
    assert narrow.buffer_ports[buffer].peak_demand_bytes_per_cycle > narrow.buffer_ports[buffer].bytes_per_cycle == 2


def test_ports_wider_than_the_demand_change_nothing() -> None:
    step = ("spikes", "conv", 3)
    plain = run(step)
    demands = {name: use.peak_demand_bytes_per_cycle for name, use in plain.buffer_ports.items()}
    just = (
        f"buffer_ports.{name}={{ports: 1, banks: 1, bank_width_bytes: {demand}}}" for name, demand in demands.items()
    )
    assert run(step, *just).time_ps == plain.time_ps
