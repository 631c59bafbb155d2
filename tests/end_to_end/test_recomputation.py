"""Steps that make potentials and masks again: no bytes of them, exactly the second look-ups, and every pipeline."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.end_to_end.steps import (
    BANKED,
    BATCH,
    BUFFERS,
    LONG_STEPS,
    ONE_ARRAY,
    STEPS,
    make_network,
    make_trace,
    small_buffers,
    tiny_config,
)
from tests.end_to_end.test_step import assert_accounts_add_up, assert_bytes, run
from tlm.accelerator import Accelerator
from tlm.engines.streams import forward_streams
from tlm.kernel.simulation import Simulation
from tlm.schedule.geometry import micro_batches
from tlm.schedule.lut_jobs import LutPlan
from tlm.schedule.placement import place
from tlm.simulation import simulate

RECOMPUTE = "potentials=recompute"
UNLIMITED = "dram={model: flat, channels: 1, channel_bytes_per_us: 1000000000000, latency_ps: 0}"
PIPELINES = ["none", "layer", "end_to_end"]
OFTEN_ONE_PIPELINE = [*(pytest.param(name, marks=pytest.mark.slow) for name in PIPELINES[:-1]), PIPELINES[-1]]


@pytest.mark.parametrize("step", STEPS)
def test_recomputing_all_layers_costs_time_and_moves_no_other_byte(step: tuple[str, str, int]) -> None:
    stored, again = run(step, UNLIMITED), run(step, UNLIMITED, RECOMPUTE)
    assert_accounts_add_up(again)
    assert_bytes(step, again, UNLIMITED, RECOMPUTE)
    assert again.dram_read_bytes == stored.dram_read_bytes
    assert again.dram_written_bytes == stored.dram_written_bytes
    assert again.time_ps > stored.time_ps
    assert again.work["backward_macs"] == stored.work["backward_macs"]
    assert again.work["weight_update_look_ups"] == stored.work["weight_update_look_ups"]


@pytest.mark.parametrize("step", LONG_STEPS)
@pytest.mark.parametrize("pipeline", OFTEN_ONE_PIPELINE)
def test_potentials_stay_off_dram_where_storing_spills_them(step: tuple[str, str, int], pipeline: str) -> None:
    """All other buffers are large; this one holds the largest layer and not a byte more."""
    overrides = (f"pipeline={pipeline}", RECOMPUTE)
    placement = place(make_network(*step), BATCH, tiny_config(*overrides))
    sizes = [
        placement.tensors["masks", n].size_bytes + placement.tensors["potentials", n].size_bytes for n in hidden(step)
    ]
    least = placement.windows["timestep_before_potentials"].size_bytes + max(sizes)
    result = run(step, *overrides, f"buffers.potentials_bytes={least}")
    assert result.placement.recomputed == set(hidden(step))
    assert_accounts_add_up(result)
    assert not {"potentials", "masks"} & {t.stream for t in result.transfers}
    if max(sizes) < sum(sizes):
        stored = run(step, f"pipeline={pipeline}", f"buffers.potentials_bytes={least}")
        assert "potentials" in {t.stream for t in stored.transfers}


def hidden(step: tuple[str, str, int]) -> tuple[int, ...]:
    return make_trace(*step).network.hidden


@pytest.mark.parametrize("pipeline", OFTEN_ONE_PIPELINE)
@pytest.mark.parametrize(
    "extra",
    [(), pytest.param(BANKED, marks=pytest.mark.slow), ("lut.skip_zero_tiles=true",)],
    ids=["flat", "banked", "skipping"],
)
def test_nothing_else_fits(pipeline: str, extra: tuple[str, ...]) -> None:
    """Weights, spikes and inputs are read again for the second look-ups."""
    step = ("spikes", "conv", 9)
    names = [name for name in BUFFERS if name != "potentials"]
    overrides = small_buffers(step, *names, overrides=(*ONE_ARRAY, f"pipeline={pipeline}", *extra))
    stored, again = run(step, *overrides), run(step, *overrides, RECOMPUTE)
    assert_accounts_add_up(again)
    assert_bytes(step, again, *overrides, RECOMPUTE)
    network = make_trace(*step).network
    more = sum(3 * network.layers[layer].weights_count * 2 for layer in hidden(step))
    assert again.dram_read_bytes["weights"] - stored.dram_read_bytes["weights"] == more
    assert again.dram_read_bytes["spikes"] > stored.dram_read_bytes["spikes"]
    assert again.dram_read_bytes["inputs"] > stored.dram_read_bytes["inputs"]
    assert again.dram_written_bytes == stored.dram_written_bytes


@pytest.mark.parametrize("step", [("direct", "conv", 9), ("spikes", "conv", 9)])
def test_layers_that_do_not_fit_are_stored(step: tuple[str, str, int]) -> None:
    overrides = (*small_buffers(step, *BUFFERS), RECOMPUTE, "buffers.potentials_bytes=1200")
    result = run(step, *overrides)
    assert result.placement.recomputed == {1, 2}
    assert_accounts_add_up(result)
    assert_bytes(step, result, *overrides)
    assert "potentials" in {t.stream for t in result.transfers}


@pytest.mark.parametrize("pipeline", ["none", "layer"])
def test_forward_is_busy_longer_by_exactly_the_law_of_the_streams_made_again(pipeline: str) -> None:
    """One array, no overlap, DRAM and host of no latency: a stream of N tiles of P positions takes the law's cycles."""
    step = ("spikes", "conv", 3)
    ports = (
        "buffers={output_bytes: 100000}",
        "forward_engine={arrays: 1, rows: 2, accumulator_depth: 4096}",
        "neuron_unit={width: 4096, latency_cycles: 3}",
        f"pipeline={pipeline}",
    )
    stored, again = run(step, UNLIMITED, *ports), run(step, UNLIMITED, *ports, RECOMPUTE)
    config = tiny_config(UNLIMITED, *ports, RECOMPUTE)
    chip = Accelerator("chip", Simulation(), config, make_trace(*step))
    plans = {stream: plan for stream, plan in chip.forward.plans.items() if stream.recompute}
    assert len(plans) == 3 * 3
    cycles = sum(law_cycles(plan, config.row_timing) for plan in plans.values())
    more_ps = again.engines["forward"].busy_ps - stored.engines["forward"].busy_ps
    assert more_ps == cycles * config.clock_period_ps


