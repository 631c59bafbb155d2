"""Network files: shapes are chained, round trips are exact, and every mistake is named with its key."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rtl_models.errors import InputError
from workloads.network import Layer, NeuronConstants, NeuronParameters, list_networks, load_network, parse_network
from workloads.neuron import SUBTRACT

GOOD: dict[str, Any] = {
    "name": "net",
    "input": {"shape": [8, 6, 3], "coding": "direct", "exponent": 4, "signed": True},
    "timesteps": 6,
    "neuron": {"alpha": 0.25, "threshold": 0.25, "interval": 0.5, "beta": 1.0},
    "layers": [{"conv": {"channels": 5, "kernel": [3, 2], "stride": 2, "padding": 1}}, {"linear": 10}],
}


def test_shipped_networks() -> None:
    assert {
        "cifar-cnn",
        "cifar-vgg11",
        "imagenet-alexnet",
        "digits-conv",
        "digits-mlp",
        "dvsgesture-cnn",
        "nmnist-cnn",
    } <= set(list_networks())
    assert [load_network(name).name for name in list_networks()] == list_networks()
    conv = load_network("digits-conv")
    shapes = [(layer.out_height, layer.out_width, layer.out_channels) for layer in conv.layers]
    assert shapes == [(8, 8, 32), (4, 4, 64), (1, 1, 128), (1, 1, 10)]
    assert [layer.stride for layer in conv.layers] == [1, 2, 1, 1]
    assert [layer.spiking for layer in conv.layers] == [True, True, True, False]
    mlp = load_network("digits-mlp")
    assert [layer.weights_shape for layer in mlp.layers] == [(128, 8, 8, 1), (10, 1, 1, 128)]
    assert (mlp.timesteps, mlp.classes, mlp.input.exponent) == (6, 10, 4)


def test_shapes_are_chained() -> None:
    network = parse_network(GOOD, "net.yaml")
    conv, linear = network.layers
    assert (conv.name, linear.name) == ("conv1", "fc2")
    assert (conv.out_height, conv.out_width, conv.out_positions) == (4, 4, 16)
    assert linear.weights_shape == (10, 4, 4, 5)
    assert (linear.out_height, linear.out_width, linear.fully_connected) == (1, 1, True)
    assert (conv.elements, conv.weights_count, conv.macs_per_timestep()) == (18, 90, 1440)
    assert [conv.groups(k) for k in (1, 2, 3, 4)] == [18, 12, 6, 6]
    assert network.input.signed


def test_shapes_with_pooling() -> None:
    conv = {"channels": 5, "kernel": [3, 2], "stride": 2, "padding": 1, "pool": 2}
    last = {"channels": 4, "kernel": [1, 1], "pool": 2}
    network = parse_network(GOOD | {"layers": [{"conv": conv}, {"conv": last}]}, "net.yaml")
    pooled, whole = network.layers
    assert (pooled.conv_height, pooled.conv_width, pooled.conv_positions, pooled.window) == (4, 4, 16, 4)
    assert (pooled.out_height, pooled.out_width, pooled.out_positions) == (2, 2, 4)
    assert (pooled.elements, pooled.weights_count, pooled.macs_per_timestep()) == (18, 90, 1440)
    assert (whole.in_height, whole.out_positions, whole.spiking, network.classes) == (2, 1, False, 4)
    assert parse_network(network.to_dict(), "x") == network
    assert "pool" not in parse_network(GOOD, "net").to_dict()["layers"][0]["conv"]


def test_shapes_of_the_large_networks() -> None:
    vgg, alexnet = load_network("cifar-vgg11"), load_network("imagenet-alexnet")
    assert [layer.out_height for layer in vgg.layers] == [16, 8, 8, 4, 4, 2, 2, 1, 1, 1, 1]
    assert [layer.conv_height for layer in vgg.layers] == [32, 16, 8, 8, 4, 4, 2, 2, 1, 1, 1]
    assert [layer.out_height for layer in alexnet.layers] == [112, 56, 28, 14, 14, 14, 7, 1, 1, 1]
    assert [layer.elements for layer in alexnet.layers[-3:]] == [12544, 4096, 4096]
    assert alexnet.classes == 1000


@pytest.mark.parametrize(
    ("name", "weights", "macs", "projections", "identities"),
    [
        # ResNet-19 of the TET paper: 12.6 M weights, 2.2 G multiply-accumulates a timestep; torchvision's ResNet-34 has
        # 21.8 M and 3.66 G, its stem 112x112 in both.
        ("cifar-resnet18", 11.29e6, 1.77e9, 3, 5),
        ("cifar-resnet19", 12.62e6, 2.22e9, 3, 5),
        ("imagenet-resnet34", 21.78e6, 3.69e9, 3, 13),
    ],
)
def test_residual_networks(name: str, weights: float, macs: float, projections: int, identities: int) -> None:
    network = load_network(name)
    biases = [network.bias(number) for number in network.main]
    counted = [layer for number, layer in enumerate(network.layers) if number not in biases]
    assert sum(layer.weights_count for layer in counted) == pytest.approx(weights, rel=1e-3)
    assert sum(layer.macs_per_timestep() for layer in counted) == pytest.approx(macs, rel=3e-3)
    assert sum(layer.joins is not None for layer in counted) == projections
    assert sum(layer.identity is not None for layer in network.layers) == identities
    blocks = projections + identities
    assert len(network.hidden) == 2 * blocks + (2 if name.startswith("cifar") else 1)


@given(
    height=st.integers(1, 20),
    kernel=st.integers(1, 6),
    stride=st.integers(1, 4),
    padding=st.integers(0, 3),
)
def test_output_size_counts_the_windows(height: int, kernel: int, stride: int, padding: int) -> None:
    if kernel > height + 2 * padding:
        return
    layer = Layer("l", height, 1, 1, 1, kernel, 1, stride, padding, False, True)
    assert layer.out_height == len(range(0, height + 2 * padding - kernel + 1, stride))


def test_constants_are_rounded_once_from_binary64() -> None:
    neuron = NeuronParameters(alpha=0.1, threshold=0.3, interval=0.7, beta=1.1)
    constants = NeuronConstants.of(neuron)
    assert constants.low == np.float32(0.3 - 0.7)
    assert constants.high == np.float32(0.3 + 0.7)
    assert constants.reset == (False, 0.0, False)
    for name in ("alpha", "beta", "threshold", "low", "high"):
        assert getattr(constants, name).dtype == np.float32


def test_the_drop_is_rounded_once_from_binary64() -> None:
    by_threshold = NeuronParameters(alpha=0.1, threshold=0.3, reset=SUBTRACT)
    for neuron, drop in ((by_threshold, 0.1 * 0.3), (replace(by_threshold, reset_by=0.7), 0.1 * 0.7)):
        reset = NeuronConstants.of(neuron).reset
        assert reset == (True, np.float32(drop), False)
        assert reset.drop.dtype == np.float32


@pytest.mark.parametrize("reset", [{"reset": "subtract", "reset_by": 0.5, "reset_gradient": False}, {}])
def test_a_reset_stands_in_the_file_where_it_is_no_default(reset: dict[str, Any]) -> None:
    network = parse_network(changed(["neuron"], reset), "f")
    assert network.to_dict()["neuron"].keys() - {"alpha", "threshold", "interval", "beta"} == reset.keys()
    assert parse_network(network.to_dict(), "f") == network


@pytest.mark.parametrize("name", list_networks())
def test_round_trip_of_shipped_networks(name: str) -> None:
    network = load_network(name)
    assert parse_network(network.to_dict(), name) == network


def test_round_trip_through_a_file(tmp_path: Path) -> None:
    for network in (
        parse_network(GOOD, "net"),
        parse_network(GOOD | {"input": {"shape": [8, 6, 3], "coding": "spikes"}}, "x"),
    ):
        path = tmp_path / "net.yml"
        path.write_text(yaml.safe_dump(network.to_dict()))
        assert load_network(str(path)) == network


def test_constant_channel() -> None:
    network = parse_network(GOOD | {"input": {"shape": [8, 6, 3], "constant": 255}}, "x")
    assert (network.input.channels, network.input.data_channels, network.input.constant) == (3, 2, 255)
    assert parse_network(network.to_dict(), "x") == network
    assert "constant" not in parse_network(GOOD, "x").to_dict()["input"]
    with pytest.raises(InputError, match=r"constant: wrong value, got 2, allowed: a whole number 1\.\.1$"):
        parse_network(GOOD | {"input": {"shape": [8, 6, 3], "coding": "spikes", "constant": 2}}, "x")


def test_name_of_the_file_where_none_is_given(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in GOOD.items() if key != "name"}))
    assert load_network(str(path)).name == "mine"


def changed(keys: tuple[Any, ...], value: object) -> dict[str, Any]:
    content = copy.deepcopy(GOOD)
    place: Any = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return content


@pytest.mark.parametrize(
    ("keys", "value", "text"),
    [
        (
            ("speed",),
            1,
            r"^f: unknown key, got 'speed', allowed: initial_gain, input, layers, name, neuron, normalise, timesteps$",
        ),
        (("input",), None, r"^f: input: must be a table of keys, allowed: coding, constant, exponent, shape, signed$"),
        (
            ("input", "colour"),
            1,
            r"^f: input: unknown key, got 'colour', allowed: coding, constant, exponent, shape, signed$",
        ),
        (("input", "shape"), [8, 8], r"^f: input: shape: must be \[height, width, channels\], got \[8, 8\]$"),
        (("input", "shape"), [8, 0, 1], r"^f: input: shape: wrong value, got 0, allowed: a whole number >= 1$"),
        (("input", "shape"), [8, 8.5, 1], r"^f: input: shape: wrong value, got 8.5, allowed: a whole number >= 1$"),
        (("input", "coding"), "rate", r"^f: input: coding: unknown coding, got 'rate', allowed: direct, spikes$"),
        (("input", "coding"), "spikes", r"^f: input: exponent and signed belong to direct coding, got 'spikes'"),
        (("input", "exponent"), 17, r"^f: input: exponent: wrong value, got 17, allowed: a whole number 0\.\.16$"),
        (("input", "constant"), 128, r"^f: input: constant: wrong value, got 128, allowed: a whole number 1\.\.127$"),
        (("input", "constant"), 0, r"^f: input: constant: wrong value, got 0, allowed: a whole number 1\.\.127$"),
        (
            ("input",),
            {"shape": [8, 6, 1], "constant": 9},
            r"^f: input: constant: no channel is left for the data, got 9, allowed: two channels or more$",
        ),
        (("input", "signed"), 1, r"^f: input: signed: wrong value, got 1, allowed: true, false$"),
        (("timesteps",), 0, r"^f: timesteps: wrong value, got 0, allowed: a whole number >= 1$"),
        (("timesteps",), True, r"^f: timesteps: wrong value, got True, allowed: a whole number >= 1$"),
        (("timesteps",), None, r"^f: timesteps: wrong value, got 'nothing', allowed: a whole number >= 1$"),
        (("normalise",), 1, r"^f: normalise: wrong value, got 1, allowed: true, false$"),
        (("initial_gain",), 0, r"^f: initial_gain: wrong value, got 0.0, allowed: a number > 0$"),
        (("initial_gain",), True, r"^f: initial_gain: wrong value, got True, allowed: a finite number$"),
        (
            ("neuron", "leak"),
            1,
            r"^f: neuron: unknown key, got 'leak', allowed: alpha, beta, interval, reset, .*, threshold$",
        ),
        (("neuron", "alpha"), "x", r"^f: neuron: alpha: wrong value, got 'x', allowed: a finite number$"),
        (("neuron", "beta"), float("nan"), r"^f: neuron: beta: wrong value, got nan, allowed: a finite number$"),
        (("neuron", "alpha"), 1.5, r"^f: neuron: alpha: wrong value, got 1.5, allowed: 0\.\.1$"),
        (("neuron", "interval"), 0, r"^f: neuron: interval: wrong value, got 0.0, allowed: a number > 0$"),
        (("layers",), [{"linear": 3}], r"^f: layers: must be a list of at least two layers, got "),
        (
            ("layers", 1),
            {"conv": {"channels": 2, "kernel": [1, 1], "pool": 2}},
            r"^f: layers\[2\]: the last layer must have one position, got 'conv with 2 x 2', "
            r"allowed: linear, or a conv whose output is 1 x 1$",
        ),
        (
            ("layers", 0),
            {"pool": 2},
            r"^f: layers\[1\]: pool is a key of a conv layer, whose sums it adds up before the neuron, got 'pool', "
            r"allowed: conv: {.., pool: 2}$",
        ),
        (("layers", 1, "pool"), 2, r"^f: layers\[2\]: pool is a key of a conv layer, "),
        (("layers", 0, "conv", "pool"), 0, r"^f: layers\[1\]: conv: pool: wrong value, got 0"),
        (
            ("layers", 0, "conv", "pool"),
            3,
            r"^f: layers\[1\]: conv: pool: the windows do not cover the plane of conv1, got 3, "
            r"allowed: a divisor of both sides of its plane, 4 x 4$",
        ),
        (("layers", 0), {"dense": 2}, r"^f: layers\[1\]: unknown key, got 'dense', allowed: conv, linear$"),
        (("layers", 0), {}, r"^f: layers\[1\]: must have exactly one key, got \[\], allowed: conv or linear$"),
        (("layers", 1, "linear"), -1, r"^f: layers\[2\]: linear: wrong value, got -1, allowed: a whole number >= 1$"),
        (("layers", 0, "conv", "dilation"), 1, r"^f: layers\[1\]: conv: unknown key, got 'dilation'"),
        (("layers", 0, "conv", "kernel"), 3, r"^f: layers\[1\]: conv: kernel: must be \[height, width\], got 3$"),
        (("layers", 0, "conv", "stride"), 0, r"^f: layers\[1\]: conv: stride: wrong value, got 0"),
        (("layers", 0, "conv", "padding"), -1, r"^f: layers\[1\]: conv: padding: wrong value, got -1"),
        (
            ("layers", 0, "conv", "kernel"),
            [11, 1],
            r"^f: layers\[1\]: conv: kernel: the kernel is larger than its input, got \[11, 1\], allowed: at most ",
        ),
        (
            ["neuron", "reset"],
            "hard",
            r"^f: neuron: reset: unknown reset, got 'hard', allowed: zero, subtract$",
        ),
        (
            ["neuron", "reset_by"],
            0.5,
            r"^f: neuron: reset: reset_by belongs to reset subtract, got 'zero', allowed: subtract$",
        ),
        (
            ["neuron"],
            {"reset": "subtract", "reset_by": 0},
            r"^f: neuron: reset_by: wrong value, got 0.0, allowed: a number > 0$",
        ),
        (
            ["neuron"],
            {"reset": "subtract", "reset_by": "much"},
            r"^f: neuron: reset_by: wrong value, got 'much', allowed: a finite number$",
        ),
        (
            ["neuron"],
            {"reset": "subtract", "threshold": -0.5},
            r"^f: neuron: reset_by: the threshold, by which subtract resets, must be above 0, got -0.5",
        ),
        (
            ["neuron", "reset_gradient"],
            1,
            r"^f: neuron: reset_gradient: wrong value, got 1, allowed: true, false$",
        ),
        (
            ["timesteps"],
            10**12,
            r"^f: layers\[1\]: the layer is too large, got '\d+ neurons x timesteps', allowed: at most 4294967296$",
        ),
    ],
)
def test_words_for_mistakes(keys: tuple[Any, ...], value: object, text: str) -> None:
    with pytest.raises(InputError, match=text):
        parse_network(changed(keys, value), "f")


def test_words_for_files(tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"^network: unknown network, got 'lenet', allowed: cifar-cnn, .*digits-mlp, .*nmnist-cnn",
    ):
        load_network("lenet")
    with pytest.raises(
        InputError, match=r"^network: cannot read the network file \(.*No such file.*\), got '.*none.yaml'$"
    ):
        load_network(str(tmp_path / "none.yaml"))
    (tmp_path / "bad.yaml").write_text("layers: [")
    with pytest.raises(InputError, match=r"bad.yaml: not valid YAML \(") as caught:
        load_network(str(tmp_path / "bad.yaml"))
    assert "\n" not in str(caught.value)
    (tmp_path / "deep.yaml").write_text("[" * 600)
    with pytest.raises(InputError, match=r"deep.yaml: not valid YAML \(maximum recursion depth exceeded"):
        load_network(str(tmp_path / "deep.yaml"))
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InputError, match=r"^network: cannot read the network file \(.*codec"):
        load_network(str(tmp_path / "bytes.yaml"))
