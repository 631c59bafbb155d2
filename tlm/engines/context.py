"""What all engines of one simulated training step share: configuration, plans, progress of the tensors, order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tlm.config import Config
from tlm.engines.hardware import ChipHardware
from tlm.engines.streams import FORWARD, UPDATE, Stream, serial_order
from tlm.kernel.byte_channel import ByteChannel
from tlm.kernel.module import Module, Parent
from tlm.kernel.process import Steps
from tlm.kernel.synchronize import Watermark
from tlm.kernel.time import Clock
from tlm.memory.buffer import BufferPorts
from tlm.memory.dma import Descriptor, Dma, PostedWrites
from tlm.memory.dram import Dram
from tlm.schedule.geometry import MicroBatch
from tlm.schedule.placement import Placement, activation_bits, input_bytes, position_parts
from tlm.schedule.staging import gradient_samples
from tlm.schedule.step_counts import StepCounts
from workloads.network import Network
from workloads.record import Arithmetic
from workloads.trace_file import Trace

TILE_DEPENDENCY = "tile dependency"
RECOMPUTED_STATE = "recomputed potentials"
PIPELINE_ORDER = "pipeline order"
MICRO_BATCHES_IN_FLIGHT = "micro-batches in flight"


@dataclass
class Span:
    """When a stream ran, for the timeline."""

    stream: Stream
    start_ps: int
    end_ps: int = -1


class Progress(Module):
    """How far each tensor of each micro-batch has come: one watermark each, in planes of one timestep and sample."""

    def __init__(self, name: str, parent: Parent) -> None:
        super().__init__(name, parent)
        self._levels: dict[tuple[str, int, int], Watermark] = {}

    def of(self, tensor: str, layer: int, micro_batch: int = 0) -> Watermark:
        """Return the watermark of a tensor; made when first asked for."""
        key = (tensor, layer, micro_batch)
        if key not in self._levels:
            self._levels[key] = Watermark(f"{tensor}_l{layer}_mb{micro_batch}", self)
        return self._levels[key]


class Order(Module):
    """Lets streams begin as the configured pipeline allows, and keeps the times at which they ran.

    `none`: one stream at a time; `layer`: one micro-batch at a time; `end_to_end`: up to `micro_batches_in_flight`.
    """

    def __init__(
        self,
        name: str,
        parent: Parent,
        config: Config,
        network: Network,
        batches: tuple[MicroBatch, ...],
        recomputed: frozenset[int] = frozenset(),
    ) -> None:
        super().__init__(name, parent)
        self.spans: dict[Stream, Span] = {}
        self._serial = config.pipeline == "none"
        self._in_flight = config.in_flight
        self._numbers = {stream: i for i, stream in enumerate(serial_order(network, batches, recomputed))}
        self._streams_left = Watermark("streams_left", self)
        self._batches_left = Watermark("micro_batches_left", self)

    def enter(self, stream: Stream) -> Steps:
        """Wait until `stream` may begin; every stage of its engine calls this."""
        if self._serial:
            yield from self._streams_left.wait_for(self._numbers[stream], PIPELINE_ORDER)
        if stream.engine == FORWARD:
            yield from self.room_for(stream.micro_batch)

    def start(self, stream: Stream) -> None:
        """Note that the engine has begun to work on `stream`; its other stages may say so too."""
        if stream not in self.spans:
            self.spans[stream] = Span(stream, self.simulation.now_ps)

    def room_for(self, batch: MicroBatch) -> Steps:
        """Wait until so few micro-batches are in flight that this one may begin."""
        yield from self._batches_left.wait_for(batch.index - self._in_flight + 1, MICRO_BATCHES_IN_FLIGHT)

    def leave(self, stream: Stream) -> None:
        """Note that every result of `stream` has been delivered."""
        self.spans[stream].end_ps = self.simulation.now_ps
        if self._serial:
            self._streams_left.advance(self._numbers[stream] + 1)
        if stream.engine == UPDATE and stream.layer == 0:
            self._batches_left.advance(stream.micro_batch.index + 1)


class GradientSizes:
    """Compressed sizes of a trace's gradients (a bitmap and the non-zero values) by layer, micro-batch, step, sample.

    Step 0 is the last timestep; the last layer has one g16 [B, M], stored as it is, that serves every step. Steps are
    read back in parts of `samples_per_part` samples.
    """

    def __init__(
        self, network: Network, placement: Placement, progress: Progress, config: Config, counts: StepCounts
    ) -> None:
        self._network = network
        self._counts = counts
        self._placement = placement
        self._progress = progress
        self._config = config
        self._sizes: dict[tuple[int, int], NDArray[np.int64]] = {}
        self._steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self._samples: dict[tuple[int, int], int] = {}

    def bytes_by_sample(self, layer: int, batch: MicroBatch) -> NDArray[np.int64]:
        """Bytes [steps, samples] of one micro-batch's gradients."""
        layer = self._network.joined(layer)
        key = (layer, batch.index)
        if key not in self._sizes:
            width = self._config.contract.value.width_bytes
            if layer == len(self._network.layers) - 1:
                self._sizes[key] = np.full((1, batch.count), self._network.classes * width)
            else:
                shape = self._network.layers[layer]
                bitmap = -(-shape.out_positions * shape.out_channels // 8)
                self._sizes[key] = bitmap + width * self._counts.nonzero_gradients(layer, batch)
        return self._sizes[key]

    def samples_per_part(self, layer: int, batch: MicroBatch) -> int:
        """Samples of a step that are read back together; the last layer's one gradient comes whole."""
        layer = self._network.joined(layer)
        key = (layer, batch.count)
        if key not in self._samples:
            is_last = layer == len(self._network.layers) - 1
            shape = self._network.layers[layer]
            self._samples[key] = batch.count if is_last else gradient_samples(shape, batch.count, self._config)
        return self._samples[key]

    def parts(self, layer: int, batch: MicroBatch) -> int:
        """Parts of a step."""
        return -(-batch.count // self.samples_per_part(layer, batch))

    def step_bytes(self, layer: int, batch: MicroBatch, step: int) -> tuple[int, int]:
        """(offset, length) of one step's gradients."""
        key = (layer, batch.index)
        if key not in self._steps:
            sizes = self.bytes_by_sample(layer, batch).sum(axis=1)
            offsets = np.cumsum(sizes) - sizes
            self._steps[key] = list(zip(offsets.tolist(), sizes.tolist(), strict=True))
        return self._steps[key][step]

    def descriptor(self, layer: int, batch: MicroBatch, step: int, part: int, samples: int | None = None) -> Descriptor:
        """Return the read of one part of one step's gradients from DRAM, to begin when they have been made.

        Parts have `samples` samples, or those of `samples_per_part`.
        """
        layer = self._network.joined(layer)
        sizes = self.bytes_by_sample(layer, batch)
        size = samples or self.samples_per_part(layer, batch)
        first, end = part * size, min(batch.count, (part + 1) * size)
        at = min(step, len(sizes) - 1)
        base = self._placement.addresses["gradients", layer]
        base += batch.index * self._placement.tensors["gradients", layer].size_bytes
        base += int(sizes[:at].sum() + sizes[at, :first].sum())
        made = self._progress.of("gradients", layer, batch.index)
        length = int(sizes[at, first:end].sum())
        return Descriptor("gradients", base, length, made, (step + 1) * batch.count)


@dataclass
class Context:
    """Everything an engine needs of the chip it is part of."""

    config: Config
    clock: Clock
    network: Network
    batches: tuple[MicroBatch, ...]
    placement: Placement
    trace: Trace
    progress: Progress
    gradients: GradientSizes
    order: Order
    dma: dict[str, Dma]
    writes: PostedWrites
    ports: dict[str, BufferPorts]
    dram: Dram
    counts: StepCounts
    recomputed_room: ByteChannel[None]
    """Room for the potentials and masks of layers that are made again, a layer of a micro-batch at a time."""
    hardware: ChipHardware | None = None
    """Units that run as hardware, where the laws do not stand for them."""
    in_cluster: bool = False
    """Whether the optimiser takes the sums of several chips; who adds them up notes so in `sums_for_optimiser`."""

    def sums_for_optimiser(self, layer: int) -> Watermark:
        """Level 1 once a layer's weight gradients are what the optimiser takes: the chip's own, or a cluster's."""
        return self.progress.of("cluster_gradients" if self.in_cluster else "weight_gradients", layer)

    @cached_property
    def arithmetic(self) -> Arithmetic:
        """Formats and sizes that change bits."""
        return self.config.contract

    def window_bytes(self, name: str) -> int:
        """Room of one reader's staging window."""
        return self.placement.windows[name].size_bytes

    @property
    def last_layer(self) -> int:
        """Index of the layer without neurons."""
        return len(self.network.layers) - 1

    def address(self, tensor: str, layer: int, batch: MicroBatch | None = None) -> int:
        """DRAM address of a tensor, or of its part for one micro-batch."""
        base = self.placement.addresses[tensor, layer]
        if batch is None:
            return base
        return base + batch.index * self.placement.tensors[tensor, layer].size_bytes

    def tensor_bytes(self, tensor: str, layer: int, batch: MicroBatch) -> int:
        """Bytes of one micro-batch's part of the inputs, spikes, masks or potentials."""
        if tensor == "inputs":
            return input_bytes(self.network, batch.count)
        bits = activation_bits(self.network, layer, batch.count)
        return bits * self.arithmetic.value.width_bytes if tensor == "potentials" else -(-bits // 8)

    def timestep_read(self, tensor: str, layer: int, batch: MicroBatch, t: int, timesteps: int) -> Descriptor:
        """Return the read of one of `timesteps` parts of a tensor's bytes in DRAM; the parts add up to it exactly."""
        total = self.tensor_bytes(tensor, layer, batch)
        first, end = total * t // timesteps, total * (t + 1) // timesteps
        address = self.address(tensor, layer, batch) + first
        if tensor == "inputs":
            return Descriptor(tensor, address, end - first)
        made = self.progress.of("spikes", layer, batch.index)
        return Descriptor(tensor, address, end - first, made, (t + 1) * batch.count)

    def state_read(
        self, tensor: str, layer: int, batch: MicroBatch, neurons: tuple[int, int], planes: int
    ) -> Descriptor:
        """Return the read of the neurons `neurons` (first, end) of a tensor, made when `planes` planes are."""
        first, end = neurons
        if tensor == "potentials":
            width = self.arithmetic.value.width_bytes
            first, end = first * width, end * width
        else:
            first, end = -(-first // 8), -(-end // 8)
        made = self.progress.of("spikes", layer, batch.index)
        return Descriptor(tensor, self.address(tensor, layer, batch) + first, end - first, made, planes)

    @cached_property
    def position_parts(self) -> dict[int, tuple[tuple[int, int], ...]]:
        """(first, end) of the positions of each layer whose backward sums are made one part after the other."""
        network = self.network
        return {n: position_parts(network, n, self.config, self.placement) for n in network.hidden}

    def state_bytes(self, stream: Stream) -> int:
        """Bytes of the potentials and masks of a stream's layer."""
        layer, batch = stream.layer, stream.micro_batch
        return self.tensor_bytes("potentials", layer, batch) + self.tensor_bytes("masks", layer, batch)

    def recomputed_state(self, stream: Stream) -> Steps:
        """Wait until the potentials and masks of a stream's layer have been made again, where they are."""
        if stream.layer in self.placement.recomputed:
            made = self.progress.of("potentials", stream.layer, stream.micro_batch.index)
            yield from made.wait_for(self.network.timesteps * stream.micro_batch.count, RECOMPUTED_STATE)

    def spill(self, tensor: str, layer: int, batch: MicroBatch, offset: int, length: int) -> Steps:
        """Post a write of `length` bytes of a tensor that is not resident; nothing happens for one that is."""
        if length and not self.placement.is_resident(tensor, layer):
            address = self.address(tensor, layer, batch) + offset
            yield from self.writes.write(Descriptor(tensor, address, length))