def law_cycles(plan: LutPlan, timing: object) -> int:
    """Cycles of all jobs of a stream, back to back on one array."""
    build, adder = timing.build_cycles, timing.adder_latency_cycles  # type: ignore[attr-defined]
    tiles = [job.position_count for job in plan.jobs for _ in job.tiles]
    waits = sum(max(positions, build, adder) for positions in tiles[:-1])
    return int(build + waits + tiles[-1] + timing.output_latency_cycles)  # type: ignore[attr-defined]


@pytest.mark.parametrize("skip", ["true", "false"])
def test_look_ups_and_operations_count_both_passes(skip: str) -> None:
    step = ("spikes", "conv", 3)
    stored, again = run(step, f"lut.skip_zero_tiles={skip}"), run(step, f"lut.skip_zero_tiles={skip}", RECOMPUTE)
    twice = {
        key: 2 * count if key[0] == "forward" and key[1] < 3 else count for key, count in stored.operations.items()
    }
    assert again.operations == twice
    extra = sum(count for (engine, layer), count in stored.operations.items() if engine == "forward" and layer < 3)
    assert again.work["forward_look_ups"] - stored.work["forward_look_ups"] == extra // 3  # k = 3


def test_a_layer_is_made_again_just_before_its_gradient() -> None:
    """Without overlap a stream ends before the next begins, also those made again."""
    spans = run(("spikes", "conv", 3), "pipeline=none", RECOMPUTE).spans
    assert len(spans) == 3 * (4 + 3 + 3 + 4)
    assert all(before.end_ps <= after.start_ps for before, after in pairwise(spans))
    for before, after in pairwise(spans):
        if before.stream.recompute:
            assert (after.stream.engine, after.stream.layer) == ("backward", before.stream.layer)


@pytest.mark.parametrize("flight", [2, 3])
def test_the_order_of_the_forward_engine(flight: int) -> None:
    network = make_trace("spikes", "conv", 3).network
    found = forward_streams(network, micro_batches(BATCH, 3), frozenset({0, 1, 2}), flight)
    assert [(s.micro_batch.index, s.layer, s.recompute) for s in found] == [
        *((0, layer, False) for layer in range(4)),
        (0, 2, True), (0, 1, True), (0, 0, True), (1, 0, False), (1, 1, False), (1, 2, False), (1, 3, False),
        *((1, layer, True) for layer in (2, 1, 0)),
    ]  # fmt: skip


def test_one_micro_batch_in_flight_makes_all_layers_again_first() -> None:
    network = make_trace("direct", "deep", 2).network
    found = forward_streams(network, micro_batches(BATCH, 3), frozenset(range(8)), 1)
    assert [s.micro_batch.index for s in found] == [0] * 17 + [1] * 17


@pytest.mark.parametrize("flight", [1, 2, 3, 9])
@pytest.mark.parametrize("potentials", ["tight", "large"])
def test_no_number_of_micro_batches_in_flight_deadlocks(flight: int, potentials: str) -> None:
    step = ("direct", "deep", 4)
    overrides = [RECOMPUTE, f"micro_batches_in_flight={flight}"]
    if potentials == "tight":
        placement = place(make_network(*step), BATCH, tiny_config(*overrides))
        sizes = [placement.tensors[t, n].size_bytes for n in hidden(step) for t in ("masks", "potentials")]
        pairs = [a + b for a, b in zip(sizes[::2], sizes[1::2], strict=True)]
        before = placement.windows["timestep_before_potentials"].size_bytes
        overrides.append(f"buffers.potentials_bytes={before + max(pairs)}")
    result = run(step, *overrides)
    assert result.placement.recomputed == set(hidden(step))
    assert_accounts_add_up(result)
    waits = result.engines["neuron"].blocked_ps.get("room for potentials", 0)
    assert waits > 0 or potentials == "large"


def test_masks_nobody_skips_by_are_not_waited_for_by_the_backward_engine() -> None:
    off = "backward_engine.skip_inactive_outputs=false"
    skipping, dense = (run(("spikes", "conv", 3), RECOMPUTE, *more) for more in ((), (off,)))
    assert "recomputed potentials" in skipping.engines["backward"].starved_ps
    assert "recomputed potentials" not in dense.engines["backward"].starved_ps
    assert "recomputed potentials" in dense.engines["gradient"].starved_ps
    simulate(make_trace("spikes", "conv", 1), tiny_config(RECOMPUTE, off))
