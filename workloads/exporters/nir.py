"""A network and its weights as a NIR graph: what `workloads.importers.nir` reads back as the same network.

What NIR has no place for (timesteps, input coding, surrogate, soft reset) stands in the graph's metadata, as JSON under
the key ``h2learn``; other programs leave it aside.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from rtl_models.errors import InputError
from workloads.atomic import replacing
from workloads.importers.chain_layers import constant_of
from workloads.importers.nir import DEFAULT_DT, METADATA
from workloads.importers.stages import Numbers
from workloads.layer import Layer
from workloads.network import Network
from workloads.record import Floats


def nir_graph(network: Network, weights: Sequence[Floats], dt: float = DEFAULT_DT) -> Any:
    """Return a ``nir.NIRGraph`` of a network; `weights` are [M, R, S, C] by layer of the network.

    Neurons are LIF (IF where nothing leaks) whose step of `dt` seconds is the machine's. Pooling is SumPool2d. A
    constant channel of the input becomes the bias that it stands for, or stays where training has made it more than
    that. A shortcut is a second edge into the neurons that it joins. Raises InputError for a `dt` that is not above 0.
    """
    import nir  # here: it takes a while to import

    if not dt > 0.0:
        raise InputError("wrong value", "dt", dt, "seconds > 0")
    source, numbers = network.input, network.main
    bias = _first_bias(network, weights[0])
    channels = source.channels - (bias is not None)
    vector = network.layers[0].fully_connected and source.height == source.width == 1  # what the next layer takes
    shape = (channels,) if vector else (channels, source.height, source.width)
    nodes: dict[str, Any] = {"input": nir.Input(np.array(shape))}
    told, vectors = network.to_dict(), set()
    if bias is not None:
        told["input"].pop("constant")
    for place, number in enumerate(numbers):
        layer, matrix = network.layers[number], np.asarray(weights[number])
        if place == 0 and bias is not None:
            matrix = matrix[..., :-1]
        elif place:
            joined = network.bias(number)
            bias = None if joined is None else np.asarray(weights[joined]).ravel() / np.float64(layer.window)
        if layer.fully_connected and not vector:
            nodes[f"flatten{place}"] = _flatten(nir, layer.in_height, layer.in_width, matrix.shape[3])
        dense = layer.fully_connected or _dense(layer, vector)
        nodes |= _weights_nodes(nir, layer, matrix, bias, dense)
        if number in network.hidden:
            nodes[f"neurons{place + 1}"] = _neurons(nir, network, layer, dense, dt)
        vector = dense
        vectors |= {number} if dense else set()
    last = network.layers[numbers[-1]]
    if not vector:
        nodes["flatten"] = _flatten(nir, 1, 1, last.out_channels)
    nodes["output"] = nir.Output(np.array([last.out_channels]))
    edges = list(pairwise(nodes))
    for place, number in enumerate(numbers):
        nodes |= _projection_node(nir, network, number, weights, vectors)
        edges += _shortcut_edges(network, place)
    metadata = {METADATA: json.dumps({key: value for key, value in told.items() if key != "layers"})}
    return nir.NIRGraph(nodes, edges, metadata=metadata)


def write_nir(network: Network, weights: Sequence[Floats], path: str | Path, dt: float = DEFAULT_DT) -> Any:
    """Write the graph to `path`, whole or not at all, and return it; raises InputError as `nir_graph` does."""
    import nir

    graph = nir_graph(network, weights, dt)
    with replacing(Path(path)) as temporary:
        nir.write(temporary, graph)
    return graph


def _dense(layer: Layer, vector: bool) -> bool:
    """Whether a convolution is a dense layer to NIR: 1x1 weights on a vector."""
    return vector and layer.elements == layer.in_channels and layer.pool == 1


def _projection_node(
    nir: Any, network: Network, number: int, weights: Sequence[Floats], vectors: set[int]
) -> dict[str, Any]:
    """Return the node of the projection that joins a layer, if there is one; `vectors` are layers that give vectors."""
    part = network.projection(number)
    if part is None:
        return {}
    layer = network.layers[part]
    return _weights_nodes(nir, layer, np.asarray(weights[part]), None, _dense(layer, layer.source in vectors))


def _shortcut_edges(network: Network, place: int) -> list[tuple[str, str]]:
    """Return the edges from the neurons whose spikes join a layer's sums to the neurons of that layer."""
    number = network.main[place]
    part, end = network.projection(number), f"neurons{place + 1}"
    source = network.layers[number].identity if part is None else network.layers[part].source
    if source is None:
        return []
    start = f"neurons{network.main.index(source) + 1}"
    return [(start, end)] if part is None else [(start, network.layers[part].name), (network.layers[part].name, end)]


def _first_bias(network: Network, matrix: Floats) -> Numbers | None:
    """Return the bias [M] that the constant channel stands for; None where there is none, or it is more than one."""
    layer, source = network.layers[0], network.input
    if not source.constant or source.constant != constant_of(source):
        return None
    if layer.padding >= min(layer.kernel_height, layer.kernel_width):
        return None
    beside = matrix[..., -1].copy()
    values = beside[:, layer.padding, layer.padding].copy()
    beside[:, layer.padding, layer.padding] = 0.0
    one = np.float32(source.constant * 2.0**-source.exponent)
    return None if beside.any() else values * one


def _flatten(nir: Any, height: int, width: int, channels: int) -> Any:
    return nir.Flatten({"input": np.array([channels, height, width])}, 0, -1)


def _weights_nodes(nir: Any, layer: Layer, matrix: Floats, bias: Numbers | None, dense: bool) -> dict[str, Any]:
    """Return the nodes of a layer's weights, by name; a matrix where the layer is `dense`."""
    filters = matrix.transpose(0, 3, 1, 2)  # [M, C, R, S]
    if dense:
        rows = np.ascontiguousarray(filters.reshape(layer.out_channels, -1))
        return {layer.name: nir.Linear(rows) if bias is None else nir.Affine(rows, bias)}
    given = np.zeros(layer.out_channels, np.float32) if bias is None else bias
    plane, sides = (layer.in_height, layer.in_width), (layer.stride, layer.stride)
    padding = (layer.padding, layer.padding)
    conv = nir.Conv2d(plane, np.ascontiguousarray(filters), sides, padding, (1, 1), 1, given)
    if layer.pool == 1:
        return {layer.name: conv}
    window = np.array([layer.pool, layer.pool])
    return {layer.name: conv, f"pool_{layer.name}": nir.SumPool2d(window, window, np.array([0, 0]))}


def _neurons(nir: Any, network: Network, layer: Layer, dense: bool, dt: float) -> Any:
    """Return the neurons of a layer, each with the constants of all."""
    shape = (layer.out_channels,) if dense else (layer.out_channels, layer.out_height, layer.out_width)

    def same(value: float) -> Any:
        return np.full(shape, value)

    alpha, threshold = network.neuron.alpha, same(network.neuron.threshold)
    if alpha == 1.0:
        return nir.IF(r=same(1.0 / dt), v_threshold=threshold, v_reset=same(0.0))
    tau = dt / (1.0 - alpha)
    return nir.LIF(tau=same(tau), r=same(tau / dt), v_leak=same(0.0), v_threshold=threshold, v_reset=same(0.0))
