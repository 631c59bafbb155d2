"""`h2learn export`: what it writes and says, and mistakes in one line."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.workloads.synthetic import random_record, small_network
from tlm.cli.main import main
from workloads.trace_file import write_trace


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("trace") / "step.h5"
    write_trace(random_record(small_network(), 3), path)
    return str(path)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["export", *arguments]) == 0
    return capsys.readouterr().out


def test_tensors(trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "step.npz"
    assert said(capsys, "tensors", trace, "--out", str(out), "--images", "2") == f"{out}: 28 tensors\n"
    with np.load(out) as step:
        assert step["conv1.spikes"].shape == (3, 2, 9, 4, 5)


def test_sparsity_of_several_traces(trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.csv"
    options = ["--by", "timestep", "--out", str(out)]
    assert said(capsys, "sparsity", trace, trace, *options) == f"{out}: 12 rows\n"
    with out.open(encoding="utf-8", newline="") as file:
        assert [row["timestep"] for row in csv.DictReader(file)] == ["1", "2", "3"] * 4


def test_scale_sim(trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "scale"
    text = said(capsys, "scale-sim", trace, "--out", str(out), "--rows", "16")
    assert text.startswith(
        f"{out}: topology.csv, gemm.csv, layout.csv, scale.cfg\nrun with: python -m scalesim.scale -c "
    )
    assert "conv1.forward, 180, 9, 27,\n" in (out / "gemm.csv").read_text()  # 3 images, 3 timesteps, 4 x 5 positions
    said(capsys, "scale-sim", trace, "--out", str(out), "--images", "1")
    assert "conv1.forward, 60, 9, 27,\n" in (out / "gemm.csv").read_text()
    assert said(capsys, "scale-sim", "digits-mlp", "--out", str(out)).startswith(f"{out}: ")
    assert "fc1.forward, 6, 128, 64,\n" in (out / "gemm.csv").read_text()


def test_sata_sim(trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sata"
    files = f"{out}: network.yaml, workload.yaml, sparsity.yaml\n"
    assert said(capsys, "sata-sim", trace, "--out", str(out)) == files
    assert "sp_s: 0.0\n" not in (out / "sparsity.yaml").read_text()
    dense = "no trace, no sparsity: everything counts as dense\n"
    assert said(capsys, "sata-sim", "digits-mlp", "--out", str(out)) == files + dense


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tensors", "TRACE", "--out", "a.mat"], "--out: no such kind of file, got 'a.mat'"),
        (["tensors", "TRACE", "--out", "a.npz", "--images", "0"], "--images: the trace has not so many images, got 0"),
        (["sparsity", "TRACE", "--out", "a.txt"], "--out: no such kind of file, got 'a.txt'"),
        (["sparsity", "TRACE", "--out", "none/a.csv"], "the output folder does not exist"),
        (["scale-sim", "no-such", "--out", "x"], "export scale-sim: unknown network or trace, got 'no-such'"),
        (["scale-sim", "TRACE", "--out", "x", "--dataflow", "rs"], "systolic array: unknown dataflow, got 'rs'"),
        (["scale-sim", "TRACE", "--out", "x", "--images", "0"], "--images: wrong value, got 0"),
        (["sata-sim", "no-such", "--out", "x"], "export sata-sim: unknown network or trace, got 'no-such'"),
    ],
)
def test_mistakes_are_one_line(
    trace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", *(trace if word == "TRACE" else word for word in arguments)]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
