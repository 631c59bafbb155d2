"""Where each tensor of a training step lives: in an on-chip buffer if it fits there whole, else in DRAM.

Tensors are placed greedily, first layer first. Those of a micro-batch need room for every micro-batch in flight. Where
not all tensors of a buffer fit, the room to stage those in DRAM (`tlm.schedule.staging`) is set aside first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rtl_models.errors import InputError
from tlm.config import Config
from tlm.schedule.geometry import is_direct, micro_batches
from tlm.schedule.recomputation import RECOMPUTED_WINDOW, plan_recomputation
from tlm.schedule.staging import Window, largest_forward_job, positions_together, staging_windows
from workloads.network import INPUT, Network

DRAM_PAGE_BYTES = 4096  # tensors start at multiples of this, so that no two share a DRAM row segment

Key = tuple[str, int]  # (tensor, layer)

BUFFER_OF_STREAM = {
    "inputs": "spikes",
    "spikes": "spikes",
    "weights": "weights",
    "masks": "potentials",
    "potentials": "potentials",
    "gradients": "gradients",
    "weight_gradients": "partial_sums",
    "optimiser_state": "partial_sums",
}
"""The buffer through which each DRAM stream passes."""

_STAGED = {
    "spikes": "the timesteps that its readers look at and the next ones",
    "weights": "two row blocks and two channel tiles of the largest layer",
    "potentials": "the timestep before and two parts of the largest layer",
    "gradients": "the timestep before and two parts of the largest layer for every reader",
    "partial_sums": "two jobs of every weight update array and two pieces of the optimiser",
}


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
    """Which tensors are resident, what of each buffer they and the staging fill, and every tensor's DRAM address."""

    tensors: dict[Key, Tensor]
    resident: frozenset[Key]
    used_bytes: dict[str, int]
    staging_bytes: dict[str, int]
    capacity_bytes: dict[str, int]
    addresses: dict[Key, int]
    dram_bytes: int
    windows: dict[str, Window]
    recomputed: frozenset[int] = frozenset()
    """Layers whose potentials and masks are made again for the backward pass, in the window `recomputed_potentials`."""

    @property
    def recomputed_bytes(self) -> int:
        """Room for potentials and masks that are made again, 0 where none are."""
        return self.windows[RECOMPUTED_WINDOW].size_bytes if self.recomputed else 0

    def is_resident(self, stream: str, layer: int) -> bool:
        """Whether the tensor stays on the chip between its producer and its consumers."""
        return (stream, layer) in self.resident


