"""`h2learn trace info`: what it says about a trace, and what it says about everything else."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.workloads.synthetic import random_record, small_network
from tlm.cli.main import main
from workloads.record import StepRecord, TrainingRun
from workloads.trace_file import write_trace


@pytest.fixture
def record() -> StepRecord:
    return random_record(small_network(), batch=6)


@pytest.fixture
def path(tmp_path: Path, record: StepRecord) -> Path:
    write_trace(record, tmp_path / "step.h5")
    return tmp_path / "step.h5"


def test_json(path: Path, record: StepRecord, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "info", str(path), "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["file_bytes"] == path.stat().st_size
    assert info["network"] == record.network.to_dict()
    assert (info["batch"], info["timesteps"], info["step"], info["dataset"]) == (6, 3, 7, "random")
    assert info["loss"] == record.loss
    assert info["arithmetic"] == {"value": "binary16", "sum": "binary32", "k": 4, "lanes": 16, "micro_batch": 8}
    assert info["optimiser"]["learning_rate"] == float(np.float32(0.1))
    assert info["constants"]["high"] == 0.75
    assert info["tensors"]["inputs"] == {"shape": [6, 4, 5, 3], "storage": "uint8", "bytes": 360}
    first, last = info["layers"]
    assert first["name"] == "conv1"
    assert (first["input"], first["output"], first["kernel"]) == ([4, 5, 3], [4, 5, 9], [3, 3])
    assert first["tensors"]["spikes"] == {"shape": [3, 6, 4, 5, 9], "storage": "bits", "bytes": 3 * 6 * 4 * 5 * 2}
    assert first["tensors"]["potentials"] == {"shape": [3, 6, 4, 5, 9], "storage": "binary16", "bytes": 6480}
    spikes, masks = record.layers[0].spikes, record.layers[0].masks
    assert spikes is not None
    assert masks is not None
    assert first["sparsity"]["firing_rate"] == spikes.mean()
    assert first["sparsity"]["active_masks"] == masks.mean()
    assert last["sparsity"]["firing_rate"] is None
    assert last["nonfinite"] == {"u": 1}
    assert "spikes" not in last["tensors"]


def test_the_run_that_a_step_belongs_to(tmp_path: Path, record: StepRecord, capsys: pytest.CaptureFixture[str]) -> None:
    run = TrainingRun(steps=40, batch=6, training_images=480, learning_rate=0.5, data="numbers")
    for training, words in (
        (run, "training    step 7 of 40, batch 6, 0.5 epochs in all, briefly trained\n"),
        (None, "training    not recorded\n"),
    ):
        path = tmp_path / "step.h5"
        write_trace(dataclasses.replace(record, training=training), path)
        assert main(["trace", "info", str(path)]) == 0
        assert words in capsys.readouterr().out
        assert main(["trace", "info", str(path), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)["training"]
        if training is None:
            assert told is None
        else:
            assert (told["steps"], told["data"], told["epochs_before"]) == (40, "numbers", 0.075)
            assert told["briefly_trained"] is True


def test_text(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "info", str(path)]) == 0
    text = capsys.readouterr().out
    for part in (
        "network     small, 3 timesteps",
        "layers      conv1 4x5x9, fc2 1x1x4",
        "arithmetic  values binary16, sums binary32, k 4, 16 lanes, micro-batch 8",
        "neuron      alpha 0.25, beta 1, threshold 0.25, low -0.25, high 0.75",
        "optimiser   learning rate 0.1, momentum 0.9, weight decay 0, static loss scale 2^12",
        "3 x 6 x 4 x 5 x 9",
        "weight gradient",
    ):
        assert part in text
    assert "…" not in text


def test_step_that_was_not_finite(tmp_path: Path, record: StepRecord, capsys: pytest.CaptureFixture[str]) -> None:
    write_trace(dataclasses.replace(record, loss=float("nan"), skipped=True), tmp_path / "step.h5")
    assert main(["trace", "info", str(tmp_path / "step.h5")]) == 0
    assert "loss not finite, skipped" in capsys.readouterr().out
    assert main(["trace", "info", str(tmp_path / "step.h5"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["loss"] is None


def test_a_step_computed_elsewhere_and_another_reset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = small_network(neuron={"reset": "subtract", "reset_by": 0.5, "reset_gradient": False})
    write_trace(dataclasses.replace(random_record(network), origin="another framework"), tmp_path / "step.h5")
    assert main(["trace", "info", str(tmp_path / "step.h5")]) == 0
    text = capsys.readouterr().out
    assert "origin      another framework\n" in text
    assert "high 0.75, drop 0.125, reset subtract, reset without a gradient\n" in text
    assert main(["trace", "info", str(tmp_path / "step.h5"), "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["origin"] == "another framework"
    assert described["constants"]["drop"] == 0.125


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda content: content[:-1], "the trace is truncated"),
        (lambda content: content[:-1] + b"?", "the trace is damaged: wrong checksum"),
        (
            lambda content: content.replace(b"schema 1\n", b"schema 9\n", 1),
            "the trace has another schema version, got 9",
        ),
        (lambda content: b"not a trace at all" * 99, "not an HDF5 file"),
    ],
)
def test_words_for_bad_files(
    path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[bytes], bytes], text: str
) -> None:
    path.write_bytes(damage(path.read_bytes()))
    assert main(["trace", "info", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"h2learn: error: {path}: {text}")
    assert error.count("\n") == 1


def test_words_for_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "info", str(tmp_path / "none.h5")]) == 2
    assert "none.h5: cannot read the trace (No such file or directory)" in capsys.readouterr().err
