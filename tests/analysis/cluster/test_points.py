"""The grid of a scaling study: whose images each chip has, what is left out, and what is refused."""

from __future__ import annotations

import pytest

from rtl_models.errors import InputError
from tlm.analysis.cluster.collective import TOPOLOGIES, LinkTiming
from tlm.analysis.cluster.options import DEFAULT_CHIPS, link_timing, parse_names
from tlm.analysis.cluster.points import Batches, Captured, Point, choose_batches, choose_scalings, make_points
from tlm.schedule.geometry import MicroBatch

FOUR = Captured(size=8, count=4)
ONE = Captured(size=8, count=1)


def points_of(captured: Captured, scaling: str, chips: tuple[int, ...], batches: Batches) -> tuple[list[Point], str]:
    notes: list[str] = []
    return make_points(captured, [scaling], ["ring"], chips, batches, notes), " ".join(notes)


def test_a_trace_is_cut_into_micro_batches() -> None:
    assert Captured.of(32, 8) == FOUR
    assert Captured.of(8, 8) == ONE
    assert Captured.of(3, 8) == Captured(3, 1)
    with pytest.raises(InputError, match=r"images of the trace: .* not whole, got 12, allowed: a multiple of 8"):
        Captured.of(12, 8)


def test_chips_have_images_of_their_own_as_long_as_there_are_some() -> None:
    assert FOUR.shares(8, 1) == [(0, 1), (1, 1), (2, 1), (3, 1)]
    assert FOUR.shares(2, 1) == [(0, 1), (1, 1)]
    assert FOUR.shares(8, 2) == [(0, 2), (2, 2)]
    assert FOUR.shares(8, 3) == [(0, 3)]
    assert FOUR.share(2, 2) == (MicroBatch(0, 16, 8), MicroBatch(1, 24, 8))


def test_strong_scaling_divides_the_batch_and_weak_scaling_multiplies_it() -> None:
    batches = Batches(cluster=64, chip=16)
    strong, notes = points_of(FOUR, "strong", (1, 4, 8, 16, 32), batches)
    assert [(p.chips, p.micro_batches) for p in strong] == [(1, 8), (4, 2), (8, 1)]
    assert notes == (
        "strong scaling: 2 of 5 numbers of chips are left out, a batch of 64 has no micro-batch for each chip"
    )
    weak, notes = points_of(FOUR, "weak", (1, 4096), batches)
    assert ([(p.chips, p.micro_batches) for p in weak], notes) == ([(1, 2), (4096, 2)], "")


def test_batches_by_default() -> None:
    assert choose_batches(FOUR, (1, 4096), None, None) == Batches(cluster=32768, chip=32)
    assert choose_batches(FOUR, (4, 6), None, None) == Batches(cluster=12 * 8, chip=32)
    assert choose_batches(FOUR, (1,), 64, 8) == Batches(64, 8)


@pytest.mark.parametrize(
    ("cluster", "chip", "words"),
    [
        (12, None, r"--batch: must be whole micro-batches, got 12, allowed: a multiple of 8"),
        (0, None, r"--batch: must be whole micro-batches, got 0"),
        (None, -8, r"--batch-per-chip: must be whole micro-batches, got -8"),
    ],
)
def test_batches_are_of_whole_micro_batches(cluster: int | None, chip: int | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        choose_batches(FOUR, (1,), cluster, chip)


def test_a_batch_that_cannot_be_divided() -> None:
    words = r"--batch: the batch cannot be divided among 3 chips, got 64, allowed: a multiple of 3 x 8"
    with pytest.raises(InputError, match=words):
        points_of(FOUR, "strong", (1, 3), Batches(64, 8))


def test_no_number_of_chips_left() -> None:
    with pytest.raises(InputError, match=r"--chips: no number of chips is left, got \[16\], allowed: at most 8$"):
        points_of(FOUR, "strong", (16,), Batches(64, 8))


def test_a_trace_of_one_micro_batch_scales_weakly_only() -> None:
    notes: list[str] = []
    assert choose_scalings(ONE, None, notes) == ("weak",)
    assert notes == ["strong scaling is left out: a step of several micro-batches cannot be told from a trace of one"]
    assert choose_scalings(FOUR, None, []) == ("strong", "weak")
    with pytest.raises(InputError, match=r"--scaling: a step of several .*, got 'strong', allowed: weak, or a trace"):
        choose_scalings(ONE, ("strong",), [])
    with pytest.raises(InputError, match=r"--batch-per-chip: a step of several .*, got 16, allowed: 8, or a trace"):
        points_of(ONE, "weak", (1,), Batches(8, 16))


def test_links() -> None:
    assert link_timing(12.5, 0.7) == LinkTiming(12_500, 700_000)
    assert link_timing(25.0, 0.0) == LinkTiming(25_000, 0)


@pytest.mark.parametrize("value", [0.0, -1.0, 0.0001, float("inf"), float("nan")])
def test_a_link_has_a_bandwidth(value: float) -> None:
    with pytest.raises(
        InputError, match=r"^--link-gb-per-s: .*, got .*, allowed: a number above 0, in steps of 0.001$"
    ):
        link_timing(value, 1.0)


@pytest.mark.parametrize("value", [-1.0, 1e-7, float("inf"), float("nan")])
def test_a_link_has_a_latency(value: float) -> None:
    with pytest.raises(InputError, match=r"^--link-latency-us: .*, got .*, allowed: a number of 0 or more, in steps"):
        link_timing(25.0, value)


def test_names() -> None:
    assert parse_names("tree, ring", "--topology", TOPOLOGIES) == ("tree", "ring")
    with pytest.raises(InputError, match=r"--topology: unknown name in the list, got 'torus', allowed: ring, tree"):
        parse_names("ring,torus", "--topology", TOPOLOGIES)
    with pytest.raises(InputError, match=r"--topology: is named twice, got 'ring'"):
        parse_names("ring,ring", "--topology", TOPOLOGIES)


def test_chips_by_default() -> None:
    assert DEFAULT_CHIPS == "1,2,4,8,16,32,64,128,256,512,1024,2048,4096"
