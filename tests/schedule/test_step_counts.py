"""Counts kept between simulations: the same numbers, made once."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tests.end_to_end.steps import make_record, make_trace, tiny_config
from tlm.schedule import step_counts
from tlm.schedule.backward_items import BackwardItems, backward_items
from tlm.schedule.geometry import micro_batches
from tlm.schedule.step_counts import StepCounts
from tlm.simulation import simulate

STEP = ("spikes", "conv", 3)


def test_non_zero_gradients_are_counted_from_the_last_timestep_down() -> None:
    trace = make_trace(*STEP)
    batch = micro_batches(trace.batch, 2)[1]
    gradients = make_record(*STEP).layers[1].gradients[:, batch.samples]
    expected = [[int(np.count_nonzero(plane)) for plane in step] for step in gradients[::-1]]
    assert expected != expected[::-1]
    assert StepCounts(trace).nonzero_gradients(1, batch).tolist() == expected


def test_a_second_simulation_counts_nothing_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    made: Counter[str] = Counter()

    def counted(*arguments: object) -> BackwardItems:
        made["items"] += 1
        return backward_items(*arguments)  # type: ignore[arg-type]  # what the counts were given

    monkeypatch.setattr(step_counts, "backward_items", counted)
    trace = make_trace(*STEP)
    counts = StepCounts(trace)
    first = simulate(trace, tiny_config(), counts=counts)
    before = made["items"]
    again = simulate(trace, tiny_config("dram.channels=1"), counts=counts)
    assert made["items"] == before > 0
    assert again.operations == first.operations
    assert simulate(trace, tiny_config("dram.channels=1")).time_ps == again.time_ps != first.time_ps


@pytest.mark.parametrize("key", ["channel_tile=3", "skip_zero_gradients=false", "skip_inactive_outputs=false"])
def test_what_changes_the_items_is_counted_apart(key: str) -> None:
    trace = make_trace(*STEP)
    counts = StepCounts(trace)
    simulate(trace, tiny_config(), counts=counts)
    other = tiny_config(f"backward_engine.{key}")
    assert simulate(trace, other, counts=counts).operations == simulate(trace, other).operations


def test_operations_by_layer_add_up_to_the_work_of_the_step() -> None:
    config = tiny_config()
    result = simulate(make_trace(*STEP), config)
    total: Counter[str] = Counter()
    for (engine, _), operations in result.operations.items():
        total[engine] += operations
    assert total["backward"] == result.work["backward_macs"]
    for engine in ("forward", "weight_update"):
        assert total[engine] == result.work[f"{engine}_look_ups"] * config.lut.k
    assert {layer for engine, layer in result.operations if engine == "forward"} == {0, 1, 2, 3}
