"""Room through which tensors that live in DRAM pass the on-chip buffers: double-buffered, and set aside before placing.

A reader has one part of a tensor in use while the next one arrives. Activations and gradients are cut into parts of
whole samples of one timestep, of at most `dma.part_bytes` where one sample is no more than that; each is given the room
of its largest layer. The neuron and the gradient unit also keep the timestep before of what they make.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tlm.config import Config
from tlm.schedule.geometry import forward_work, is_direct, update_work
from tlm.schedule.lut_jobs import LutPlan, plan_jobs
from workloads.network import INPUT, Layer, Network

IN_USE_AND_NEXT = 2
STATE_BYTES = 8  # master weight and momentum, binary32 each (docs/contract.md)


@dataclass(frozen=True)
class Window:
    """Room of `size_bytes` in `buffer` for each of `count` readers."""

    name: str
    buffer: str
    size_bytes: int
    count: int = 1
    always: bool = False
    """Whether it is needed even where all tensors of its buffer fit."""

    @property
    def total_bytes(self) -> int:
        """Room of all readers."""
        return self.size_bytes * self.count


def samples_per_part(sample_bytes: int, samples: int, part_bytes: int) -> int:
    """Samples whose parts travel together: as many as `part_bytes` hold, at least one."""
    return max(1, min(samples, part_bytes // max(1, sample_bytes)))


def state_samples(layer: Layer, samples: int, config: Config) -> int:
    """Samples of one timestep and channel tile of a layer that the gradient unit reads back together."""
    channels = min(config.backward_engine.channel_tile, layer.out_channels)
    sample_bytes = layer.out_positions * channels * config.contract.value.width_bytes
    return samples_per_part(sample_bytes, samples, config.dma.part_bytes)


def gradient_samples(layer: Layer, samples: int, config: Config) -> int:
    """Samples of one timestep of a layer's gradients that are read back together."""
    return samples_per_part(_dense_gradient_bytes(layer, config), samples, config.dma.part_bytes)


def gradients_taken(network: Network, number: int) -> tuple[int, ...]:
    """Return the layers whose gradients the backward sums of a layer are made of, each once, ascending."""
    joined = {network.joined(upper) for upper in network.consumers(number)}
    return tuple(sorted(joined.union(network.identities(number))))


def consumer_samples(network: Network, number: int, samples: int, config: Config) -> int:
    """Samples of one timestep of all gradients that a layer's backward sums take, read back together."""
    last = len(network.layers) - 1
    sizes = [
        samples if upper == last else gradient_samples(network.layers[upper], samples, config)
        for upper in gradients_taken(network, number)
    ]
    return min(sizes)


