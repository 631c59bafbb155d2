"""What SCALE-Sim and SATA_Sim are told of a network, by the formulas of those programs."""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import Any

import pytest
import yaml

from rtl_models.errors import InputError
from tests.workloads.exporters.conftest import network
from tests.workloads.synthetic import small_network
from workloads.exporters.sata_sim import inference_layers, training_layers, write_sata_sim
from workloads.exporters.scale_sim import SystolicArray, convolutions, matrix_products, write_scale_sim
from workloads.network import CONSTANT, Network, load_network


def weighted(net: Network) -> list[Any]:
    return [layer for layer in net.layers if layer.source != CONSTANT]


WIDE = small_network(
    input={"shape": [8, 7, 3], "exponent": 4},
    layers=[{"conv": {"channels": 9, "kernel": [3, 2], "stride": 2}}, {"conv": {"channels": 4, "kernel": [3, 3]}}],
)
"""A plane of 8 x 7 under a kernel of 3 x 2."""


class TestScaleSim:
    def test_convolutions(self) -> None:
        lines = convolutions(load_network("cifar-cnn")).splitlines()
        assert len(lines) == 13
        assert lines[1] == "conv1, 34, 34, 3, 3, 3, 128, 1,"
        assert lines[3] == "conv3, 33, 33, 3, 3, 128, 128, 2,"
        assert lines[10] == "fc10, 4, 4, 4, 4, 512, 1024, 1,"

    def test_scale_sim_counts_our_operations(self) -> None:
        """`topology_utils.topo_calc_hyperparams`, and M N K of matrix products."""
        net = network()
        layers = weighted(net)
        for line, layer in zip(convolutions(net).splitlines()[1:], layers, strict=True):
            name, *numbers, end = line.split(",")
            height, width, rows, columns, channels, filters, stride = map(int, numbers)
            outputs = -(-(height - rows + stride) // stride) * -(-(width - columns + stride) // stride)
            assert (name, end) == (layer.name, "")
            assert outputs * rows * columns * channels * filters == layer.macs_per_timestep()
        products = [line.split(",") for line in matrix_products(net, images=3).splitlines()[1:]]
        passes = [f"{layer.name}.{p}" for layer in layers for p in ("forward", "backward", "update")]
        assert [product[0] for product in products] == [name for name in passes if name != "conv1.backward"]
        for name, m, n, k, _ in products:
            layer = next(layer for layer in layers if layer.name == name.partition(".")[0])
            assert int(m) * int(n) * int(k) == 3 * net.timesteps * layer.macs_per_timestep()

    def test_planes_that_are_not_square_and_products_of_each_pass(self) -> None:
        assert convolutions(WIDE).splitlines()[1:] == ["conv1, 7, 6, 3, 2, 3, 9, 2,", "conv2, 3, 3, 3, 3, 9, 4, 1,"]
        assert matrix_products(WIDE, images=2).splitlines()[1:] == [
            "conv1.forward, 54, 9, 18,",
            "conv1.update, 18, 9, 54,",
            "conv2.forward, 6, 4, 81,",
            "conv2.backward, 6, 81, 4,",
            "conv2.update, 81, 4, 6,",
        ]

    def test_configuration(self, tmp_path: Path) -> None:
        files = write_scale_sim(network(), tmp_path / "new", SystolicArray(16, 8, "ws", 64))
        assert [path.name for path in files] == ["topology.csv", "gemm.csv", "layout.csv", "scale.cfg"]
        config = configparser.ConfigParser()
        config.read(tmp_path / "new" / "scale.cfg")
        array = config["architecture_presets"]
        assert [array[key] for key in ("ArrayHeight", "ArrayWidth", "Dataflow")] == ["16", "8", "ws"]
        assert {array[f"{memory}SramSzkB"] for memory in ("Ifmap", "Filter", "Ofmap")} == {"64"}
        assert config["general"]["run_name"] == "every-layer"
        assert SystolicArray(1, 1, "is", 1).sram_kib == 1
        assert (tmp_path / "new" / "gemm.csv").read_text() == matrix_products(network(), images=1)

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda: SystolicArray(rows=0), "systolic array: rows: wrong value, got 0, allowed: a whole number >= 1"),
            (lambda: SystolicArray(dataflow="rs"), "systolic array: unknown dataflow, got 'rs', allowed: os, ws, is"),
            (
                lambda: write_scale_sim(small_network(), Path(), SystolicArray(), 0),
                "--images: wrong value, got 0, allowed: a whole number >= 1",
            ),
        ],
    )
    def test_words_of_mistakes(self, make: Any, words: str) -> None:
        with pytest.raises(InputError) as caught:
            make()
        assert str(caught.value) == words


def row(name: str, spikes: float, gradients: float, masks: float | None) -> dict[str, Any]:
    layer = next(layer for layer in network().layers if layer.name == name)
    sizes = ("name", "in_height", "in_width", "in_channels", "out_height", "out_width", "out_channels")
    found = {key: getattr(layer, key) for key in (*sizes, "kernel_height", "kernel_width")}
    shares = {"input_nonzero": spikes, "nonzero_gradients": gradients, "active_masks": masks}
    return found | shares | {"dense_macs": layer.macs_per_timestep()}


