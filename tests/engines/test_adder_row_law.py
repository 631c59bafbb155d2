"""Rows of adders: cycles by hand, in the array as in the law, from real spikes, and with the table's bits."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtl_models.formats import BINARY16, round_to
from rtl_models.reference.packing import forward_indices, update_indices
from tests.end_to_end.steps import make_trace, tiny_config
from tests.engines.conftest import CLOCK, LatePort
from tlm.config import ADDERS, LUT, ZERO_SKIPPING, Config, LutEngineConfig
from tlm.engines.adder_row_law import AdderRowTiming
from tlm.engines.lut_array import HAND_OVERS, ArrayStream, LutArray
from tlm.engines.lut_row_law import LutRowTiming
from tlm.engines.streams import FORWARD, Stream
from tlm.kernel import EngineAccount, Simulation
from tlm.schedule.geometry import MicroBatch, micro_batches
from tlm.schedule.lut_jobs import LutJob
from tlm.schedule.ones import count_ones
from tlm.schedule.zero_tiles import layer_planes
from tlm.simulation import simulate

SIZES = {"k": 3, "lanes": 4, "build_latency_cycles": 2, "adder_latency_cycles": 4, "tree_registers": True}
TIMING = AdderRowTiming(**SIZES)
STEP = ("direct", "conv", 3)


def elements(element: str) -> tuple[str, ...]:
    return (f"forward_engine.element={element}", f"weight_update_engine.element={element}")


def run_array(jobs: list[tuple[int, int]]) -> int:
    """Cycles of one stream of (tiles, positions) on an array of dense adders."""
    simulation = Simulation()
    port = LatePort(simulation, {})
    planned = tuple(LutJob(0, 1, 0, count, tuple(range(tiles)), row) for row, (tiles, count) in enumerate(jobs))
    streams = [ArrayStream(Stream(FORWARD, 0, MicroBatch(0, 0, 1)), planned)]
    LutArray(0, simulation, CLOCK, TIMING, streams, port, EngineAccount(simulation.env, "engine", inside=HAND_OVERS))
    simulation.run()
    return port.ended[0]


def test_the_law_in_numbers() -> None:
    """Operands in k cycles; the lane's adder (2) before the tree's 3 registers and the accumulator's adder (4)."""
    assert (TIMING.build_cycles, TIMING.output_latency_cycles) == (3, 2 + 4 + 3)
    assert TIMING.look_up_cycles(5) == 15
    assert TIMING.look_up_cycles(1) == 6  # one position: each addition waits for the one before
    assert LutRowTiming(**SIZES).look_up_cycles(5) == 5


@given(st.integers(1, 4), st.integers(2, 15))
def test_dense_adders_take_k_cycles_a_position(tiles: int, positions: int) -> None:
    assert run_array([(tiles, positions)]) == 3 + tiles * 3 * positions + 9


def test_jobs_follow_each_other() -> None:
    assert run_array([(2, 5), (1, 4)]) == 3 + 2 * 15 + 12 + 9


@pytest.mark.parametrize("update", [False, True])
@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_ones_counted_one_by_one(layer: int, update: bool) -> None:
    trace, arithmetic = make_trace(*STEP), tiny_config().contract
    batch = micro_batches(trace.batch, arithmetic.micro_batch)[0]
    found = count_ones(trace, layer, batch, arithmetic, update)
    pack = update_indices if update else forward_indices
    planes = [
        pack(trace.network.layers[layer], spikes, arithmetic.k, arithmetic.lanes)
        for spikes in layer_planes(trace, layer, batch.samples)
    ]
    lanes = [plane.reshape(len(plane), -1, arithmetic.lanes) for plane in planes]
    expected = np.concatenate([np.bitwise_count(plane).max(axis=2) for plane in lanes], axis=1)
    assert (found.most == expected).all()
    assert found.total == sum(int(np.bitwise_count(plane).sum()) for plane in planes)
    assert found.groups == sum(plane.size for plane in planes)
    job = LutJob(0, 1, 1, 3, (0, found.most.shape[1] - 1), 0)
    additions, most = found.of_job(job)
    for number, tile in enumerate(job.tiles):
        waited = [max(1, int(expected[position, tile])) for position in (1, 2, 3)]
        assert (additions[number], most[number]) == (sum(waited), max(waited))


def test_zero_skipping_lies_between_a_table_and_dense_adders() -> None:
    """In the tree no position takes less than a cycle, and none more than k."""
    times = {
        element: simulate(make_trace(*STEP), tiny_config("pipeline=none", *elements(element)))
        .engines["forward"]
        .busy_ps
        for element in (LUT, ZERO_SKIPPING, ADDERS)
    }
    assert times[ZERO_SKIPPING] < times[ADDERS]
    look_ups = {e: simulate(make_trace(*STEP), tiny_config(*elements(e))).work["forward_look_ups"] for e in times}
    assert len(set(look_ups.values())) == 1


def test_without_a_spike_zero_skipping_adders_take_a_cycle_a_position() -> None:
    ones = count_ones(make_trace(*STEP), 1, MicroBatch(0, 0, 1), tiny_config().contract, update=False)
    silent = type(ones)(np.zeros_like(ones.most), 0, ones.groups)
    additions, most = silent.of_job(LutJob(0, 1, 0, 7, (0, 1), 0))
    assert (additions.tolist(), most.tolist()) == ([7, 7], [1, 1])


def test_each_engine_has_its_own_element() -> None:
    config = Config(forward_engine=LutEngineConfig(element=ADDERS))
    assert isinstance(config.engine_timing(config.forward_engine), AdderRowTiming)
    assert config.engine_timing(config.weight_update_engine) == config.row_timing


@given(st.lists(st.floats(-8, 8, width=16), min_size=4, max_size=4))
def test_adding_operands_in_order_gives_the_table_s_entry(values: list[float]) -> None:
    """Contract: entry e is the entry without its highest set bit plus that operand, so order and bits are the same."""
    operands = np.array(values, np.float32)
    table = {0: np.float32(0)}
    for entry in range(1, 16):
        highest = entry.bit_length() - 1
        rest = table[entry - (1 << highest)]
        table[entry] = operands[highest] if not entry & (entry - 1) else round_to(rest + operands[highest], BINARY16)
    for spikes in product((0, 1), repeat=4):
        lane: np.float32 | None = None
        for operand, spike in zip(operands, spikes, strict=True):
            if spike:
                lane = operand if lane is None else round_to(lane + operand, BINARY16)
        entry = sum(spike << j for j, spike in enumerate(spikes))
        assert np.float32(0 if lane is None else lane).tobytes() == table[entry].tobytes()
