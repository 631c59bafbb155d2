"""DRAM bytes of a training step in closed form: from shapes, the trace's sparsity, the configuration and the placement.

Nothing here runs an engine or lists a transfer; the simulation's counts are held against it, byte for byte.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tlm.config import Config
from tlm.schedule.geometry import MicroBatch, is_direct, micro_batches, update_work
from tlm.schedule.lut_jobs import plan_jobs
from tlm.schedule.placement import Key, Placement, activation_bits, input_bytes, position_parts
from tlm.schedule.staging import STATE_BYTES
from tlm.schedule.step_counts import StepCounts
from workloads.network import CONSTANT, INPUT, Network


@dataclass(frozen=True)
class Traffic:
    """Bytes read and written by (stream, layer)."""

    read: Counter[Key] = field(default_factory=Counter)
    written: Counter[Key] = field(default_factory=Counter)

    def read_by_stream(self) -> Counter[str]:
        """Bytes read of each stream, all layers together."""
        return _by_stream(self.read)

    def written_by_stream(self) -> Counter[str]:
        """Bytes written of each stream, all layers together."""
        return _by_stream(self.written)


def count_traffic(network: Network, batch: int, config: Config, placement: Placement, counts: StepCounts) -> Traffic:
    """Return what a step of `batch` samples moves to and from DRAM, all of it and nothing twice."""
    return _Count(network, batch, config, placement, counts).count()


def _by_stream(bytes_by_key: Counter[Key]) -> Counter[str]:
    total: Counter[str] = Counter()
    for (stream, _), size in bytes_by_key.items():
        total[stream] += size
    return +total


class _Count:
    def __init__(self, network: Network, batch: int, config: Config, placement: Placement, counts: StepCounts) -> None:
        self.network, self.config, self.counts = network, config, counts
        self.layers, self.last = network.layers, len(network.layers) - 1
        self.batches = micro_batches(batch, config.arithmetic.micro_batch)
        self.placement = placement
        self.spilled = placement.tensors.keys() - placement.resident
        self.recomputed = placement.recomputed
        self.value, self.sum = config.contract.value.width_bytes, config.contract.sum.width_bytes
        self.traffic = Traffic()

    def count(self) -> Traffic:
        read, written = self.traffic.read, self.traffic.written
        for batch in self.batches:
            self.inputs(batch)
            for layer in range(self.last + 1):
                self.weights(layer, batch)
                self.weight_gradients(layer, batch)
            for layer in self.network.main:
                self.gradients(layer, batch)
            for layer in self.network.hidden:
                self.activations(layer, batch)
        for number, shape in enumerate(self.layers):
            read["optimiser_state", number] += shape.weights_count * STATE_BYTES
            written["optimiser_state", number] += shape.weights_count * STATE_BYTES
            written["weights", number] += shape.weights_count * self.value
            if ("weight_gradients", number) in self.spilled:
                read["weight_gradients", number] += shape.weights_count * self.sum
        return self.traffic

    def inputs(self, batch: MicroBatch) -> None:
        """Read once where they stay, else by every row block and every job of the weight update."""
        times = self.readers(INPUT, batch) if ("inputs", INPUT) in self.spilled else 1
        self.traffic.read["inputs", INPUT] += times * input_bytes(self.network, batch.count)

    def weights(self, layer: int, batch: MicroBatch) -> None:
        """Read once where they stay, else by every micro-batch's forward pass, its repetition and backward steps."""
        times = int(batch.index == 0)
        if ("weights", layer) in self.spilled:
            summed = 0 if self.layers[layer].source in (INPUT, CONSTANT) else self.network.timesteps
            times = 1 + min(summed, 1 if layer == self.last else summed)
            times += int(self.network.joined(layer) in self.recomputed)
        self.traffic.read["weights", layer] += times * self.layers[layer].weights_count * self.value

    def weight_gradients(self, layer: int, batch: MicroBatch) -> None:
        """Written by every micro-batch where they do not stay, and read again by the next one."""
        if ("weight_gradients", layer) in self.spilled:
            size = self.layers[layer].weights_count * self.sum
            self.traffic.written["weight_gradients", layer] += size
            self.traffic.read["weight_gradients", layer] += size if batch.index else 0

    def gradients(self, layer: int, batch: MicroBatch) -> None:
        """Written once, compressed; read by every part of every channel tile below and every weight update job."""
        key = ("gradients", layer)
        if key not in self.spilled:
            return
        if layer == self.last:
            size = batch.count * self.network.classes * self.value
        else:
            neurons = self.layers[layer].out_positions * self.layers[layer].out_channels
            bitmaps = self.network.timesteps * batch.count * -(-neurons // 8)
            size = bitmaps + int(self.counts.nonzero_gradients(layer, batch).sum()) * self.value
        tiles = sum(
            -(-self.layers[source].out_channels // self.config.backward_engine.channel_tile)
            * len(position_parts(self.network, source, self.config, self.placement))
            for source in self.network.taken(layer)
            if source != INPUT
        )
        jobs = (
            0
            if is_direct(self.network, layer)
            else sum(self.update_jobs(part, batch) for part in self.network.parts(layer))
        )
        self.traffic.written[key] += size
        self.traffic.read[key] += (tiles + jobs) * size

    def activations(self, layer: int, batch: MicroBatch) -> None:
        """Written once; read by the gradient unit, spikes also by whoever takes the layer's output."""
        bits = activation_bits(self.network, layer, batch.count)
        for tensor, size in (("spikes", -(-bits // 8)), ("masks", -(-bits // 8)), ("potentials", bits * self.value)):
            if (tensor, layer) in self.spilled:
                readers = 1 + (self.readers(layer, batch) if tensor == "spikes" else 0)
                self.traffic.written[tensor, layer] += size
                self.traffic.read[tensor, layer] += readers * size

    def readers(self, source: int, batch: MicroBatch) -> int:
        """How often a layer's spikes are read: by each row block (of both passes), and each job of a weight update."""
        found = sum(self.update_jobs(layer, batch) for layer in self.network.consumers(source))
        for layer in self.network.main:
            if source in self.network.taken(layer):
                row_blocks = -(-self.layers[layer].out_channels // self.config.forward_engine.rows)
                found += (2 if layer in self.recomputed else 1) * row_blocks
        return found

    def update_jobs(self, layer: int, batch: MicroBatch) -> int:
        work, engine = (
            update_work(self.network, layer, batch.count, self.config.contract),
            self.config.weight_update_engine,
        )
        return len(plan_jobs(work, engine, self.config.engine_timing(engine)).jobs)
