"""How all-reduces and optimisers overlap with the backward pass, on numbers that can be followed by hand."""

from __future__ import annotations

import pytest

from tlm.analysis.cluster.overlap import ChipStep, Contention, StepTimes, cluster_step

ALONE = Contention(1.0, 1.0)
CHIP = ChipStep(ready_ps=(100, 200, 300), optimiser_ps=(10, 50, 20), flush_ps=5)


def test_without_links_only_the_last_optimiser_shows() -> None:
    step = cluster_step([CHIP], (0, 0, 0), ALONE)
    assert (step.step_ps, step.complete_ps) == (325, (100, 200, 300))


def test_all_reduces_follow_each_other_and_the_optimiser_them() -> None:
    step = cluster_step([CHIP], (150, 10, 30), ALONE)
    assert step.complete_ps == (250, 260, 330)
    assert step.step_ps == 355
    assert cluster_step([CHIP], (600, 10, 0), ALONE).step_ps == 710 + 50 + 20 + 5  # the optimiser is the last to end


def test_the_slowest_chip_is_waited_for() -> None:
    late = ChipStep((120, 190, 340), CHIP.optimiser_ps, 5)
    assert cluster_step([CHIP, late], (10, 10, 10), ALONE).complete_ps == (130, 210, 350)


def test_what_both_want_slows_both() -> None:
    """From 100 on the optimiser works for 10 at half speed, the backward pass at three quarters: 20 for 15."""
    contention = Contention(backward=0.75, optimiser=0.5)
    step = cluster_step([CHIP], (0, 0, 0), contention)
    # layer 1: 100 + 20 + (100 - 15) = 205; then 50 take 100 at half speed, in which 75 are computed; 25 remain
    assert step.complete_ps == (100, 205, 330)
    assert step.step_ps == 330 + 20 + 5


def test_an_optimiser_that_is_not_through_goes_on_at_full_speed() -> None:
    slow = ChipStep((100, 200), (90, 10), 0)
    # while 100 are computed in 200, 50 of the optimiser's 90 are done; 40 remain
    assert cluster_step([slow], (0, 0), Contention(0.5, 0.25)).step_ps == 300 + 40 + 10


def test_contention_is_what_two_simulations_have_shown() -> None:
    slow = ChipStep((100, 200), (90, 10), 0)
    free = StepTimes((100, 300), (340, 350), 350)
    assert Contention.of(slow, free) == Contention(0.5, 0.25)
    assert Contention.of(CHIP, StepTimes((100, 200, 300), (110, 250, 320), 325)) == ALONE
    one = ChipStep((100,), (10,), 0)
    assert Contention.of(one, StepTimes((100,), (110,), 110)) == ALONE  # they never meet


def test_a_chip_by_itself_gives_its_parts() -> None:
    assert ChipStep.of(StepTimes((1, 4, 9), (12, 20, 21), 25)) == ChipStep((1, 4, 9), (3, 8, 1), 4)


@pytest.mark.parametrize("micro_batches", [0, 1, 7])
def test_every_micro_batch_more_costs_what_the_last_one_did(micro_batches: int) -> None:
    fewer, more = ChipStep((60, 150, 240), (9, 9, 9), 1), CHIP
    expected = (100 + 40 * micro_batches, 200 + 50 * micro_batches, 300 + 60 * micro_batches)
    assert more.with_more(fewer, micro_batches) == ChipStep(expected, CHIP.optimiser_ps, 5)
