"""Where tensors live: the greedy rule, room for every micro-batch in flight, addresses, and what is refused."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from rtl_models.errors import InputError
from tests.end_to_end.steps import BATCH, make_network, tiny_config
from tlm.schedule.placement import DRAM_PAGE_BYTES, INPUT, activation_bits, input_bytes, place
from workloads.network import load_network

NETWORK = make_network("direct", "conv", 3)
"""Layers of 4x4x4, 2x2x5, 6 and 3 outputs; weights 48, 180, 120 and 18; two samples in a micro-batch."""


def test_bytes_of_inputs_and_activations() -> None:
    assert activation_bits(NETWORK, 0, 2) == 3 * 2 * 64
    assert activation_bits(NETWORK, 1, 2) == 3 * 2 * 20
    assert input_bytes(NETWORK, 2) == 2 * 24
    assert input_bytes(make_network("spikes", "conv", 3), 3) == 27  # 216 bits


def test_sizes_of_all_tensors_of_a_micro_batch() -> None:
    sizes = {key: tensor.size_bytes for key, tensor in place(NETWORK, BATCH, tiny_config()).tensors.items()}
    assert sizes == {
        ("inputs", INPUT): 48,
        ("weights", 0): 96, ("weights", 1): 360, ("weights", 2): 240, ("weights", 3): 36,
        ("weight_gradients", 0): 192, ("weight_gradients", 1): 720,
        ("weight_gradients", 2): 480, ("weight_gradients", 3): 72,
        ("optimiser_state", 0): 384, ("optimiser_state", 1): 1440,
        ("optimiser_state", 2): 960, ("optimiser_state", 3): 144,
        ("spikes", 0): 48, ("spikes", 1): 15, ("spikes", 2): 5,
        ("masks", 0): 48, ("masks", 1): 15, ("masks", 2): 5,
        ("potentials", 0): 768, ("potentials", 1): 240, ("potentials", 2): 72,
        ("gradients", 0): 48 + 768, ("gradients", 1): 15 + 240, ("gradients", 2): 5 + 72,
        ("gradients", 3): 2 * 3 * 2,
    }  # fmt: skip


def test_all_but_the_optimiser_s_state_stays_where_there_is_room() -> None:
    placement = place(NETWORK, BATCH, tiny_config())
    assert placement.tensors.keys() - placement.resident == {("optimiser_state", layer) for layer in range(4)}
    flight = 2
    assert placement.used_bytes == {
        "spikes": flight * (48 + 48 + 15 + 5),
        "weights": 96 + 360 + 240 + 36,
        "potentials": flight * (48 + 768 + 15 + 240 + 5 + 72),
        "gradients": flight * (816 + 255 + 77 + 12),
        "partial_sums": 192 + 720 + 480 + 72,
    }


@pytest.mark.parametrize("pipeline", ["none", "layer"])
def test_one_micro_batch_in_flight_needs_room_once(pipeline: str) -> None:
    placement = place(NETWORK, BATCH, tiny_config(f"pipeline={pipeline}", "micro_batches_in_flight=3"))
    assert placement.used_bytes["spikes"] == 48 + 48 + 15 + 5


def test_first_layers_go_first_and_a_later_smaller_one_may_still_fit() -> None:
    """Inputs (96 bytes for two micro-batches) and layer 0 (96) leave no room for layer 1 (30), but for layer 2 (10)."""
    placement = place(NETWORK, BATCH, tiny_config("buffers.spikes_bytes=205"))
    resident = {
        layer for layer in (INPUT, 0, 1, 2) for name in ("inputs", "spikes") if placement.is_resident(name, layer)
    }
    assert resident == {INPUT, 0, 2}
    assert placement.used_bytes["spikes"] == 96 + 96 + 10


def test_a_tensor_fits_to_the_byte() -> None:
    for room, fits in ((192, True), (191, False)):
        placement = place(NETWORK, BATCH, tiny_config(f"buffers.spikes_bytes={room}"))
        assert placement.is_resident("spikes", 0) is fits


def test_staging_is_set_aside_only_where_some_weights_do_not_fit() -> None:
    total = 96 + 360 + 240 + 36
    assert place(NETWORK, BATCH, tiny_config(f"buffers.weights_bytes={total}")).used_bytes["weights"] == total
    placement = place(NETWORK, BATCH, tiny_config(f"buffers.weights_bytes={total - 1}"))
    row_block = 2 * 36  # rows of layer 1, weights of a row
    channel_tile = 2 * 5 * 3 * 3  # channels of layer 1, weights of a channel
    staging = 2 * (row_block + channel_tile) * 2
    assert placement.used_bytes["weights"] == staging + 36
    assert [placement.is_resident("weights", layer) for layer in range(4)] == [False, False, False, True]


def test_addresses_are_disjoint_pages_for_the_whole_batch() -> None:
    placement = place(NETWORK, BATCH, tiny_config())
    spans = []
    for key, tensor in placement.tensors.items():
        per_batch = tensor.stream in {"inputs", "spikes", "masks", "potentials", "gradients"}
        spans.append((placement.addresses[key], placement.addresses[key] + tensor.size_bytes * (3 if per_batch else 1)))
    spans.sort()
    assert all(first % DRAM_PAGE_BYTES == 0 for first, _ in spans)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert spans[-1][1] <= placement.dram_bytes


def test_the_preset_holds_all_of_digits_conv() -> None:
    from tlm.config import load_config

    placement = place(load_network("digits-conv"), 32, load_config())
    assert {stream for stream, _ in placement.tensors.keys() - placement.resident} == {"optimiser_state"}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ("buffers.output_bytes=255",),
            "buffers.output_bytes: the output buffer is smaller than one tile of every forward array, "
            "got 255, allowed: at least 256",
        ),
        (
            (
                "forward_engine={arrays: 1, rows: 1, accumulator_depth: 1}",
                "backward_engine.channel_tile=64",
                "buffers.output_bytes=23",
            ),
            "buffers.output_bytes: the output buffer is smaller than one channel tile of backward sums, "
            "got 23, allowed: at least 24",
        ),
        (
            ("buffers.weights_bytes=647",),
            "buffers.weights_bytes: the weights buffer cannot hold two row blocks and two channel tiles "
            "of the largest layer, got 647, allowed: at least 648",
        ),
    ],
)
def test_what_cannot_hold_one_tile_is_refused(overrides: tuple[str, ...], words: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        place(NETWORK, BATCH, tiny_config(*overrides))
