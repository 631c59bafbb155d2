"""Which layers are recomputed, the window that they are made in, and what is refused."""

from __future__ import annotations

import re

import pytest
from rich.console import Console

from rtl_models.errors import InputError
from tests.end_to_end.steps import BATCH, make_network, tiny_config
from tlm.report.placement import placement_data, print_placement
from tlm.schedule.placement import Placement, place
from tlm.schedule.recomputation import plan_recomputation
from tlm.schedule.staging import Window

NETWORK = make_network("direct", "conv", 9)
SIZES = {0: 9 * 2 * 64 * 2 + 144, 1: 9 * 2 * 20 * 2 + 45, 2: 9 * 2 * 6 * 2 + 14}
"""Bytes of potentials and masks of two samples of each hidden layer."""
BEFORE = 2 * 20 * 2 + 5
"""The timestep before, of layer 1: layer 0 takes bytes, so its timesteps follow each other."""
PARTS = 136
STATE = ("masks", "potentials")


def plan(*overrides: str) -> Placement:
    return place(NETWORK, BATCH, tiny_config("potentials=recompute", *overrides))


def test_two_neighbours_have_room_where_there_is_some() -> None:
    placement = plan()
    assert placement.recomputed == {0, 1, 2}
    assert placement.recomputed_bytes == SIZES[0] + SIZES[1]
    assert placement.used_bytes["potentials"] == placement.staging_bytes["potentials"] == BEFORE + SIZES[0] + SIZES[1]
    assert all(placement.is_resident(tensor, layer) for tensor in STATE for layer in range(3))


@pytest.mark.parametrize("room", [SIZES[0], SIZES[0] + 100])
def test_one_layer_at_a_time_where_there_is_room_for_no_more(room: int) -> None:
    placement = plan(f"buffers.potentials_bytes={BEFORE + room}")
    assert placement.recomputed == {0, 1, 2}
    assert placement.recomputed_bytes == room


def test_a_layer_that_does_not_fit_is_stored_through_parts() -> None:
    placement = plan(f"buffers.potentials_bytes={BEFORE + SIZES[0] - 1}")
    assert placement.recomputed == {1, 2}
    assert placement.recomputed_bytes == SIZES[1] + SIZES[2]
    assert placement.staging_bytes["potentials"] == BEFORE + PARTS + SIZES[1] + SIZES[2]
    spilled = {key for key in placement.tensors.keys() - placement.resident if key[0] in STATE}
    assert spilled == {("potentials", 0)}  # its masks fit in what is left


def test_a_buffer_without_room_for_any_layer_is_refused() -> None:
    least = BEFORE + PARTS + SIZES[2]
    words = (
        f"buffers.potentials_bytes: the potentials buffer cannot hold any layer that is to be recomputed, "
        f"got {least - 1}, allowed: at least {least}"
    )
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        plan(f"buffers.potentials_bytes={least - 1}")
    assert plan(f"buffers.potentials_bytes={least}").recomputed == {2}


def test_one_large_layer_needs_no_parts() -> None:
    """Where the only layer fits, nothing is stored, so the least room is without parts."""
    windows = {name: Window(name, "potentials", 50) for name in ("timestep_before_potentials", "state_potentials")}
    assert plan_recomputation({0: 100}, dict(windows), 150) == {0}
    with pytest.raises(InputError, match=r"got 149, allowed: at least 150$"):
        plan_recomputation({0: 100}, dict(windows), 149)


def test_two_micro_batches_of_an_only_layer_are_neighbours() -> None:
    windows = {name: Window(name, "potentials", 50) for name in ("timestep_before_potentials", "state_potentials")}
    plan_recomputation({0: 100}, windows, 1000)
    assert windows["recomputed_potentials"].size_bytes == 200


def test_storing_plans_no_recomputation() -> None:
    placement = place(NETWORK, BATCH, tiny_config())
    assert (placement.recomputed, placement.recomputed_bytes) == (frozenset(), 0)
    assert "recomputed_potentials" not in placement.windows


def test_the_placement_shown_says_what_is_recomputed() -> None:
    data = placement_data(plan(), NETWORK)
    assert {row["layer"] for row in data["tensors"] if row["place"] == "recomputed"} == {0, 1, 2}
    console = Console(width=200, record=True)
    with console.capture() as shown:
        print_placement(data, console)
    assert f"staged in potentials: recomputed potentials, {SIZES[0] + SIZES[1]:,} bytes" in shown.get()
    assert "state potentials" not in shown.get()
