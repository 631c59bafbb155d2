"""Where tensors live: the greedy rule, room for every micro-batch in flight, addresses, and what is refused."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from rtl_models.errors import InputError
from tests.end_to_end.steps import BATCH, make_network, tiny_config
from tlm.schedule.placement import DRAM_PAGE_BYTES, activation_bits, input_bytes, place
from workloads.network import INPUT, load_network

NETWORK = make_network("direct", "conv", 3)
"""Layers of 4x4x4, 2x2x5, 6 and 3 outputs; weights 48, 180, 120 and 18; two samples in a micro-batch."""
LONG = make_network("direct", "conv", 9)
"""The same with nine timesteps: staging takes less room than everything."""


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
        ("gradients", 0): 6 * 8 + 768, ("gradients", 1): 6 * 3 + 240, ("gradients", 2): 6 * 1 + 72,
        ("gradients", 3): 2 * 3 * 2,
    }  # fmt: skip


def test_all_but_the_optimiser_s_state_stays_where_there_is_room() -> None:
    placement = place(NETWORK, BATCH, tiny_config())
    assert placement.tensors.keys() - placement.resident == {("optimiser_state", layer) for layer in range(4)}
    flight = 2
    optimiser = 2 * 6 * (8 + 4)  # two pieces of a DMA chunk of state, and their sums
    assert placement.staging_bytes == dict.fromkeys(placement.used_bytes, 0) | {"partial_sums": optimiser}
    assert placement.used_bytes == {
        "spikes": flight * (48 + 48 + 15 + 5),
        "weights": 96 + 360 + 240 + 36,
        "potentials": flight * (48 + 768 + 15 + 240 + 5 + 72),
        "gradients": flight * (816 + 258 + 78 + 12),
        "partial_sums": 192 + 720 + 480 + 72 + optimiser,
    }


@pytest.mark.parametrize("pipeline", ["none", "layer"])
def test_one_micro_batch_in_flight_needs_room_once(pipeline: str) -> None:
    placement = place(NETWORK, BATCH, tiny_config(f"pipeline={pipeline}", "micro_batches_in_flight=3"))
    assert placement.used_bytes["spikes"] == 48 + 48 + 15 + 5


def test_first_layers_go_first_and_a_later_smaller_one_may_still_fit() -> None:
    """Beside the staging, layer 0 (4,896 bytes for two micro-batches) leaves no room for layer 1, but for 2 and 3."""
    staging, first, third, last = 1344, 2 * 2448, 2 * 234, 2 * 12
    placement = place(LONG, BATCH, tiny_config(f"buffers.gradients_bytes={staging + first + third + last + 50}"))
    assert [placement.is_resident("gradients", layer) for layer in range(4)] == [True, False, True, True]
    assert placement.staging_bytes["gradients"] == staging
    assert placement.used_bytes["gradients"] == staging + first + third + last


def test_a_tensor_fits_to_the_byte() -> None:
    for room, fits in ((4896, True), (4895, False)):
        placement = place(LONG, BATCH, tiny_config(f"buffers.gradients_bytes={1344 + room}"))
        assert placement.is_resident("gradients", 0) is fits


@pytest.mark.parametrize(
    ("buffer", "total"),
    [("spikes", 2 * (48 + 144 + 45 + 14)), ("weights", 96 + 360 + 240 + 36), ("partial_sums", 1464 + 144)],
)
def test_a_buffer_of_all_its_tensors_stages_nothing_and_one_of_a_byte_less_everything(buffer: str, total: int) -> None:
    fits = place(LONG, BATCH, tiny_config(f"buffers.{buffer}_bytes={total}"))
    assert fits.used_bytes[buffer] == total
    placement = place(LONG, BATCH, tiny_config(f"buffers.{buffer}_bytes={total - 1}"))
    windows = [window for window in placement.windows.values() if window.buffer == buffer]
    assert placement.staging_bytes[buffer] == sum(window.total_bytes for window in windows) > 0
    assert placement.used_bytes[buffer] < total


def test_room_of_every_window() -> None:
    """Layers of 4x4x4, 2x2x5, 6 and 3 outputs, nine timesteps, two samples; one sample is more than a part holds."""
    windows = place(LONG, BATCH, tiny_config("dma.part_bytes=1")).windows
    assert {name: (window.size_bytes, window.count) for name, window in windows.items()} == {
        "forward_weights": (2 * (2 * 36) * 2, 1),  # two rows of layer 1
        "backward_weights": (2 * (2 * 45) * 2, 1),  # two channels of it
        "forward_spikes": (2 * 48, 1),  # the pictures of both samples: more than five timesteps for layer 1
        "update_spikes": (2 * 48, 3),
        "state_spikes": (2 * 4, 1),  # layer 0, one sample, two channels: 32 bits
        "state_potentials": (2 * (64 + 4), 1),
        "timestep_before_potentials": (2 * 20 * 2 + 5, 1),  # layer 1; layer 0 takes bytes
        "backward_gradients": (2 * (8 + 128), 1),
        "update_gradients": (2 * (8 + 128), 3),
        "timestep_before_gradients": (2 * 64 * 2, 1),
        "update_sums": (2 * 2 * 8 * 4, 3),
        "optimiser": (2 * 6 * 12, 1),
    }


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


SUMS = ("forward_engine={arrays: 1, rows: 1, accumulator_depth: 1}", "backward_engine.channel_tile=64")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ("buffers.output_bytes=255",),
            "buffers.output_bytes: the output buffer is smaller than one tile of every forward array, "
            "got 255, allowed: at least 256",
        ),
        (
            (*SUMS, "buffers.backward_sums_bytes=23"),
            "buffers.backward_sums_bytes: the buffer of backward sums is smaller than one channel tile of them, "
            "got 23, allowed: at least 24",
        ),
        (
            ("buffers.weights_bytes=647",),
            "buffers.weights_bytes: the weights buffer cannot hold two row blocks and two channel tiles "
            "of the largest layer, got 647, allowed: at least 648",
        ),
        (
            ("buffers.spikes_bytes=391",),
            "buffers.spikes_bytes: the spikes buffer cannot hold the timesteps that its readers look at and the next "
            "ones, got 391, allowed: at least 392",
        ),
        (
            ("buffers.potentials_bytes=220",),
            "buffers.potentials_bytes: the potentials buffer cannot hold the timestep before and two parts of the "
            "largest layer, got 220, allowed: at least 221",
        ),
        (
            ("buffers.gradients_bytes=1343",),
            "buffers.gradients_bytes: the gradients buffer cannot hold the timestep before and two parts of the "
            "largest layer for every reader, got 1343, allowed: at least 1344",
        ),
        (
            ("buffers.partial_sums_bytes=527",),
            "buffers.partial_sums_bytes: the partial_sums buffer cannot hold two jobs of every weight update array and "
            "two pieces of the optimiser, got 527, allowed: at least 528",
        ),
    ],
)
def test_what_cannot_hold_one_tile_is_refused(overrides: tuple[str, ...], words: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        place(LONG, BATCH, tiny_config(*overrides))


def test_a_small_network_needs_no_more_room_than_all_its_tensors() -> None:
    """Staging the input of three arrays would take more than keeping everything."""
    network = make_network("direct", "linear", 3)
    everything = 2 * (48 + 6)
    place(network, BATCH, tiny_config(f"buffers.spikes_bytes={everything}"))
    with pytest.raises(InputError, match=f"got {everything - 1}, allowed: at least {everything}$"):
        place(network, BATCH, tiny_config(f"buffers.spikes_bytes={everything - 1}"))
