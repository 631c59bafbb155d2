"""Where each tensor of a training step lives: in an on-chip buffer if it fits there whole, else in DRAM.

Tensors are placed greedily, first layer first. Those of a micro-batch need room for every micro-batch in flight. Where
some weights do not fit, room to stage two row blocks and two channel tiles (double buffering) is set aside first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rtl_models.errors import InputError
from tlm.config import Config
from tlm.schedule.geometry import is_direct
from workloads.network import Network

INPUT = -1  # the layer number of the network's input

DRAM_PAGE_BYTES = 4096  # tensors start at multiples of this, so that no two share a DRAM row segment

Key = tuple[str, int]  # (tensor, layer)


@dataclass(frozen=True)
class Tensor:
    """One tensor of one layer: which DRAM stream it belongs to, its bytes (of one micro-batch where it has samples)."""

    stream: str
    layer: int
    buffer: str
    size_bytes: int
    copies: int


@dataclass(frozen=True)
class Placement:
    """Which tensors are resident, the bytes of each buffer they fill, and the DRAM address of every tensor."""

    tensors: dict[Key, Tensor]
    resident: frozenset[Key]
    used_bytes: dict[str, int]
    capacity_bytes: dict[str, int]
    addresses: dict[Key, int]
    dram_bytes: int

    def is_resident(self, stream: str, layer: int) -> bool:
        """Whether the tensor stays on the chip between its producer and its consumers."""
        return (stream, layer) in self.resident


def activation_bits(network: Network, layer: int, samples: int) -> int:
    """Neurons x timesteps x samples of a layer: bits of its spikes or masks."""
    shape = network.layers[layer]
    return network.timesteps * samples * shape.out_positions * shape.out_channels


def input_bytes(network: Network, samples: int) -> int:
    """Bytes of the network's input for `samples` samples."""
    source = network.input
    count = samples * source.height * source.width * source.channels
    return count if is_direct(network, 0) else -(-network.timesteps * count // 8)


def place(network: Network, batch: int, config: Config) -> Placement:
    """Plan the placement of all tensors for micro-batches of the configured size.

    Raises InputError if the output buffer, or the staging of weights, is too small for one tile.
    """
    samples = min(batch, config.arithmetic.micro_batch)
    _check_output_buffer(network, config)
    tensors = {(t.stream, t.layer): t for t in _tensors(network, samples, config)}
    buffers = config.buffers
    capacity = {
        "spikes": buffers.spikes_bytes,
        "weights": buffers.weights_bytes,
        "potentials": buffers.potentials_bytes,
        "gradients": buffers.gradients_bytes,
        "partial_sums": buffers.partial_sums_bytes,
    }
    used = dict.fromkeys(capacity, 0)
    weights_total = sum(t.size_bytes for t in tensors.values() if t.stream == "weights")
    if weights_total > capacity["weights"]:
        used["weights"] = _staging_bytes(network, config)
    resident = set()
    for key, tensor in tensors.items():
        need = tensor.size_bytes * tensor.copies
        if tensor.buffer and used[tensor.buffer] + need <= capacity[tensor.buffer]:
            used[tensor.buffer] += need
            resident.add(key)
    addresses, end = _addresses(tensors, batch, samples)
    return Placement(tensors, frozenset(resident), used, capacity, addresses, end)


def _tensors(network: Network, samples: int, config: Config) -> Iterator[Tensor]:
    value_bytes = config.contract.value.width_bytes
    sum_bytes = config.contract.sum.width_bytes
    flight = config.micro_batches_in_flight if config.pipeline == "end_to_end" else 1
    last = len(network.layers) - 1
    yield Tensor("inputs", INPUT, "spikes", input_bytes(network, samples), flight)
    for layer, shape in enumerate(network.layers):
        yield Tensor("weights", layer, "weights", shape.weights_count * value_bytes, 1)
        yield Tensor("weight_gradients", layer, "partial_sums", shape.weights_count * sum_bytes, 1)
        # master weights and momentum: binary32 each, docs/contract.md "Optimiser"
        yield Tensor("optimiser_state", layer, "", shape.weights_count * 8, 1)
        if layer == last:
            g16 = samples * shape.out_channels * value_bytes
            yield Tensor("gradients", layer, "gradients", g16, flight)
            continue
        bits = activation_bits(network, layer, samples)
        yield Tensor("spikes", layer, "spikes", -(-bits // 8), flight)
        yield Tensor("masks", layer, "potentials", -(-bits // 8), flight)
        yield Tensor("potentials", layer, "potentials", bits * value_bytes, flight)
        # compressed: a bitmap and the non-zero values; room is kept for the densest case
        yield Tensor("gradients", layer, "gradients", -(-bits // 8) + bits * value_bytes, flight)


def _check_output_buffer(network: Network, config: Config) -> None:
    """One job of every forward array must have room, and the backward sums of one position of a channel tile."""
    engine, width = config.forward_engine, config.contract.sum.width_bytes
    channels = max(layer.out_channels for layer in network.layers[:-1])
    forward = engine.arrays * engine.rows * engine.accumulator_depth * width
    backward = min(config.backward_engine.channel_tile, channels) * width
    for least, what in ((forward, "one tile of every forward array"), (backward, "one channel tile of backward sums")):
        if config.buffers.output_bytes < least:
            got = config.buffers.output_bytes
            raise InputError(
                f"the output buffer is smaller than {what}", "buffers.output_bytes", got, f"at least {least}"
            )


def _staging_bytes(network: Network, config: Config) -> int:
    """Room for two row blocks (forward) and two channel tiles (backward): one in use while the next one arrives."""
    rows, tile = config.forward_engine.rows, config.backward_engine.channel_tile
    row_block = max(min(rows, layer.out_channels) * layer.elements for layer in network.layers)
    channel_tile = max(
        layer.weights_count // layer.in_channels * min(tile, layer.in_channels) for layer in network.layers[1:]
    )
    staging = 2 * (row_block + channel_tile) * config.contract.value.width_bytes
    if staging > config.buffers.weights_bytes:
        raise InputError(
            "the weights buffer cannot hold two row blocks and two channel tiles of the largest layer",
            "buffers.weights_bytes",
            config.buffers.weights_bytes,
            f"at least {staging}",
        )
    return staging


def _addresses(tensors: dict[Key, Tensor], batch: int, samples: int) -> tuple[dict[Key, int], int]:
    """Lay all tensors out one after another; those with samples get room for the whole batch."""
    micro_batches = -(-batch // samples)
    per_batch = {"inputs", "spikes", "masks", "potentials", "gradients"}
    addresses = {}
    end = 0
    for key, tensor in tensors.items():
        addresses[key] = end
        size = tensor.size_bytes * (micro_batches if tensor.stream in per_batch else 1)
        end += -(-size // DRAM_PAGE_BYTES) * DRAM_PAGE_BYTES
    return addresses, end
