"""Where a layer's real sparsity is not that of one number: groups of index bits, items, and what meets in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tlm.config import Config
from tlm.schedule.backward_items import BackwardItems, is_union
from tlm.schedule.geometry import MicroBatch, micro_batches
from tlm.schedule.step_counts import StepCounts
from tlm.schedule.zero_tiles import layer_planes
from workloads.network import Network
from workloads.trace_file import Trace
from workloads.trace_statistics import count_zero_groups


def layer_structure(step: Trace, layer: int, config: Config, counts: StepCounts) -> dict[str, Any]:
    """Return the figures of one layer, each a share or a factor; those of the backward engine where it has neurons.

    input_bits: ones among the bits that it takes; zero_index_groups: groups of k of them that are 0, over receptive
    fields. macs, dense_macs: of the backward engine, really done and with no zero left out; empty_items: items without
    an active mask; chunk_macs: lanes that the chunks of the items hold, filled or not; active_spread, gradient_spread:
    standard deviation over mean of what an item has of either; mask_density: active masks of the items.
    """
    shape = step.network.layers[layer]
    samples = slice(0, step.batch)
    planes = [plane.reshape(-1, *plane.shape[2:]) for plane in layer_planes(step, layer, samples)]
    groups = [count_zero_groups(plane, shape, config.lut.k) for plane in planes]
    found: dict[str, Any] = {
        "layer": layer,
        "name": shape.name,
        "input_bits": float(np.mean([plane.mean() for plane in planes])),
        "zero_index_groups": sum(zero for zero, _ in groups) / sum(total for _, total in groups),
    }
    return found | (_backward(step, layer, config, counts) if layer in step.network.hidden else {})


def backward_steps(
    step: Trace, layer: int, config: Config, counts: StepCounts, batch: MicroBatch
) -> Iterator[BackwardItems]:
    """Yield the backward engine's items of a layer and micro-batch, step by step."""
    for number in range(1 if is_union(step, layer) else step.timesteps):
        yield counts.backward_items(layer, batch, number, config.backward_engine)


def gradient_density(step: Trace, layer: int) -> float:
    """Return the share of non-zeros among the gradients that the sums of a layer meet, by how often they meet one."""
    met = nonzero = 0.0
    for consumer, operations in _consumers(step.network, layer):
        gradients = step.gradients(consumer, slice(0, step.batch))
        met += operations
        nonzero += operations * np.count_nonzero(gradients) / gradients.size
    return float(nonzero / met)


def mask_density(step: Trace, layer: int) -> float:
    """Return the share of active masks of a layer with neurons."""
    return float(step.masks(layer, slice(0, step.batch)).mean())


def _consumers(network: Network, layer: int) -> Iterator[tuple[int, int]]:
    """Layers that take the spikes of `layer`, with the multiply-accumulates of one sample and timestep."""
    for consumer in network.consumers(layer):
        yield consumer, network.layers[consumer].macs_per_timestep()
    for consumer in network.identities(layer):
        yield consumer, network.layers[consumer].out_positions * network.layers[consumer].out_channels


def backward_macs(step: Trace, layer: int, config: Config, counts: StepCounts) -> tuple[int, int]:
    """Return the backward engine's multiply-accumulates for a layer: really done, and with no zero left out."""
    both = {"skip_zero_gradients": False, "skip_inactive_outputs": False}
    without = config.model_copy(update={"backward_engine": config.backward_engine.model_copy(update=both)})
    batches = micro_batches(step.batch, config.arithmetic.micro_batch)
    done, dense = (
        sum(items.macs for batch in batches for items in backward_steps(step, layer, one, counts, batch))
        for one in (config, without)
    )
    return done, dense


def _backward(step: Trace, layer: int, config: Config, counts: StepCounts) -> dict[str, Any]:
    lanes = config.backward_engine.lanes
    chunk_macs = 0
    active, gradients = [], []
    for batch in micro_batches(step.batch, config.arithmetic.micro_batch):
        for items in backward_steps(step, layer, config, counts, batch):
            for tile in range(items.active.shape[-1]):
                elements, outputs = items.elements(tile), items.active[..., tile].ravel()
                chunk_macs += int((elements * -(-outputs // lanes)).sum()) * lanes
                active.append(outputs)
                gradients.append(elements)
    outputs, elements = np.concatenate(active), np.concatenate(gradients)
    macs, dense_macs = backward_macs(step, layer, config, counts)
    return {
        "macs": macs,
        "dense_macs": dense_macs,
        "chunk_macs": chunk_macs,
        "empty_items": float((outputs == 0).mean()),
        "active_spread": _spread(outputs),
        "gradient_spread": _spread(elements),
        "mask_density": mask_density(step, layer),
        "gradient_density": gradient_density(step, layer),
    }


def _spread(values: np.typing.NDArray[np.int64]) -> float:
    """Standard deviation over mean."""
    return float(values.std() / values.mean()) if values.any() else 0.0
