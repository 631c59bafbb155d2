"""Closed forms of the all-reduces, by hand, and the shapes of ring and tree."""

from __future__ import annotations

import numpy as np
import pytest

from rtl_models.formats import BINARY16, BINARY32
from tlm.analysis.cluster.addition import ring_sum, tree_sum
from tlm.analysis.cluster.collective import (
    RING,
    TREE,
    Gradient,
    Links,
    LinkTiming,
    children,
    parent,
    ring_chunks,
    tree_depth,
)

TIMING = LinkTiming(bytes_per_us=1_000, latency_ps=7)  # 1000 ps a byte


def test_a_message_takes_whole_picoseconds() -> None:
    assert LinkTiming(3, 0).serial_ps(1) == 333_334
    assert LinkTiming(25_000, 0).serial_ps(25_000) == 10**6


def test_one_chip_has_nothing_to_add() -> None:
    for topology in (RING, TREE):
        assert Links(topology, TIMING, 64).all_reduce_ps(1, Gradient(10, BINARY32)) == 0


def test_a_ring_takes_two_rounds_of_chunks() -> None:
    links = Links(RING, TIMING, 64)
    assert links.all_reduce_ps(4, Gradient(8, BINARY32)) == 6 * (7 + 8_000)
    assert links.all_reduce_ps(4, Gradient(9, BINARY32)) == 6 * (7 + 12_000)  # one chunk has an element more
    assert links.all_reduce_ps(4, Gradient(9, BINARY16)) == 6 * (7 + 6_000)


def test_segments_follow_each_other_up_and_down_a_tree() -> None:
    links = Links(TREE, TIMING, 8)
    assert links.all_reduce_ps(2, Gradient(2, BINARY32)) == 2 * (7 + 8_000)
    assert links.all_reduce_ps(4, Gradient(2, BINARY32)) == 4 * (7 + 8_000)
    # five elements: segments of two, two and one; the two behind the first follow it at once
    assert links.all_reduce_ps(4, Gradient(5, BINARY32)) == 4 * (7 + 8_000) + 8_000 + 4_000
    assert links.segments(Gradient(5, BINARY32)) == [(0, 2), (2, 2), (4, 1)]
    assert Links(TREE, TIMING, 1).segments(Gradient(2, BINARY32)) == [(0, 1), (1, 1)]  # a sum is never cut


def test_chunks_differ_by_one_element_at_most() -> None:
    assert ring_chunks(10, 4) == [3, 3, 2, 2]
    assert ring_chunks(2, 4) == [1, 1, 0, 0]


@pytest.mark.parametrize(("chips", "depth"), [(1, 0), (2, 1), (3, 1), (4, 2), (7, 2), (8, 3), (4096, 12)])
def test_the_tree_s_depth_is_that_of_its_last_chip(chips: int, depth: int) -> None:
    assert tree_depth(chips) == depth
    chip, links = chips - 1, 0
    while chip:
        assert chip in children(parent(chip), chips)
        chip, links = parent(chip), links + 1
    assert links == depth


def test_the_order_of_additions_shows_in_the_bits() -> None:
    """2^24 + 1 is not a binary32 number: who meets whom first decides."""
    gradients = np.array([[2.0**24] * 4, [1.0] * 4, [1.0] * 4, [-(2.0**24)] * 4], np.float32)
    # chunk 0: ((2^24 + 1) + 1) - 2^24; chunk 1: ((1 + 1) - 2^24) + 2^24; chunk 2: ((1 - 2^24) + 2^24) + 1;
    # chunk 3: ((-2^24 + 2^24) + 1) + 1
    assert ring_sum(gradients, BINARY32).tolist() == [0.0, 2.0, 2.0, 2.0]
    # chip 3 is below chip 1: (2^24 + (1 - 2^24)) + 1
    assert tree_sum(gradients, BINARY32).tolist() == [2.0] * 4
    assert gradients.astype(np.float64).sum(axis=0).tolist() == [2.0] * 4
    assert gradients.cumsum(axis=0, dtype=np.float32)[-1].tolist() == [0.0] * 4  # one chip after the other


def test_what_is_not_finite_goes_on() -> None:
    gradients = np.array([[60_000.0], [60_000.0]], np.float32)
    assert np.isposinf(ring_sum(gradients, BINARY16)).all()
    assert np.isnan(tree_sum(np.array([[np.inf], [-np.inf]], np.float32), BINARY32)).all()
