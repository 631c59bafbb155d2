"""The knee of curves whose knee is known."""

from __future__ import annotations

from tlm.analysis.bandwidth.knee import Knee, find_knee

MOVED = 1_000_000


def analytic(bandwidth: int, least_ps: int) -> int:
    """Step of a machine that either computes or moves its bytes, whichever takes longer."""
    return max(least_ps, MOVED * 10**6 // bandwidth)


def test_both_definitions_find_the_knee_of_an_ideal_machine() -> None:
    least_ps = 50_000_000  # the bytes need 20,000 bytes a microsecond
    curve = [(bandwidth, analytic(bandwidth, least_ps)) for bandwidth in (5_000, 10_000, 20_000, 40_000)]
    assert find_knee(curve, least_ps, MOVED) == Knee(20_000, 20_000.0)


def test_five_percent_is_near_enough_and_more_is_not() -> None:
    assert find_knee([(1, 106), (2, 105), (4, 100)], 100, MOVED).measured_bytes_per_us == 2


def test_no_bandwidth_may_be_enough() -> None:
    assert find_knee([(1, 200), (2, 150)], 100, MOVED).measured_bytes_per_us is None


def test_a_lucky_point_below_a_slow_one_does_not_count() -> None:
    assert find_knee([(1, 100), (2, 120), (4, 100)], 100, MOVED).measured_bytes_per_us == 4