ROWS = [
    row("conv1", 0.5, 0.7, 0.6),
    row("projection2", 0.2, 0.4, None),
    row("conv2", 0.2, 0.4, 0.3),
    row("fc3", 0.1, 0.3, 0.25),
    row("fc4", 0.15, 1.0, None),
]


class TestSataSim:
    def test_training_counts_every_layer_with_its_own_sparsity(self, tmp_path: Path) -> None:
        """`get_workload`: totals of its formulas with one number equal those layer by layer."""
        write_sata_sim(network(), tmp_path, ROWS)
        layers = yaml.safe_load((tmp_path / "network.yaml").read_text())
        told = yaml.safe_load((tmp_path / "sparsity.yaml").read_text())
        assert list(layers) == [entry["name"] for entry in ROWS]
        assert layers.pop("fc4") == {"type": "out_linear", "in": 7, "out": 10}
        one = dict.fromkeys(("H_h", "H_w", "R_h", "R_w", "E_h", "E_w"), 1)
        assert layers["fc3"] == {"type": "2dconv", "C": 4 * 4 * 6, "K": 7} | one
        forward = backward = wanted_forward = wanted_backward = 0.0
        for entry, keys in zip(ROWS, layers.values(), strict=False):
            assert keys["type"] == "2dconv"
            kernel = keys["C"] * keys["R_h"] * keys["R_w"] * keys["K"]
            assert kernel * keys["E_h"] * keys["E_w"] == entry["dense_macs"]
            forward += (1 - told["sp_s"]) * kernel * keys["E_h"] * keys["E_w"] * told["T"]
            backward += (1 - told["sp_du"]) * kernel * keys["H_h"] * keys["H_w"] * told["T"]
            wanted_forward += entry["input_nonzero"] * entry["dense_macs"] * 2
            wanted_backward += entry["nonzero_gradients"] * kernel * keys["H_h"] * keys["H_w"] * 2
        assert forward == pytest.approx(wanted_forward)
        assert backward == pytest.approx(wanted_backward)
        neurons = {"conv1": 5 * 64, "conv2": 6 * 16, "fc3": 7}
        active = 0.6 * neurons["conv1"] + 0.3 * neurons["conv2"] + 0.25 * neurons["fc3"]
        assert told["sp_df"] == pytest.approx(1 - active / sum(neurons.values()))
        assert told["layers"]["projection2"] == {"sp_s": 0.8, "sp_du": 0.6}

    def test_inference_counts_every_layer(self, tmp_path: Path) -> None:
        """`extract_workload`, which pads by 1."""
        write_sata_sim(network(), tmp_path, ROWS)
        told = yaml.safe_load((tmp_path / "workload.yaml").read_text())
        total = 0
        for entry, layer in zip(ROWS, told["Layers"], strict=True):
            keys = layer["attributes"]
            macs = keys["Num Filter"] * keys["Channels"]
            if "Conv" in layer["name"]:
                width = (keys["IFMAP Width"] + 2 - keys["Filter Width"]) // keys["Strides"] + 1
                height = (keys["IFMAP Height"] + 2 - keys["Filter Height"]) // keys["Strides"] + 1
                macs *= width * height * keys["Filter Width"] * keys["Filter Height"]
            else:
                assert "FC" in layer["name"]
                assert [keys[name] for name in ("IFMAP Height", "IFMAP Width", "Strides")] == [1, 1, 1]
                assert [keys[name] for name in ("Filter Height", "Filter Width")] == [1, 1]
            assert macs == entry["dense_macs"]
            total += macs
        spikes = sum(entry["input_nonzero"] * entry["dense_macs"] for entry in ROWS)
        assert told["General"] == {"timestep": 2, "sparsity": pytest.approx(1 - spikes / total)}

    def test_planes_that_are_not_square(self) -> None:
        sizes = {"H_h": 8, "H_w": 7, "C": 3, "R_h": 3, "R_w": 2, "K": 9, "E_h": 3, "E_w": 3}
        assert training_layers(WIDE)["conv1"] == {"type": "2dconv", **sizes}
        told = inference_layers(WIDE)[0]["attributes"]
        assert list(told.values()) == [6, 5, 3, 2, 3, 9, 2]
        assert list(told)[:4] == ["IFMAP Height", "IFMAP Width", "Filter Height", "Filter Width"]

    def test_without_a_trace_everything_is_dense(self, tmp_path: Path) -> None:
        write_sata_sim(small_network(), tmp_path)
        told = yaml.safe_load((tmp_path / "sparsity.yaml").read_text())
        assert told == {"T": 3, "sp_s": 0.0, "sp_du": 0.0, "sp_df": 0.0, "layers": {}}

    def test_words_of_mistakes(self, tmp_path: Path) -> None:
        net = small_network(layers=[{"conv": {"channels": 2, "kernel": [3, 3]}}, {"linear": 2}])
        with pytest.raises(InputError, match=r"^small: conv1: SATA_Sim pads every convolution by 1, which this map"):
            inference_layers(net)
        assert training_layers(net)["conv1"]["E_h"] == 2
        (tmp_path / "file").touch()
        with pytest.raises(InputError, match=r"file/x: the folder cannot be made \(Not a directory\)$"):
            write_sata_sim(small_network(), tmp_path / "file" / "x")