def position_parts(network: Network, number: int, config: Config, placement: Placement) -> tuple[tuple[int, int], ...]:
    """Return (first, end) of the positions of a layer whose backward sums are made one part after the other.

    More than one part only where the weights that they take pass through the buffer, and too many to come together.
    """
    positions = network.layers[number].out_positions
    if all(placement.is_resident("weights", upper) for upper in network.consumers(number)):
        return ((0, positions),)
    together = positions_together(network, number, config)
    return tuple((first, min(first + together, positions)) for first in range(0, positions, together))


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

    Raises InputError if a buffer is too small for one tile, or for the parts that have to be staged in it.
    """
    samples = min(batch, config.arithmetic.micro_batch)
    sizes = tuple(sorted({part.count for part in micro_batches(batch, config.arithmetic.micro_batch)}))
    _check_sums_buffers(network, sizes, config)
    tensors = {(t.stream, t.layer): t for t in _tensors(network, samples, config)}
    windows = staging_windows(network, sizes, config)
    recomputed, hidden = frozenset[int](), network.hidden
    if config.potentials == "recompute":
        sizes_of_layers = {n: tensors["potentials", n].size_bytes + tensors["masks", n].size_bytes for n in hidden}
        recomputed = plan_recomputation(sizes_of_layers, windows, config.buffers.potentials_bytes)
    capacity = {name: getattr(config.buffers, f"{name}_bytes") for name in _STAGED}
    staged = {key: t for key, t in tensors.items() if not (t.buffer == "potentials" and t.layer in recomputed)}
    staging = {name: _staging_bytes(name, staged, windows, size) for name, size in capacity.items()}
    used = dict(staging)
    resident = tensors.keys() - staged.keys()
    for key, tensor in staged.items():
        need = tensor.size_bytes * tensor.copies
        if tensor.buffer and used[tensor.buffer] + need <= capacity[tensor.buffer]:
            used[tensor.buffer] += need
            resident.add(key)
    addresses, end = _addresses(tensors, batch, samples)
    return Placement(tensors, frozenset(resident), used, staging, capacity, addresses, end, windows, recomputed)


def _tensors(network: Network, samples: int, config: Config) -> Iterator[Tensor]:
    value_bytes = config.contract.value.width_bytes
    sum_bytes = config.contract.sum.width_bytes
    flight = config.in_flight
    yield Tensor("inputs", INPUT, "spikes", input_bytes(network, samples), flight)
    for layer, shape in enumerate(network.layers):
        yield Tensor("weights", layer, "weights", shape.weights_count * value_bytes, 1)
        yield Tensor("weight_gradients", layer, "partial_sums", shape.weights_count * sum_bytes, 1)
        # master weights and momentum: binary32 each, docs/contract.md "Optimiser"
        yield Tensor("optimiser_state", layer, "", shape.weights_count * 8, 1)
        if layer not in network.hidden:
            if network.joined(layer) == layer:  # a projection's gradients are those of the layer that it joins
                g16 = samples * shape.out_channels * value_bytes
                yield Tensor("gradients", layer, "gradients", g16, flight)
            continue
        bits = activation_bits(network, layer, samples)
        yield Tensor("spikes", layer, "spikes", -(-bits // 8), flight)
        yield Tensor("masks", layer, "potentials", -(-bits // 8), flight)
        yield Tensor("potentials", layer, "potentials", bits * value_bytes, flight)
        # compressed: a bitmap and the non-zero values; room is kept for the densest case
        planes = network.timesteps * samples
        yield Tensor("gradients", layer, "gradients", planes * -(-bits // planes // 8) + bits * value_bytes, flight)


def _check_sums_buffers(network: Network, sizes: tuple[int, ...], config: Config) -> None:
    """The largest job must have room for every array, and the backward sums of one position of a channel tile."""
    width = config.contract.sum.width_bytes
    channels = max(network.layers[number].out_channels for number in network.hidden)
    forward = config.forward_engine.arrays * largest_forward_job(network, sizes, config) * width
    backward = min(config.backward_engine.channel_tile, channels) * width
    for key, least, what in (
        ("output", forward, "the output buffer is smaller than one tile of every forward array"),
        ("backward_sums", backward, "the buffer of backward sums is smaller than one channel tile of them"),
    ):
        got = getattr(config.buffers, f"{key}_bytes")
        if got < least:
            raise InputError(what, f"buffers.{key}_bytes", got, f"at least {least}")


def _staging_bytes(buffer: str, tensors: dict[Key, Tensor], windows: dict[str, Window], capacity_bytes: int) -> int:
    """Room to set aside in a buffer: for all its windows, or only those always needed where all its tensors fit."""
    mine = [window for window in windows.values() if window.buffer == buffer]
    everything = sum(t.size_bytes * t.copies for t in tensors.values() if t.buffer == buffer)
    always = sum(window.total_bytes for window in mine if window.always)
    if everything + always <= capacity_bytes:
        return always
    staging = sum(window.total_bytes for window in mine)
    if staging > capacity_bytes:
        least = min(staging, everything + always)
        what = f"the {buffer} buffer cannot hold {_STAGED[buffer]}"
        raise InputError(what, f"buffers.{buffer}_bytes", capacity_bytes, f"at least {least}")
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
