"""The kernels of one BPTT training step: what is launched, how often, with how many bytes and operations.

The list is that of an unfused PyTorch implementation. Weights stay in binary32 and are cast for `tensor16`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tlm.analysis.gpu.device import VALUE_BYTES
from tlm.analysis.gpu.implementation import NEURONS, NORMS, ElementKernel, load_implementation
from tlm.analysis.gpu.layers import ADD, CONV, FC, NORM, POOL, SPIKE, LayerNetwork, LayerShape

FORWARD, BACKWARD, UPDATE, COPY = PHASES = ("forward", "backward", "update", "copy")
MATMUL, CONV3X3, VECTOR, LINK = UNITS = ("matmul", "conv3x3", "vector", "link")
KINDS = (
    "matrix forward",
    "input gradient",
    "weight gradient",
    "gradient sum",
    "neuron forward",
    "neuron backward",
    "norm forward",
    "norm backward",
    "other layers",
    "loss",
    "cast",
    "optimiser",
    "copy from host",
)
MASTER_BYTES = 4  # weights, their gradients and momenta are binary32
LABEL_BYTES = 8  # a class as PyTorch stores it


@dataclass(frozen=True)
class Kernel:
    """One kernel of the step: `launches` launches, each of `flop` operations and `bytes` bytes on one unit."""

    layer: str
    kind: str
    name: str
    phase: str
    unit: str
    launches: int
    flop: int
    bytes: int


def step_kernels(network: LayerNetwork, batch: int, precision: str) -> list[Kernel]:
    """Return the kernels of one training step of `batch` samples; launches of equal layers are added up."""
    value_bytes = VALUE_BYTES[precision]
    kernels = [_input_copy(network, batch)]
    for layer in network.layers:
        kernels += _layer_kernels(network, layer, batch, value_bytes)
    last = next(layer for layer in reversed(network.layers) if layer.kind in (CONV, FC))
    kernels += _loss(network, last, batch, value_bytes)
    return kernels


def inference_kernels(network: LayerNetwork, batch: int, precision: str) -> list[Kernel]:
    """Return the kernels of a forward pass alone: the step without its backward pass and update."""
    return [kernel for kernel in step_kernels(network, batch, precision) if kernel.phase in (COPY, FORWARD)]


def _input_copy(network: LayerNetwork, batch: int) -> Kernel:
    """Return the copy of a batch (binary32 values, as PyTorch's loaders give them) and its labels to the device."""
    moved = batch * (network.input_elements * MASTER_BYTES + LABEL_BYTES)
    return Kernel("input", "copy from host", "images and labels", COPY, LINK, 2, 0, moved // 2)


def _layer_kernels(network: LayerNetwork, layer: LayerShape, batch: int, value_bytes: int) -> Iterator[Kernel]:
    if layer.kind in (CONV, FC):
        yield from _matrix(network, layer, batch, value_bytes)
        yield from _weights(layer, value_bytes)
    elif layer.kind == SPIKE:
        yield from _elements(network, layer, batch, value_bytes, NEURONS, network.neuron, "neuron")
    elif layer.kind == NORM:
        yield from _elements(network, layer, batch, value_bytes, NORMS, network.norm, "norm")
        yield from _weights(layer, value_bytes)
    else:
        yield from _pool_or_add(network, layer, batch, value_bytes)


def _matrix(network: LayerNetwork, layer: LayerShape, batch: int, value_bytes: int) -> Iterator[Kernel]:
    """Yield the three products of a layer with weights, and the sum of its weight gradients over time."""
    steps = 1 if network.fold_time else network.timesteps
    samples = batch * network.timesteps // steps  # in one launch
    unit = CONV3X3 if layer.winograd else MATMUL
    flop = 2 * layer.macs * samples
    inside, outside = samples * layer.in_elements, samples * layer.out_elements
    moved = (inside + outside + layer.weights) * value_bytes  # two of them are read, the third written
    passes = [(FORWARD, "matrix forward")]
    if layer.input_gradient:
        passes.append((BACKWARD, "input gradient"))
    passes.append((BACKWARD, "weight gradient"))
    for phase, kind in passes:
        yield Kernel(layer.name, kind, kind, phase, unit, steps * layer.count, flop, moved)
    if steps > 1:
        moved = 3 * layer.weights * value_bytes
        launches = (steps - 1) * layer.count
        kind = "gradient sum"
        yield Kernel(layer.name, kind, "dW += dW[t]", BACKWARD, VECTOR, launches, layer.weights, moved)


def _weights(layer: LayerShape, value_bytes: int) -> Iterator[Kernel]:
    """Yield what happens to a layer's weights once a step: cast, and SGD with momentum in three kernels."""
    weights, count = layer.weights, layer.count
    if value_bytes != MASTER_BYTES:
        cast = weights * (MASTER_BYTES + value_bytes)
        yield Kernel(layer.name, "cast", "weights to the precision", FORWARD, VECTOR, count, 0, cast)
        yield Kernel(layer.name, "cast", "gradients to binary32", BACKWARD, VECTOR, count, 0, cast)
    for name, values, flop in (("v *= mu", 2, 1), ("v += dW", 3, 1), ("w -= lr v", 3, 2)):
        moved = values * weights * MASTER_BYTES
        yield Kernel(layer.name, "optimiser", name, UPDATE, VECTOR, count, flop * weights, moved)


def _elements(
    network: LayerNetwork, layer: LayerShape, batch: int, value_bytes: int, group: str, name: str, kind: str
) -> Iterator[Kernel]:
    implementation = load_implementation(group, name)
    elements = batch * layer.out_elements

    def made(kernel: ElementKernel, phase: str) -> Kernel:
        launches = kernel.launches(network.timesteps) * layer.count
        flop = kernel.flop_per_launch(elements, network.timesteps)
        moved = kernel.bytes_per_launch(elements, network.timesteps, value_bytes)
        return Kernel(layer.name, f"{kind} {phase}", kernel.name, phase, VECTOR, launches, flop, moved)

    yield from (made(kernel, FORWARD) for kernel in implementation.forward)
    yield from (made(kernel, BACKWARD) for kernel in implementation.backward)


def _pool_or_add(network: LayerNetwork, layer: LayerShape, batch: int, value_bytes: int) -> Iterator[Kernel]:
    """Yield a pooling (its input in, its output out; backward the other way) or the sum of two residual branches."""
    steps = 1 if network.fold_time else network.timesteps
    samples = batch * network.timesteps // steps  # in one launch
    inside, outside = samples * layer.in_elements, samples * layer.out_elements
    moved = (inside + outside if layer.kind == POOL else 3 * outside) * value_bytes
    flop = inside if layer.kind == POOL else outside
    name = "pool" if layer.kind == POOL else "sum of branches"
    for phase, suffix in ((FORWARD, ""), (BACKWARD, " backward")):
        yield Kernel(layer.name, "other layers", name + suffix, phase, VECTOR, steps * layer.count, flop, moved)


def _loss(network: LayerNetwork, last: LayerShape, batch: int, value_bytes: int) -> Iterator[Kernel]:
    """Yield mean over time and cross entropy: small kernels, but each is a launch."""
    logits = batch * last.out_elements
    all_logits = logits * network.timesteps
    forward = [
        ("stack logits", 2 * all_logits, 0),
        ("mean over time", all_logits + logits, all_logits),
        ("log softmax", 2 * logits, 4 * logits),
        ("negative log likelihood", logits, logits),
    ]
    backward = [
        ("likelihood backward", 2 * logits, logits),
        ("softmax backward", 3 * logits, 3 * logits),
        ("mean backward", 2 * logits, logits),
    ]
    for phase, kernels in ((FORWARD, forward), (BACKWARD, backward)):
        for name, values, flop in kernels:
            yield Kernel("loss", "loss", name, phase, VECTOR, 1, flop, values * value_bytes)


def stored_bytes(network: LayerNetwork, batch: int, precision: str) -> int:
    """Bytes that BPTT keeps from the forward pass for the backward pass: every timestep of every layer.

    Counted where a tensor is made: input, potentials, spikes and gates (`saved` of the neuron), inputs of norms,
    results of pools.
    """
    value_bytes = VALUE_BYTES[precision]
    neuron = load_implementation(NEURONS, network.neuron).saved_values(network.timesteps)
    norm = load_implementation(NORMS, network.norm).saved_values(network.timesteps)
    saved = {SPIKE: neuron, NORM: norm, POOL: network.timesteps, ADD: 0, CONV: 0, FC: 0}
    values = sum(saved[layer.kind] * layer.out_elements * layer.count for layer in network.layers)
    return batch * (network.input_elements + values) * value_bytes


def state_bytes(network: LayerNetwork, precision: str) -> int:
    """Bytes of weights, gradients and momenta in binary32, and of the cast weights where there are any."""
    cast = VALUE_BYTES[precision] if VALUE_BYTES[precision] != MASTER_BYTES else 0
    return network.weights * (3 * MASTER_BYTES + cast)
