"""`h2learn gpu`: tables, JSON, a measured file, the check, and one line for what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.analysis.gpu.test_measured import FILE
from tlm.cli.main import main


def test_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gpu", "cifar-cnn"]) == 0
    out = capsys.readouterr().out
    assert "cifar-cnn on NVIDIA V100 SXM2, binary32: batch 64, 6 timesteps, neuron plain" in out
    for words in (
        "input gradient",
        "neuron backward",
        "optimiser",
        "time a sample, ms",
        "energy a step, J",
        "memory, GiB",
    ):
        assert words in out
    assert "does not fit" not in out


def test_what_does_not_fit_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gpu", "resnet18-gated-lif", "--device", "rtx3090", "--batch", "512"]) == 0
    assert "does not fit: " in capsys.readouterr().out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--device", "A100", "--batch", "8", "--timesteps", "2", "--neuron", "fused", "--tensor-cores", "--json"]
    assert main(["gpu", "digits-conv", *options]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["batch"], content["precision"], content["device"]["key"]) == (8, "tensor16", "A100")
    assert (content["network"]["timesteps"], content["network"]["neuron"]) == (2, "fused")
    assert content["step_s"]["low"] < content["step_s"]["nominal"] < content["step_s"]["high"]
    assert content["measured_steps"] == []


def test_measured_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a100.json"
    path.write_text(json.dumps(FILE))
    assert main(["gpu", "digits-conv", "--measured", str(path), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["device"]["key"], content["precision"]) == ("A100", "tf32")
    (step,) = content["measured_steps"]
    assert step["measured_s"] == 0.003
    assert step["model_s"]["nominal"] == pytest.approx(content["step_s"]["nominal"])
    assert main(["gpu", "digits-conv", "--measured", str(path), "--device", "A100", "--precision", "tf32"]) == 0
    assert "Measured steps (no constant was fitted to them, except power)" in capsys.readouterr().out


def test_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gpu", "--check"]) == 0
    out = capsys.readouterr().out
    assert "gated-lif-a100" in out
    assert "assumed: " in out
    assert main(["gpu", "--check", "--json"]) == 0
    (first, *_) = json.loads(capsys.readouterr().out)["comparisons"]
    assert list(first) == [
        "key",
        "network",
        "timesteps",
        "device",
        "precision",
        "batch",
        "model_s",
        "measured_s",
        "error",
        "within",
        "calibration",
        "source",
        "assumed",
    ]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "gpu: missing network, allowed: a network or --check"),
        (["cifar-cnn", "--device", "P100"], "device: unknown device, got 'P100', allowed: V100, A100, RTX3090, H200"),
        (
            ["cifar-cnn", "--precision", "fp8"],
            "precision: V100 has no such precision, got 'fp8', allowed: binary32, tensor16",
        ),
        (
            ["cifar-cnn", "--tensor-cores", "--precision", "binary32"],
            "precision: --tensor-cores is --precision tensor16, got 'binary32', allowed: one of the two",
        ),
        (["cifar-cnn", "--batch", "0"], "batch: wrong value, got 0, allowed: a whole number >= 1"),
        (["cifar-cnn", "--timesteps", "0"], "timesteps: wrong value, got 0, allowed: a whole number >= 1"),
        (
            ["--check", "cifar-cnn"],
            "NETWORK: --check compares what the reports measured, got 'cifar-cnn', allowed: none of it",
        ),
        (
            ["--check", "--batch", "3"],
            "--batch: --check compares what the reports measured, got '3', allowed: none of it",
        ),
    ],
)
def test_one_line_and_exit_code_2(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gpu", *arguments]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"h2learn: error: {line}\n")


def test_unknown_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gpu", "nothing"]) == 2
    assert capsys.readouterr().err.startswith("h2learn: error: network: unknown network, got 'nothing', allowed: ")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--device", "V100"], "device: the measurement is of another device, got 'V100', allowed: A100"),
        (
            ["--precision", "binary32"],
            "precision: the measurement is of another precision, got 'binary32', allowed: tf32",
        ),
    ],
)
def test_measurement_of_something_else(
    arguments: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a100.json"
    path.write_text(json.dumps(FILE))
    assert main(["gpu", "digits-conv", "--measured", str(path), *arguments]) == 2
    assert capsys.readouterr().err == f"h2learn: error: {line}\n"
