"""`h2learn train`: what it writes, prints and refuses; killed and interrupted processes."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import tlm.cli.train
from tests.workloads.files import write_cifar
from tlm.cli.main import main
from workloads.datasets import DATASETS
from workloads.trace_file import open_trace

NETWORK = """
name: tiny
input: {shape: [8, 8, 1], exponent: 4}
timesteps: 2
layers: [{linear: 7}, {linear: 10}]
"""


@pytest.fixture
def network(tmp_path: Path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(NETWORK)
    return str(path)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_trains_captures_and_summarises(tmp_path: Path, network: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "step.h5"
    arguments = ["train", network, "--steps", "3", "--batch", "500", "--capture", "2", "--out", str(out)]
    arguments += ["--k", "3", "--lanes", "8", "--micro-batch", "100", "--value-format", "bfloat16", "--seed", "5"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.err == ""  # no progress bar where stderr is no terminal
    with open_trace(out) as trace:
        assert (trace.step, trace.batch, trace.seed, trace.network.name) == (2, 500, 5, "tiny")
        arithmetic = trace.arithmetic
        assert (arithmetic.k, arithmetic.lanes, arithmetic.micro_batch) == (3, 8, 100)
        assert (arithmetic.value.name, arithmetic.sum.name) == ("bfloat16", "binary32")
        assert trace.digest in captured.out
    assert "tiny, trained on the digits" in captured.out
    assert "3 (2 epochs)" in captured.out
    assert "briefly" not in captured.out
    assert f"{out}, step 2" in captured.out
    assert names(tmp_path) == ["step.h5", "step.h5.checkpoint", "tiny.yaml"]


def test_json_and_a_finished_run(tmp_path: Path, network: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", network, "--epochs", "2", "--batch", "700", "--out", str(tmp_path / "step.h5")]
    assert main([*arguments, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["steps"] == 4
    assert first["was_finished"] is False
    assert first["resumed_at_step"] is None
    assert len(first["epochs"]) == 2
    assert first["held_out_accuracy"] == first["epochs"][-1]["held_out_accuracy"]
    assert first["trace"]["step"] == 4
    assert main([*arguments, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again == first | {"was_finished": True}
    assert main(arguments) == 0
    assert "4 (2 epochs), finished already: nothing was done" in capsys.readouterr().out


def test_progress_bar_on_a_terminal(tmp_path: Path, network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()

    def terminal(**options: Any) -> Console:
        return Console(file=screen, force_terminal=True, width=120)

    monkeypatch.setattr(tlm.cli.train, "Console", terminal)
    assert main(["train", network, "--steps", "2", "--batch", "1437", "--out", str(tmp_path / "step.h5")]) == 0
    assert "2/2" in screen.getvalue()
    assert "held out -" in screen.getvalue()  # before the first epoch has ended


def test_a_run_of_less_than_an_epoch_is_brief(tmp_path: Path, network: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "step.h5"
    arguments = ["train", network, "--steps", "2", "--batch", "8", "--capture-batch", "3", "--evaluated", "0"]
    assert main([*arguments, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "2 (0.011 epochs: briefly trained)" in printed
    assert "held-out accuracy     not measured" in printed
    with open_trace(out) as trace:
        assert trace.batch == 3
    assert main(["trace", "info", str(out)]) == 0
    assert "step 2 of 2, batch 8, 0.011 epochs in all, briefly trained" in capsys.readouterr().out


def test_stages(tmp_path: Path, network: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "stages"
    arguments = ["train", network, "--epochs", "1", "--batch", "300", "--stages", "0,50,100", "--capture-batch", "20"]
    assert main([*arguments, "--out", str(folder)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    stem = folder / "tiny-digits-seed0-batch300-steps4-rate0.1"
    assert names(folder) == [f"{stem.name}-first20-at{percent}.h5" for percent in ("000", "050", "100")] + [
        f"{stem.name}.checkpoint"
    ]
    for text in (
        "tiny, trained on the digits",
        "4 of batch 300 (0.84 epochs: briefly trained)",
        "20 images of each step",
        "0.1 at the start of a cosine",
        "% of 360 images",
        f"trace at 50 %         {stem}-first20-at050.h5, step 2\n",
        "sparsity by stage and layer",
    ):
        assert text in captured.out
    assert main([*arguments, "--out", str(folder), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert [stage["step"] for stage in summary["stages"]] == [1, 2, 4]
    assert [stage["reused"] for stage in summary["stages"]] == [True] * 3
    with open_trace(summary["stages"][1]["trace"]) as trace:
        assert summary["stages"][1]["loss"] == trace.loss
        assert summary["stages"][1]["layers"][0]["active_masks"] == trace.sparsity(0).active_masks
        assert summary["learning_rate"] == 0.1
    (folder / f"{stem.name}.checkpoint").unlink()
    assert main([*arguments, "--out", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "held-out accuracy     not measured" in printed
    assert "-at050.h5, step 2, used again" in printed


def test_loss_that_is_not_finite_is_null(tmp_path: Path, network: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", network, "--steps", "2", "--batch", "8", "--learning-rate", "1e30", "--json"]
    assert main([*arguments, "--value-format", "binary32", "--out", str(tmp_path / "step.h5")]) == 0
    summary = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert summary["steps"] == 2


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--epochs", "0"], "epochs: wrong value, got 0, allowed: a whole number >= 1"),
        (["--epochs", "-3"], "epochs: wrong value, got -3"),
        (["--epochs", "many"], "Invalid value for '--epochs': 'many' is not a valid integer"),
        (["--steps", "0"], "steps: wrong value, got 0, allowed: a whole number >= 1"),
        (["--steps", "3", "--epochs", "1"], "train: give --epochs or --steps, not both, got '--epochs 1 --steps 3'"),
        (["--batch", "0"], "batch: wrong value, got 0, allowed: 1..1437"),
        (["--batch", "2.5"], "Invalid value for '--batch'"),
        (["--seed", "-1"], "seed: wrong value, got -1, allowed: a whole number 0..9223372036854775807"),
        (["--steps", "5", "--capture", "6"], "capture: wrong value, got 6, allowed: a whole number 1..5"),
        (["--k", "9"], "k: wrong value, got 9, allowed: a whole number 1..8"),
        (["--lanes", "3"], "lanes: wrong value, got 3, allowed: a power of two, 1..1024"),
        (["--micro-batch", "0"], "micro-batch: wrong value, got 0, allowed: a whole number >= 1"),
        (["--value-format", "posit"], "value-format: unknown number format, got 'posit', allowed: binary16, bfloat16"),
        (
            ["--sum-format", "bfloat16"],
            "sum-format: wrong value, got 'bfloat16', allowed: binary32 or the value format",
        ),
        (["--learning-rate", "-1"], "learning-rate: wrong value, got -1.0, allowed: a number 0.."),
        (["--capture-batch", "33"], "capture-batch: wrong value, got 33, allowed: a whole number 1..32"),
        (["--evaluated", "-1"], "evaluated: wrong value, got -1, allowed: a whole number >= 0"),
        (["--stages", "0,x"], "stages: wrong value, got '0,x', allowed: whole percentages with commas, such as 0,10,"),
        (["--stages", "0,101"], "stages: wrong value, got 101, allowed: a whole number 0..100"),
        (["--stages", "0", "--capture", "1"], "train: give --capture or --stages, not both, got '--stages 0'"),
        (["--out", "none/step.h5"], "none: the output folder does not exist"),
        (["--out", "."], ".: is a folder, allowed: the name of a file"),
    ],
)
def test_words_for_wrong_options(
    tmp_path: Path,
    network: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", network, "--out", "step.h5", *options]) == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1
    assert names(tmp_path) == ["tiny.yaml"]


@pytest.mark.parametrize(
    ("network", "text"),
    [
        (
            "digits-convolution",
            "network: unknown network, got 'digits-convolution', allowed: cifar-cnn, ",
        ),
        ("none.yaml", "network: cannot read the network file"),
    ],
)
def test_words_for_wrong_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str], network: str, text: str) -> None:
    assert main(["train", network, "--out", str(tmp_path / "step.h5")]) == 2
    assert text in capsys.readouterr().err
    assert names(tmp_path) == []


def test_network_that_no_data_set_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "big.yaml"
    path.write_text(NETWORK.replace("[8, 8, 1]", "[32, 32, 1]"))
    assert main(["train", str(path), "--out", str(tmp_path / "step.h5")]) == 2
    assert "tiny: input: no data set has images of this shape, got 'direct [32, 32, 1]'" in capsys.readouterr().err


def test_photographs_for_networks_of_their_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "colour.yaml", tmp_path / "step.h5"
    path.write_text(NETWORK.replace("[8, 8, 1], exponent: 4", "[32, 32, 3], exponent: 8"))
    assert main(["train", str(path), "--steps", "1", "--batch", "3", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "tiny, trained on the photographs" in printed
    assert "% of 160 images" in printed
    with open_trace(out) as trace:
        assert (trace.dataset, trace.batch) == ("photographs", 3)
    assert (
        main(["train", str(path), "--dataset", "photographs", "--steps", "1", "--batch", "3", "--out", str(out)]) == 0
    )
    assert "finished already" in capsys.readouterr().out
    assert main(["train", str(path), "--dataset", "digits", "--out", str(out)]) == 2
    assert "tiny: input: the digits cannot be fed to this network, got 'direct [32, 32, 3]'" in capsys.readouterr().err
    assert main(["train", str(path), "--dataset", "mnist", "--out", str(out)]) == 2
    assert "dataset: unknown data set, got 'mnist', allowed: digits, photographs, photo" in capsys.readouterr().err


def test_files_of_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "colour.yaml", tmp_path / "step.h5"
    path.write_text(NETWORK.replace("[8, 8, 1], exponent: 4", "[32, 32, 3], exponent: 8"))
    arguments = ["train", str(path), "--steps", "2", "--batch", "20", "--out", str(out)]
    folder = write_cifar(tmp_path / "cifar")
    assert main([*arguments, "--data", str(folder)]) == 0
    assert "tiny, trained on the cifar-10" in capsys.readouterr().out
    with open_trace(out) as trace:
        assert trace.dataset == "cifar-10"
        assert trace.training is not None
        assert trace.training.training_images == 20
    assert main([*arguments, "--dataset", "photographs"]) == 2
    assert "step.h5.checkpoint: dataset: the checkpoint belongs to a run with another value" in capsys.readouterr().err
    write_cifar(folder, records=5)
    (folder / "test_batch.bin").write_bytes(bytes(3072))
    assert main([*arguments, "--data", str(tmp_path / "none")]) == 2
    assert f"data: no such folder, got '{tmp_path / 'none'}'\n" in capsys.readouterr().err


def test_events_without_any_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "events.yaml", tmp_path / "step.h5"
    path.write_text(NETWORK.replace("[8, 8, 1], exponent: 4", "[34, 34, 2], coding: spikes"))
    assert main(["train", str(path), "--steps", "1", "--batch", "4", "--evaluated", "3", "--out", str(out)]) == 0
    assert "tiny, trained on the event-camera-model" in capsys.readouterr().out
    with open_trace(out) as trace:
        assert trace.dataset == "event-camera-model"
        assert trace.training is not None
        assert "contrast threshold 0.2, that makes 3 saccades of 6 pixels" in trace.training.data
        assert trace.inputs().shape == (2, 4, 34, 34, 2)


def test_help_names_the_data_sets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    printed = "".join(capsys.readouterr().out.split())  # names may be broken at their hyphens
    assert all(name in printed for name in DATASETS)


def test_other_settings_than_the_checkpoint(tmp_path: Path, network: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", network, "--batch", "700", "--out", str(tmp_path / "step.h5")]
    assert main([*arguments, "--epochs", "1"]) == 0
    capsys.readouterr()
    assert main([*arguments, "--epochs", "2"]) == 2
    assert "step.h5.checkpoint: steps: the learning rate falls along a cosine" in capsys.readouterr().err
    assert main([*arguments, "--epochs", "1", "--seed", "1"]) == 2
    error = capsys.readouterr().err
    assert "step.h5.checkpoint: seed: the checkpoint belongs to a run with another value" in error
    assert error.endswith("got 1, allowed: 0\n")


SIGNALLED = """
import os, sys
from tlm.cli.main import main
from workloads import trainer
number, advance, done = int(sys.argv.pop(1)), trainer._advance, []
def told(*arguments):
    progress = advance(*arguments)
    done.append(progress)
    if len(done) == 20:
        os.kill(os.getpid(), number)
    return progress
trainer._advance = told
sys.exit(main())
"""
"""The command line, which gets a signal at the end of its twentieth step: in the middle of an epoch."""


def test_killed_and_interrupted_processes_end_with_the_same_bits(
    tmp_path: Path, network: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, broken = tmp_path / "plain.h5", tmp_path / "broken.h5"
    arguments = ["train", network, "--epochs", "4", "--batch", "100", "--micro-batch", "100", "--out"]
    for sign, words in ((signal.SIGKILL, b""), (signal.SIGINT, b"h2learn: interrupted\n")):
        command = [sys.executable, "-c", SIGNALLED, str(int(sign)), *arguments, str(broken)]
        process = subprocess.run(command, capture_output=True, check=False)
        assert process.stderr == words
        assert process.returncode == (130 if words else -sign)
        assert names(tmp_path) == ["broken.h5.checkpoint", "tiny.yaml"]
    assert main([*arguments, str(broken)]) == 0
    assert ", went on after step 33\n" in capsys.readouterr().out  # 14 from the first process and 19 from the second
    assert main([*arguments, str(plain)]) == 0
    assert broken.read_bytes() == plain.read_bytes()
