"""The law of element-wise units by itself, and what a user can get wrong about such a unit, in the words he is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtl_models.errors import InputError
from rtl_models.formats import BFLOAT16, BINARY16
from rtl_models.neuron_unit import neuron_unit
from rtl_models.pipeline import PipelineGeometry
from rtl_models.pipeline_task import PipelineTask, pipeline_stimulus
from rtl_models.units import Pattern
from tests.units.pipeline_oracle import pipeline_transfers
from tlm.engines.pipeline_law import PipelineTiming

patterns = st.lists(st.integers(0, 1), max_size=40).map(lambda flags: np.array(flags, np.uint8))
counts_of_groups = st.lists(st.integers(1, 9), min_size=1, max_size=5).map(lambda counts: np.array(counts, np.int64))


@given(st.integers(1, 6), counts_of_groups, patterns, patterns, patterns)
def test_law_equals_the_state_machine(
    latency: int, counts: np.ndarray, constants: Pattern, element: Pattern, out: Pattern
) -> None:
    valid, ready = {"constants": constants, "element": element}, {"out": out}
    said = PipelineTiming(latency).transfers(counts, valid, ready)
    stepped = pipeline_transfers(counts, latency, valid, ready)
    assert {name: getattr(said, name).tolist() for name in stepped} == stepped


@given(st.integers(1, 20), counts_of_groups)
def test_closed_form_is_the_stall_free_case(latency: int, counts: np.ndarray) -> None:
    law = PipelineTiming(latency)
    said = law.transfers(counts)
    assert said.cycles_total == law.stream_cycles(counts)
    assert law.stall_free_cycles(int(counts[0])) == int(counts[0]) + latency
    assert said.out[0] - said.element[0] == latency


def test_a_stream_worked_out_by_hand() -> None:
    # constants in cycle 0, elements in 1 and 2, results 3 cycles later; the sink is not ready in cycles 4 to 6
    law = PipelineTiming(3)
    assert law.transfers([2]).out.tolist() == [4, 5]
    told = law.transfers([4], ready={"out": np.array([1, 1, 1, 1, 0, 0, 0], np.uint8)})
    assert (told.constants.tolist(), told.element.tolist()) == ([0], [1, 2, 3, 7])
    assert told.out.tolist() == [7, 8, 9, 10]


GOOD = PipelineTask(
    constants={name: np.zeros(2, np.uint32) for name in ("alpha", "threshold", "low", "high", "scale")},
    elements={
        "x": np.zeros(5, np.uint32),
        "u_before": np.zeros(5, np.uint16),
        "s_before": np.zeros(5, np.uint8),
        "first": np.zeros(5, np.uint8),
    },
    counts=np.array([3, 2]),
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"counts": np.array([5, 0])},
            r"^pipeline task: elements of a group, got \[5, 0\], allowed: 1 or more, in 1 or more groups$",
        ),
        ({"counts": np.array([3, 3])}, r"^pipeline task: shape of x, got \[5\], allowed: \[6\]$"),
        (
            {"constants": {"alpha": np.zeros(1, np.uint32)}},
            r"^pipeline task: shape of alpha, got \[1\], allowed: \[2\]$",
        ),
    ],
)
def test_tasks_that_make_no_sense(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(GOOD, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"constants": {"alpha": np.zeros(2, np.uint32)}},
            r"^neuron: fields of constants, got \['alpha'\], allowed: alpha, threshold, low, high, scale$",
        ),
        (
            {"elements": {**GOOD.elements, "s_before": np.full(5, 2, np.uint8)}},
            r"^neuron: element.s_before, got 2, allowed: 0..1$",
        ),
        (
            {"elements": {**GOOD.elements, "u_before": np.full(5, 1 << 16, np.uint32)}},
            r"^neuron: element.u_before, got 65536, allowed: 0..65535$",
        ),
    ],
)
def test_tasks_that_do_not_fit_the_unit(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pipeline_stimulus(neuron_unit(PipelineGeometry()), replace(GOOD, **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latency_cycles": 0}, r"^pipelined unit: latency_cycles, got 0, allowed: 1..64$"),
        ({"latency_cycles": 65}, r"^pipelined unit: latency_cycles, got 65, allowed: 1..64$"),
        (
            {"value_format": BFLOAT16, "sum_format": BINARY16},
            r"^pipelined unit: sum format cannot hold bfloat16, got 'binary16', allowed: a format at least as wide$",
        ),
    ],
)
def test_geometries_that_cannot_be_built(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PipelineGeometry(**change)


def test_the_law_refuses_what_cannot_be() -> None:
    with pytest.raises(InputError, match=r"^pipeline law: latency_cycles, got 0, allowed: 1 or more$"):
        PipelineTiming(0)
    with pytest.raises(InputError, match=r"^pipeline law: number of elements, got \[2, 0\], allowed: 1 or more, in"):
        PipelineTiming(1).stream_cycles([2, 0])