def positions_together(network: Network, number: int, config: Config) -> int:
    """Positions of a layer whose backward sums are made with weights that are on the chip together, where these pass.

    All of them; but below a fully connected layer every position has weights of its own, and there as many as two parts
    of them have room for beside the row blocks of the forward engine.
    """
    layer, consumers = network.layers[number], network.consumers(number)
    if len(consumers) != 1 or not network.layers[consumers[0]].fully_connected:
        return layer.out_positions
    room = config.buffers.weights_bytes - _row_blocks_bytes(network, config)
    channels = min(config.backward_engine.channel_tile, layer.out_channels)
    position_bytes = channels * network.layers[consumers[0]].out_channels * config.contract.value.width_bytes
    return max(1, min(layer.out_positions, room // IN_USE_AND_NEXT // position_bytes))


def optimiser_piece(config: Config) -> int:
    """Weights that the optimiser works on at once: a DMA chunk of their state."""
    return max(1, config.dma.chunk_bytes // STATE_BYTES)


def span_timesteps(layer: Layer, samples: int, timesteps: int, plan: LutPlan) -> int:
    """Most timesteps that the forward arrays look at together."""
    together = plan.arrays * max(job.position_count for job in plan.jobs)
    return min(timesteps, -(-together // (samples * layer.out_positions)) + 1)


def largest_forward_job(network: Network, sizes: tuple[int, ...], config: Config) -> int:
    """Sums of the largest job of the forward engine."""
    largest = 0
    for samples in sizes:
        for number in network.main:
            plan = _forward_plan(network, number, samples, config)
            largest = max(largest, max(job.row_count * job.position_count for job in plan.jobs))
    return largest


def staging_windows(network: Network, sizes: tuple[int, ...], config: Config) -> dict[str, Window]:
    """Return the windows of all readers, as if nothing stayed on the chip; `sizes` are the micro-batches' samples."""
    windows = (
        *_weight_windows(network, config),
        *_spike_windows(network, sizes, config),
        *_state_windows(network, sizes, config),
        *_gradient_windows(network, sizes, config),
        *_sum_windows(network, sizes, config),
    )
    return {window.name: window for window in windows}


def _weight_windows(network: Network, config: Config) -> Iterator[Window]:
    width, tile = config.contract.value.width_bytes, config.backward_engine.channel_tile
    layers = network.layers
    channel_tile = max(
        min(tile, layers[number].out_channels)
        * sum(layers[upper].weights_count // layers[upper].in_channels for upper in network.consumers(number))
        * positions_together(network, number, config)
        // layers[number].out_positions
        for number in network.hidden
    )
    yield Window("forward_weights", "weights", _row_blocks_bytes(network, config))
    yield Window("backward_weights", "weights", IN_USE_AND_NEXT * channel_tile * width)


def _row_blocks_bytes(network: Network, config: Config) -> int:
    rows, layers = config.forward_engine.rows, network.layers
    row_block = max(
        sum(min(rows, layers[part].out_channels) * layers[part].elements for part in network.parts(number))
        for number in network.main
    )
    return IN_USE_AND_NEXT * row_block * config.contract.value.width_bytes


def _spike_windows(network: Network, sizes: tuple[int, ...], config: Config) -> Iterator[Window]:
    forward = update = state = 0
    for samples in sizes:
        for number in network.main:
            timesteps = 1 if is_direct(network, number) else network.timesteps
            parts = [_spikes_bytes(network, source, samples) for source in network.taken(number)]
            plan = _forward_plan(network, number, samples, config)
            span = span_timesteps(network.layers[number], samples, timesteps, plan)
            forward = max(forward, (span + 1) * sum(parts))
            update = max(update, IN_USE_AND_NEXT * max(parts))
        for layer in _hidden(network):
            state = max(state, IN_USE_AND_NEXT * -(-_state_bits(layer, samples, config) // 8))
    yield Window("forward_spikes", "spikes", forward)
    yield Window("update_spikes", "spikes", update, config.weight_update_engine.arrays)
    yield Window("state_spikes", "spikes", state)


def _state_windows(network: Network, sizes: tuple[int, ...], config: Config) -> Iterator[Window]:
    width = config.contract.value.width_bytes
    parts = [_state_bits(layer, samples, config) for samples in sizes for layer in _hidden(network)]
    yield Window(
        "state_potentials", "potentials", IN_USE_AND_NEXT * max(bits * width + -(-bits // 8) for bits in parts)
    )
    hidden = [network.layers[number] for number in network.hidden if not is_direct(network, number)]
    neurons = max(sizes) * max((_output_size(layer) for layer in hidden), default=0)
    yield Window("timestep_before_potentials", "potentials", neurons * width + -(-neurons // 8))


def _gradient_windows(network: Network, sizes: tuple[int, ...], config: Config) -> Iterator[Window]:
    width = config.contract.value.width_bytes
    hidden = max(
        gradient_samples(layer, samples, config) * _dense_gradient_bytes(layer, config)
        for samples in sizes
        for layer in _hidden(network)
    )
    part = max(hidden, max(sizes) * network.classes * width)
    together = max(
        consumer_samples(network, number, samples, config)
        * sum(_dense_gradient_bytes(network.layers[upper], config) for upper in gradients_taken(network, number))
        for samples in sizes
        for number in network.hidden
    )
    yield Window("backward_gradients", "gradients", IN_USE_AND_NEXT * max(part, together))
    yield Window("update_gradients", "gradients", IN_USE_AND_NEXT * part, config.weight_update_engine.arrays)
    neurons = max(sizes) * max(_output_size(layer) for layer in _hidden(network))
    yield Window("timestep_before_gradients", "gradients", neurons * width)


def _sum_windows(network: Network, sizes: tuple[int, ...], config: Config) -> Iterator[Window]:
    width = config.contract.sum.width_bytes
    engine = config.weight_update_engine
    largest = 0
    for samples in sizes:
        for number in range(len(network.layers)):
            work = update_work(network, number, samples, config.contract)
            plan = plan_jobs(work, engine, config.engine_timing(engine))
            largest = max(largest, max(job.row_count * job.position_count for job in plan.jobs))
    yield Window("update_sums", "partial_sums", IN_USE_AND_NEXT * largest * width, engine.arrays)
    piece = min(optimiser_piece(config), max(layer.weights_count for layer in network.layers))
    yield Window("optimiser", "partial_sums", IN_USE_AND_NEXT * piece * (STATE_BYTES + width), always=True)


def _state_bits(layer: Layer, samples: int, config: Config) -> int:
    """Neurons of the largest part of a timestep that the gradient unit reads back at once."""
    channels = min(config.backward_engine.channel_tile, layer.out_channels)
    return layer.out_positions * channels * state_samples(layer, samples, config)


def _dense_gradient_bytes(layer: Layer, config: Config) -> int:
    """A bitmap and all values of one sample at one timestep: the densest case."""
    neurons = layer.out_positions * layer.out_channels
    return -(-neurons // 8) + neurons * config.contract.value.width_bytes


def _forward_plan(network: Network, number: int, samples: int, config: Config) -> LutPlan:
    work = forward_work(network, number, samples, config.contract)
    return plan_jobs(work, config.forward_engine, config.engine_timing(config.forward_engine))


def _spikes_bytes(network: Network, source: int, samples: int) -> int:
    """Bytes of one timestep of a layer's spikes, or of the input; a picture's are those of all its planes."""
    if source != INPUT:
        return -(-samples * _output_size(network.layers[source]) // 8)
    shape = network.input
    bits = samples * (8 if is_direct(network, 0) else 1) * shape.height * shape.width * shape.channels
    return -(-bits // 8)


def _output_size(layer: Layer) -> int:
    return layer.out_positions * layer.out_channels


def _hidden(network: Network) -> list[Layer]:
    return [network.layers[number] for number in network.hidden]
