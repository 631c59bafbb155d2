"""One step as numbers: a step of the first images, and larger steps told from two smaller ones."""

from __future__ import annotations

import re

import pytest

from rtl_models.errors import InputError
from tests.end_to_end.steps import BATCH, make_trace, tiny_config
from tlm.analysis.energy.step_energy import energy_of_trace
from tlm.analysis.evaluation.first_images import first_images
from tlm.analysis.evaluation.measure import extend, measure, sizes_to_simulate
from tlm.simulation import simulate

STEP = ("direct", "conv", 3)


def test_all_images_are_the_trace_itself() -> None:
    trace, config = make_trace(*STEP), tiny_config()
    result, energy = energy_of_trace(trace, config)
    found = measure(trace, config, BATCH)
    assert found["time_ps"] == result.time_ps
    assert found["energy_pj"] == energy.energy_pj.to_dict()
    assert found["busy_ps"]["forward"] == result.engines["forward"].busy_ps
    assert found["synaptic_operations"] == sum(result.operations.values())
    assert found["dram_bytes"] == sum(result.dram_read_bytes.values()) + sum(result.dram_written_bytes.values())
    assert sum(found["groups_pj"].values()) == pytest.approx(found["energy_pj"]["nominal"])


def test_first_images_are_fewer_and_leave_the_trace_alone() -> None:
    trace = make_trace(*STEP)
    few = first_images(trace, 2)
    assert (few.batch, trace.batch) == (2, BATCH)
    assert (few.inputs(slice(0, 2)) == trace.inputs(slice(0, 2))).all()
    assert simulate(few, tiny_config()).time_ps < simulate(trace, tiny_config()).time_ps


@pytest.mark.parametrize("images", [0, BATCH + 1])
def test_images_that_are_not_there(images: int) -> None:
    with pytest.raises(InputError, match=rf"^images: the trace has not so many images, got {images}, allowed: 1\.\.5$"):
        first_images(make_trace(*STEP), images)


def test_each_further_image_takes_what_the_last_ones_did() -> None:
    fewer = {"time_ps": 100, "energy_pj": {"low": 1.0, "nominal": 2.0}}
    more = {"time_ps": 130, "energy_pj": {"low": 2.0, "nominal": 6.0}}
    assert extend(fewer, more, (4, 6), 6) == more
    assert extend(fewer, more, (4, 6), 16) == {"time_ps": 280, "energy_pj": {"low": 7.0, "nominal": 26.0}}
    with pytest.raises(
        InputError, match=r"^images: two steps of different sizes are needed, got \(6, 6\), allowed: asc"
    ):
        extend(fewer, more, (6, 6), 16)


def test_sizes_to_simulate() -> None:
    assert sizes_to_simulate(5, 5, 8) == (5,)
    assert sizes_to_simulate(64, 64, 8) == (64,)
    assert sizes_to_simulate(64, 24, 8) == (16, 24)


@pytest.mark.parametrize(
    ("batch", "images", "words"),
    [
        (64, 20, "--images: a step cannot be told from so many images, got 20, allowed: 64 (the whole step), or 2 or"),
        (64, 8, "--images: a step cannot be told from so many images, got 8, allowed: 64 (the whole step), or 2 or"),
        (60, 24, "--batch: must be whole micro-batches, got 60, allowed: a multiple of 8, or --images as many"),
    ],
)
def test_sizes_that_tell_nothing(batch: int, images: int, words: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(words)}"):
        sizes_to_simulate(batch, images, 8)
