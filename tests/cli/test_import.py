"""`h2learn import nir` and `h2learn export nir`: files written, notes said, mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.workloads.synthetic import random_record, small_network
from tlm.cli.main import main
from workloads.exporters.nir import write_nir
from workloads.importers.nir import import_nir
from workloads.initialise import initial_weights
from workloads.network import load_network
from workloads.trace_file import write_trace

NETWORK = small_network(
    name="exported", input={"shape": [8, 8, 1], "exponent": 4}, layers=[{"linear": 7}, {"linear": 10}]
)


@pytest.fixture
def graph(tmp_path: Path) -> str:
    path = tmp_path / "model.nir"
    write_nir(NETWORK, initial_weights(NETWORK, 5), path)
    return str(path)


def test_import(graph: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mine.yaml"
    options = ["--name", "mine", "--fire", "at", "--reset", "subtract", "--detached-reset", "--signed"]
    assert main(["import", "nir", graph, "--out", str(out), *options]) == 0
    text = capsys.readouterr().out
    assert "node fc1: fc1, 1 x 1 x 7\n" in text
    assert "note: neurons fire at the threshold and above: above " in text
    assert text.endswith(f"network: {out}, weights: {tmp_path}/mine.weights.h5\n")
    network = load_network(str(out))
    assert (network.name, network.input.signed, network.neuron.reset_gradient) == ("mine", True, False)
    assert network.weights is not None
    np.testing.assert_array_equal(initial_weights(network, 0)[1], initial_weights(NETWORK, 5)[1])


def test_import_as_json(
    graph: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["import", "nir", graph, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["network"] == NETWORK.to_dict()
    assert (told["file"], told["weights"], told["notes"]) == ("model.yaml", "model.weights.h5", [])
    assert told["nodes"]["node fc2"] == 1


def test_export_of_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = random_record(small_network(), 3)
    write_trace(record, tmp_path / "step.h5")
    out = tmp_path / "out.nir"
    assert main(["export", "nir", str(tmp_path / "step.h5"), "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[1:3] == ["conv1: Conv2d", "neurons1: LIF"]
    back = import_nir(out)
    assert back.network == record.network
    for got, layer in zip(back.weights, record.layers, strict=True):
        np.testing.assert_array_equal(got, layer.new_master)


def test_export_of_a_network(graph: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "again.nir")
    assert main(["import", "nir", graph, "--out", str(tmp_path / "mine.yaml")]) == 0
    capsys.readouterr()
    assert main(["export", "nir", str(tmp_path / "mine.yaml"), "--out", out, "--dt", "1e-3", "--json"]) == 0
    nodes = json.loads(capsys.readouterr().out)["nodes"]
    assert list(nodes.values()) == ["Input", "Flatten", "Linear", "LIF", "Linear", "Output"]
    assert main(["import", "nir", out, "--out", str(tmp_path / "back.yaml"), "--dt", "1e-3"]) == 0
    assert load_network(str(tmp_path / "back.yaml")).neuron == NETWORK.neuron


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "nir", "no.nir"], "no.nir: no such file, allowed: a NIR file"),
        (["import"], "import: missing command, allowed: nir"),
        (
            ["export", "nir", "digits-mlp", "--out", "x.nir"],
            "export nir: the network has no weights, got 'digits-mlp', a",
        ),
        (
            ["export", "nir", "no.h5", "--out", "x.nir"],
            "export nir: unknown network or trace, got 'no.h5', allowed: a n",
        ),
    ],
)
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"h2learn: error: {message}")
