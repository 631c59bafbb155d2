"""The grid of a study: its order, the buffers that shrink, and lists that are refused."""

from __future__ import annotations

from fractions import Fraction

import pytest

from rtl_models.errors import InputError
from tests.end_to_end.steps import ARITHMETIC, TINY, tiny_config
from tlm.analysis.bandwidth.dram_choice import parse_dram
from tlm.analysis.bandwidth.points import (
    SCALED_BUFFERS,
    Workload,
    base_config,
    config_of,
    make_points,
    parse_factors,
    parse_whole,
)
from tlm.config import load_config

WORKLOADS = (Workload(2, 4), Workload(3, 4))


def test_every_dram_with_every_buffer_size_and_workload() -> None:
    points = make_points(
        tiny_config(), WORKLOADS, parse_factors("0.5,1"), parse_dram("2GB/s,4GB/s", tiny_config()), ("store",)
    )
    assert [point.number for point in points] == list(range(12))
    assert [point.dram.label for point in points[:3]] == ["2GB/s", "4GB/s", "unlimited"]
    assert len({(point.workload, point.buffer_factor, point.dram.label) for point in points}) == 12
    assert points[5].name == "unlimited, buffers x1, T 2, batch 4"


def test_both_ways_with_the_buffers_nearest_to_their_own_size() -> None:
    factors, drams = parse_factors("0.25,0.75,2"), parse_dram("2GB/s", tiny_config())
    points = make_points(tiny_config(), WORKLOADS[:1], factors, drams)
    assert [(float(point.buffer_factor), point.potentials) for point in points[::2]] == [
        (0.25, "store"),
        (0.75, "store"),
        (0.75, "recompute"),
        (2.0, "store"),
    ]
    assert [config_of(point).potentials for point in points] == [point.potentials for point in points]
    assert points[4].name == "2GB/s, buffers x0.75, T 2, batch 4, recomputed"
    other = make_points(tiny_config("potentials=recompute"), WORKLOADS[:1], factors, drams)
    assert [point.potentials for point in other[::2]] == ["recompute", "recompute", "store", "recompute"]


def test_buffers_of_tensors_are_scaled_and_no_other_key() -> None:
    config = tiny_config()
    (half, *_) = make_points(config, WORKLOADS, parse_factors("1/2"), parse_dram("64GB/s", config))
    before, after = config.model_dump(), config_of(half).model_dump()
    for name in SCALED_BUFFERS:
        key = f"{name}_bytes"
        assert after["buffers"].pop(key) == before["buffers"].pop(key) // 2
    assert after["buffers"] == before["buffers"]
    after["dram"] = before["dram"]
    assert after == before


def test_a_buffer_of_nothing_is_that_point_s_error() -> None:
    (point, *_) = make_points(tiny_config(), WORKLOADS, (Fraction(1, 10**9),), parse_dram("64GB/s", tiny_config()))
    with pytest.raises(
        InputError, match=r"64GB/s, buffers x1e-09, T 2, batch 4: buffers\.\w+_bytes: wrong value, got 0"
    ):
        config_of(point)


def test_a_trace_s_arithmetic_is_taken_over() -> None:
    assert base_config(None, (), ARITHMETIC).contract == ARITHMETIC
    assert base_config(None, TINY, None) == load_config("h2learn", TINY)


@pytest.mark.parametrize("entry", ["0", "-1", "two", "", "1.5", "4,4"])
def test_whole_numbers_that_are_refused(entry: str) -> None:
    words = "--batch: (wrong value in the list|is named twice), got '[^']*'"
    with pytest.raises(InputError, match=words):
        parse_whole(f"2,{entry}", "--batch")
    assert parse_whole("2, 4", "--batch") == (2, 4)


@pytest.mark.parametrize("entry", ["0", "-0.5", "half", "", "1/0", "nan", "inf", "0.50"])
def test_factors_that_are_refused(entry: str) -> None:
    words = "--buffers: (wrong value in the list, got '[^']*', allowed: numbers above 0, e.g.|is named twice)"
    with pytest.raises(InputError, match=words):
        parse_factors(f"0.5,{entry}")
    assert parse_factors("0.25, 2") == (Fraction(1, 4), Fraction(2))
