"""NIR graphs: networks come back from them as they went in, constants keep their meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_models.errors import InputError
from tests.workloads.importers.nir_graphs import (
    DT,
    LAST,
    NETWORK,
    conv,
    flatten,
    graph,
    lif,
    pool,
    random,
    small,
    small_with,
    with_edges,
)
from workloads.exporters.nir import nir_graph, write_nir
from workloads.importers.files import write_network
from workloads.importers.nir import NirOptions, import_nir
from workloads.initialise import initial_weights
from workloads.network import Network, load_network, parse_network


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_round_trip(data: st.DataObject) -> None:
    network = parse_network(data.draw(networks()), "x")
    given_weights = tuple(
        random(*layer.weights_shape) if number else _constant_alone(network, data.draw(st.booleans()))
        for number, layer in enumerate(network.layers)
    )
    back = import_nir(nir_graph(network, given_weights))
    assert back.network == network
    for got, expected in zip(back.weights, given_weights, strict=True):
        np.testing.assert_array_equal(got, expected)


@st.composite
def networks(draw: st.DrawFn) -> dict[str, Any]:
    """Contents of network files."""
    spikes = draw(st.booleans())
    side = draw(st.sampled_from([1, 4, 8]))
    source: dict[str, Any] = {"shape": [side, side, 3], "coding": "spikes" if spikes else "direct"}
    if not spikes:
        source |= {"exponent": draw(st.integers(0, 8)), "signed": draw(st.booleans())}
    if draw(st.booleans()):
        source["constant"] = 1 if spikes or draw(st.booleans()) else min(1 << source["exponent"], 64)
    layers: list[dict[str, Any]] = []
    planes: list[tuple[int, int]] = []  # sides and channels of convolutions' outputs
    for number in range(draw(st.integers(1, 4))):
        content: dict[str, Any] = {"channels": draw(st.integers(1, 4))}
        content |= {"bias": True} if number and draw(st.booleans()) else {}
        if side == 0 or draw(st.booleans()):
            layers.append({"linear": content})
            side = 0
            continue
        kernel, padding = draw(st.sampled_from([(1, 0), (3, 1)]))
        window = draw(st.sampled_from([size for size in (1, 2, 4) if side % size == 0]))
        conv = content | {"kernel": [kernel, kernel], "padding": padding, "pool": window}
        side //= window
        if number and draw(st.booleans()):
            conv["shortcut"] = _shortcut(draw(st.integers(1, number)), planes, (side, content["channels"]))
        layers.append({"conv": conv})
        planes.append((side, content["channels"]))
    layers.append({"linear": {"channels": 5, "bias": draw(st.booleans())}})
    neuron = {"alpha": draw(st.sampled_from([0.0, 0.25, 0.9, 0.123456789, 1.0])), "threshold": draw(st.floats(0.1, 2))}
    if draw(st.booleans()):
        neuron |= {"reset": "subtract"} | ({"reset_by": 0.7} if draw(st.booleans()) else {})
    neuron |= {} if draw(st.booleans()) else {"reset_gradient": False}
    return NETWORK | {"input": source, "neuron": NETWORK["neuron"] | neuron, "layers": layers}


def _shortcut(number: int, planes: list[tuple[int, int]], shape: tuple[int, int]) -> dict[str, Any]:
    """A shortcut from a convolution, as it is where it fits."""
    return {"from": number} | ({} if planes[number - 1] == shape else {"projection": True})


def _constant_alone(network: Network, whole: bool) -> Any:
    """Weights of the first layer; beside a constant channel a bias alone, unless they are to be `whole`."""
    layer = network.layers[0]
    weights = random(*layer.weights_shape)
    if network.input.constant and not whole:
        bias = weights[:, layer.padding, layer.padding, -1].copy()
        weights[..., -1] = 0
        weights[:, layer.padding, layer.padding, -1] = bias
    return weights


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("alpha", [0.9, 0.25, 0.123, 0.0])
def test_decay_and_gain_are_decimals_again(alpha: float, dtype: type) -> None:
    for shape in ((), (4, 8, 8), (4, 1, 1)):
        neurons = lif(*shape, alpha=alpha, dtype=dtype)
        built = import_nir(graph(conv(1, 4), neurons, flatten(), nir.Linear(random(3, 256))))
        assert built.network.neuron.alpha == alpha
        assert built.notes == ()


def test_a_learned_decay_stays_as_it_is() -> None:
    learned = float(np.float32(0.87654323))
    neurons = lif(alpha=learned)
    built = import_nir(graph(conv(1, 4), neurons, flatten(), nir.Linear(random(3, 256))))
    assert built.network.neuron.alpha == pytest.approx(learned, abs=2.5e-7)
    assert built.network.neuron.alpha == 1 - DT / float(str(neurons.tau))


def test_constants_of_other_kinds() -> None:
    def network(neurons: Any, **named: Any) -> tuple[float, Any]:
        built = import_nir(graph(conv(1, 4), neurons, flatten(), nir.Linear(random(3, 256))), NirOptions(**named))
        return built.network.neuron.alpha, built.notes

    ones, zeros = np.ones(1), np.zeros(1)
    assert network(nir.IF(r=ones / DT, v_threshold=ones)) == (1.0, ())
    assert network(nir.IF(r=ones, v_threshold=ones), dt=0.5) == (
        1.0,
        ("node n1: the gain 0.5 is in the weights of node n0",),
    )
    decaying = nir.LIF(tau=4 * DT * ones, r=ones, v_leak=zeros, v_threshold=ones)  # SpikingJelly's decay_input
    assert network(decaying) == (0.75, ("node n1: the gain 0.25 is in the weights of node n0",))
    cuba = nir.CubaLIF(DT * ones, 2 * DT * ones, ones, zeros, ones, zeros, np.array([4.0]))
    assert network(cuba) == (0.5, ("node n1: the gain 2 is in the weights of node n0",))


def test_resets_that_nir_does_not_know() -> None:
    def neuron(alpha: float, **named: Any) -> dict[str, Any]:
        content = import_nir(small_with(lif(alpha=alpha)), NirOptions(**named)).network.to_dict()["neuron"]
        return {key: value for key, value in content.items() if key.startswith("reset")}

    assert neuron(0.9) == neuron(0.9, reset="zero", reset_gradient=True) == {}
    assert neuron(0.9, reset="subtract", reset_gradient=False) == {"reset": "subtract", "reset_gradient": False}
    assert neuron(0.5, reset="subtract-delayed") == {"reset": "subtract", "reset_by": 2.0}
    with pytest.raises(
        InputError, match=r"^node n1: a potential that keeps nothing cannot lose the threshold later, got"
    ):
        neuron(0.0, reset="subtract-delayed")


def test_nodes_become_layers() -> None:
    built = import_nir(
        graph(
            pool(nir.SumPool2d),
            conv(1, 4, bias=random(4), padding="same"),
            lif(4, 4, 4),
            pool(),
            conv(4, 6, padding=(1, 1)),
            lif(6, 2, 2),
            flatten(),
            nir.Affine(random(3, 24), random(3)),
        ),
        NirOptions(name="net", timesteps=3, exponent=4, interval=0.25, beta=2.0),
    )
    content = built.network.to_dict()
    assert content["input"] == {"shape": [8, 8, 2], "coding": "direct", "exponent": 4, "signed": False, "constant": 16}
    assert (content["name"], content["timesteps"]) == ("net", 3)
    assert content["neuron"] == {"alpha": 0.9, "threshold": 1.0, "interval": 0.25, "beta": 2.0}
    assert content["layers"] == [
        {"conv": {"channels": 4, "kernel": [6, 6], "stride": 2, "padding": 2}},
        {"conv": {"channels": 6, "kernel": [6, 6], "stride": 2, "padding": 2}},
        {"linear": {"channels": 3, "bias": True}},
    ]
    assert built.layer_of == {
        "node n0": 0,
        "node n1": 0,
        "node n2": 0,
        "node n3": 1,
        "node n4": 1,
        "node n5": 1,
        "node n7": 3,
    }


def test_scales_go_into_weights_and_biases() -> None:
    first, last = conv(1, 4), nir.Affine(random(3, 256), random(3))
    nodes = (first, nir.Scale(np.full(4, 2.0)), lif(4, 8, 8), nir.Scale(np.array(0.5)), flatten(), last)
    built = import_nir(graph(*nodes))
    np.testing.assert_array_equal(built.weights[0], 2 * first.weight.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(built.weights[1].ravel(), last.bias)
    np.testing.assert_array_equal(built.weights[2].transpose(0, 3, 1, 2).reshape(3, 256), last.weight / 2)


def test_a_scale_behind_weights_takes_the_bias_along_zeros_in_it_too() -> None:
    last = nir.Affine(random(3, 256), np.array([0.0, 0.5, -1.0], np.float32))
    flat = nir.Flatten(None, 0, 2)  # all axes named
    built = import_nir(graph(conv(1, 4), lif(4, 8, 8), flat, last, nir.Scale(np.array(2.0))))
    assert built.weights[1].ravel().tolist() == [0.0, 1.0, -2.0]
    np.testing.assert_array_equal(built.weights[2].transpose(0, 3, 1, 2).reshape(3, 256), last.weight * 2)


def test_scales_by_channel() -> None:
    factors = np.array([0.5, 1.0, 2.0, 4.0])
    for scale in (factors, factors[:, np.newaxis, np.newaxis], np.broadcast_to(factors.reshape(4, 1, 1), (4, 8, 8))):
        first = conv(1, 4)
        built = import_nir(graph(first, nir.Scale(scale), lif(4, 8, 8), *LAST))
        wanted = first.weight * factors.reshape(4, 1, 1, 1)
        np.testing.assert_array_equal(built.weights[0], wanted.transpose(0, 2, 3, 1))
        assert built.layer_of["node n1"] == 0


def test_residual_sums() -> None:
    found = with_edges(("n1", "n3"))()
    built = import_nir(found)
    assert built.network.layers[1].identity == 0
    assert built.layer_of["shortcut to node n3"] == 1
    found.nodes["n3"] = lif(4, 8, 8, v_threshold=2.0)
    scaled = import_nir(found)
    np.testing.assert_array_equal(scaled.weights[scaled.layer_of["shortcut to node n3"]][:, 0, 0], np.eye(4) / 2)


def test_a_small_resnet_comes_back() -> None:
    content = load_network("cifar-resnet18").to_dict()
    content |= {"layers": [_narrow(layer) for layer in content["layers"]], "normalise": False}
    network = parse_network(content | {"input": {"shape": [16, 16, 3], "coding": "direct", "exponent": 8}}, "x")
    weights = tuple(random(*layer.weights_shape) for layer in network.layers)
    back = import_nir(nir_graph(network, weights))
    assert back.network == network
    assert sum(layer.name.startswith("projection") for layer in network.layers) == 3
    for got, expected in zip(back.weights, weights, strict=True):
        np.testing.assert_array_equal(got, expected)


def _narrow(layer: dict[str, Any]) -> dict[str, Any]:
    """A layer of a file with a 64th of its channels, and half of its pooling."""
    if "linear" in layer:
        return layer
    conv = layer["conv"]
    narrow = {"channels": conv["channels"] // 64} | ({"pool": conv["pool"] // 2} if "pool" in conv else {})
    return {"conv": conv | narrow}


def test_dense_residual_layers_come_back() -> None:
    dense = {"channels": 4, "kernel": [1, 1]}
    layers = [{"linear": 4}, {"conv": dense | {"shortcut": {"from": 1}, "bias": True}}]
    layers += [{"conv": dense | {"channels": 6, "shortcut": {"from": 2, "projection": True}}}, {"linear": 5}]
    network = parse_network(NETWORK | {"layers": layers}, "x")
    found = nir_graph(network, [random(*layer.weights_shape) for layer in network.layers])
    assert [type(found.nodes[name]).__name__ for name in ("conv2", "conv3", "projection3")] == [
        "Affine",
        "Linear",
        "Linear",
    ]
    assert import_nir(found).network == network


def test_nested_graphs_are_opened() -> None:
    inner = graph(conv(1, 4), lif(4, 8, 8), shape=(1, 8, 8))
    middle = graph(inner, flatten())
    last = nir.Linear(random(3, 256))
    built = import_nir(graph(middle, last))
    assert built.layer_of == {"node n0.n0.n0": 0, "node n0.n0.n1": 0, "node n1": 1}


def test_vectors_and_their_shapes() -> None:
    nodes = (nir.Linear(random(5, 64)), lif(5), nir.Linear(random(3, 5)))
    flat = import_nir(graph(*nodes, shape=(64,)), NirOptions(coding="spikes"))
    assert flat.network.to_dict()["input"] == {"shape": [1, 1, 64], "coding": "spikes"}
    maps = import_nir(graph(*nodes, shape=(64,)), NirOptions(shape=(8, 4, 2)))
    assert maps.network.to_dict()["input"]["shape"] == [8, 4, 2]
    np.testing.assert_array_equal(maps.weights[0].transpose(0, 3, 1, 2).reshape(5, 64), nodes[0].weight)
    assert import_nir(small(shape=None), NirOptions(shape=(8, 8, 1))).network.input.height == 8


def test_files(tmp_path: Path) -> None:
    network = parse_network(NETWORK | {"layers": [{"conv": {"channels": 4, "kernel": [3, 3]}}, {"linear": 5}]}, "x")
    weights = initial_weights(network, 3)
    write_nir(network, weights, tmp_path / "a.nir")
    nir.read(tmp_path / "a.nir")  # with its own check of types
    back = import_nir(tmp_path / "a.nir")
    assert back.network == network
    path, beside = write_network(back, tmp_path / "net.yaml")
    assert beside.name == "net.weights.h5"
    again = load_network(str(path))
    for got, expected in zip(initial_weights(again, 99), weights, strict=True):
        np.testing.assert_array_equal(got, expected)
    with pytest.raises(InputError, match=r"^out: a network file ends in .yaml, got .*net.json'$"):
        write_network(back, tmp_path / "net.json")


def test_options_stand_above_what_the_graph_tells() -> None:
    network = parse_network(NETWORK | {"layers": [{"linear": 4}, {"linear": 5}]}, "x")
    options = NirOptions(name="other", timesteps=9, exponent=7, signed=False, interval=0.1, beta=0.2)
    content = import_nir(nir_graph(network, initial_weights(network, 0)), options).network.to_dict()
    assert (content["name"], content["timesteps"], content["input"]["exponent"]) == ("other", 9, 7)
    assert (content["neuron"]["interval"], content["input"]["signed"], content["initial_gain"]) == (0.1, False, 0.75)
