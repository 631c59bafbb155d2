"""Layer lists: shapes that chain, shipped networks, our own networks as lists, and the words for mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from rtl_models.errors import InputError
from tests.workloads.residual import biased_network, residual_network
from tlm.analysis.gpu.data import package_yaml, read_yaml
from tlm.analysis.gpu.kernels import step_kernels
from tlm.analysis.gpu.layers import from_network, list_layer_networks, load_layers, parse_layers
from workloads.network import CONSTANT, list_networks, load_network

GOOD: dict[str, Any] = {
    "name": "mine",
    "source": "made up",
    "timesteps": 2,
    "neuron": "plain",
    "norm": "batch",
    "fold_time": False,
    "input": [3, 8, 8],
    "layers": [
        {"conv": 4, "kernel": 3, "stride": 2, "padding": 1, "in": [3, 8, 8], "first": True},
        {"norm": [4, 4, 4]},
        {"spike": [4, 4, 4], "count": 2, "name": "twice"},
        {"add": [4, 4, 4]},
        {"pool": [4], "in": [4, 4, 4]},
        {"fc": 10, "in": [4]},
    ],
}


class TestShapes:
    def test_a_list(self) -> None:
        network = parse_layers(GOOD, "file")
        conv, norm, spike, add, pool, fc = network.layers
        assert (conv.out_shape, conv.weights, conv.macs, conv.input_gradient) == ((4, 4, 4), 108, 108 * 16, False)
        assert (norm.weights, norm.macs, spike.count, spike.name) == (8, 0, 2, "twice")
        assert (add.out_elements, pool.in_elements, pool.out_elements, fc.macs) == (64, 64, 4, 40)
        assert (network.macs, network.weights) == (2 * (108 * 16 + 40), 108 + 8 + 40)
        assert conv.name == "conv 1"

    def test_shortcuts_are_convolutions_and_sums(self) -> None:
        listed = from_network(residual_network())
        added = [layer for layer in listed.layers if layer.kind == "add"]
        assert [layer.name for layer in added] == ["conv3 shortcut", "conv5 shortcut", "conv6 shortcut"]
        assert added[1].out_shape == (5, 2, 2)
        (projection,) = (layer for layer in listed.layers if layer.name == "projection5")
        assert (projection.kernel, projection.stride, projection.weights) == ((1, 1), 2, 15)
        launches = [k.launches for k in step_kernels(listed, 1, "binary32") if k.name == "sum of branches"]
        assert launches == [3, 3, 3]  # one a timestep
        biases = [layer.name for layer in from_network(biased_network()).layers if layer.name.endswith("bias")]
        assert biases == ["conv2 bias", "conv3 bias", "fc4 bias", "fc5 bias"]

    @pytest.mark.parametrize("name", list_networks())
    def test_our_networks_keep_their_sizes(self, name: str) -> None:
        network = load_network(name)
        listed = from_network(network)
        products = [layer for layer in network.layers if layer.source != CONSTANT]  # biases are additions on a GPU
        assert listed.macs == network.timesteps * sum(layer.macs_per_timestep() for layer in products)
        assert listed.weights == sum(layer.weights_count for layer in products)
        assert [layer.kind for layer in listed.layers].count("spike") == sum(layer.spiking for layer in network.layers)
        assert [layer.input_gradient for layer in listed.layers if layer.macs][:2] == [False, True]

    def test_pooling_stands_between_a_convolution_and_its_neuron(self) -> None:
        conv, pool, spike, *_ = from_network(load_network("cifar-vgg11")).layers
        assert [layer.kind for layer in (conv, pool, spike)] == ["conv", "pool", "spike"]
        assert conv.out_shape == pool.in_shape == (64, 32, 32)
        assert pool.out_shape == spike.in_shape == spike.out_shape == (64, 16, 16)

    @pytest.mark.parametrize(
        ("name", "macs", "weights"),
        [
            # Published sizes: torchvision's ResNet-50 has 4.09 G multiply-accumulates and 25.56 M weights, its VGG-16
            # 15.47 G and 138.36 M (here without the 13 k biases); ResNet-19 of the TET paper 2.2 G a timestep, 12.6 M.
            ("resnet50", 4.09e9, 25.56e6),
            ("vgg16", 15.47e9, 138.34e6),
            ("resnet19-tet", 6 * 2.216e9, 12.63e6),
            ("resnet18-gated-lif", 6 * 1.764e9, 11.30e6),
        ],
    )
    def test_shipped_lists(self, name: str, macs: float, weights: float) -> None:
        network = load_layers(name)
        assert network.macs == pytest.approx(macs, rel=2e-3)
        assert network.weights == pytest.approx(weights, rel=2e-3)
        assert network.source

    def test_elementwise_layers_follow_what_they_work_on(self) -> None:
        """In a shipped list every norm, spike and sum has the shape of the product or pooling above it."""
        for name in list_layer_networks():
            known: set[tuple[int, ...]] = set()
            for layer in load_layers(name).layers:
                if layer.kind in ("conv", "fc", "pool"):
                    known.add(layer.out_shape)
                assert layer.out_shape in known, (name, layer)

    def test_load_by_name_by_file_and_with_changes(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(GOOD))
        assert load_layers(str(path)) == parse_layers(GOOD, str(path))
        ours = tmp_path / "ours.yaml"
        ours.write_text(yaml.safe_dump(load_network("digits-mlp").to_dict()))
        assert load_layers(str(ours)) == load_layers("digits-mlp")
        changed = load_layers("digits-mlp", "fused", 3)
        assert (changed.neuron, changed.timesteps) == ("fused", 3)


def broken(**changes: Any) -> dict[str, Any]:
    return {**GOOD, **changes}


def layer(**entry: Any) -> dict[str, Any]:
    return broken(layers=[{key.rstrip("_"): value for key, value in entry.items()}])


NEURONS = "plain, fused, gated-lif, tet-lif, relu"
KINDS = "conv, fc, spike, norm, pool, add"
KEYS = "name, source, timesteps, neuron, norm, fold_time, input, layers"
CONV = {"conv": 4, "kernel": 3, "stride": 1, "padding": 1, "in_": [3, 8, 8]}


class TestWords:
    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (
                [],
                f"f: must be a table of keys, got [], allowed: {KEYS}",
            ),
            (broken(neuron="x"), f"f: neuron: unknown implementation, got 'x', allowed: {NEURONS}"),
            (broken(norm="x"), "f: norm: unknown implementation, got 'x', allowed: batch, threshold-dependent"),
            (broken(fold_time=1), "f: fold_time: wrong value, got 1, allowed: true, false"),
            (broken(layers=[]), "f: layers: must be a list of layers, got []"),
            (broken(timesteps=0), "f: timesteps: wrong value, got 0, allowed: a whole number >= 1"),
            (broken(input=[3, 8]), "f: input: must be [channels, height, width] or [features], got [3, 8]"),
            (
                broken(layers=[1]),
                f"f: layers[1]: must be a table of keys, got 1, allowed: {KINDS}",
            ),
            (
                layer(conv=1, fc=1),
                f"f: layers[1]: must have exactly one kind, got ['conv', 'fc'], allowed: {KINDS}",
            ),
            (layer(spike=[4], x=1), "f: layers[1]: unknown key, got 'x', allowed: spike, name, count, first"),
            (layer(spike=[4], count=0), "f: layers[1]: count: wrong value, got 0, allowed: a whole number >= 1"),
            (layer(spike=[4], first="no"), "f: layers[1]: first: wrong value, got 'no', allowed: true, false"),
            (
                layer(**{**CONV, "in_": [3]}),
                "f: layers[1]: in: a convolution takes [channels, height, width], got [3]",
            ),
            (
                layer(**{**CONV, "kernel": 11}),
                "f: layers[1]: kernel: the kernel is larger than its input, got 11, "
                "allowed: at most 10, the padded input",
            ),
        ],
    )
    def test_layer_lists(self, content: object, words: str) -> None:
        with pytest.raises(InputError) as caught:
            parse_layers(content, "f")
        assert str(caught.value) == words

    def test_unknown_network(self) -> None:
        with pytest.raises(
            InputError, match=r"^network: unknown network, got 'resnet99', allowed: .*vgg16 or a \.yaml file$"
        ):
            load_layers("resnet99")

    def test_unknown_neuron(self) -> None:
        with pytest.raises(InputError, match=f"^neuron: unknown implementation, got 'x', allowed: {NEURONS}$"):
            load_layers("digits-mlp", "x")

    def test_files(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"none\.yaml: cannot read the file \(.*No such file"):
            load_layers(str(tmp_path / "none.yaml"))
        path = tmp_path / "bad.yaml"
        path.write_text("a: [")
        with pytest.raises(InputError, match=r"bad\.yaml: not valid YAML"):
            read_yaml(path)

    def test_package_tables_are_read_once(self) -> None:
        assert package_yaml("devices.yaml") is package_yaml("devices.yaml")
