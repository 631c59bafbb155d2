"""`h2learn sweep`: what it prints and writes, and what it refuses in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.end_to_end.steps import make_record
from tests.sweep.conftest import STEP, raw_spec
from tlm.cli.main import main
from workloads.trace_file import write_trace


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    trace = tmp_path / "step.h5"
    write_trace(make_record(*STEP), trace)
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(raw_spec(trace, grid={"dram.channels": [2, 0]}), sort_keys=False))
    return path


def test_front_failures_files_and_json(spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    arguments = ["sweep", str(spec), "--out", str(out), "--workers", "1"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert sorted(path.name for path in out.iterdir()) == ["sweep.journal", "sweep.json", "sweep.parquet"]
    for words in (
        "Front of time_s, energy_j, area_mm2",
        "dram.channels",
        "2 points, 1 on the front, 1 failed",
        "  1: config: dram.channels: wrong value, got 0",
        f"results: {out}/sweep.parquet, sweep.json",
    ):
        assert words in captured.out
    assert main(arguments) == 0
    assert "1 of 2 points are taken over from an earlier run" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((out / "sweep.json").read_text())


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "dram.channels",
            "dram.chanels",
            "sweep.yaml: grid: unknown key, got 'dram.chanels', allowed: model",
        ),
        ("grid:", "gird:", "sweep.yaml: gird: unknown key, got 'gird', allowed: name, config, set"),
        ("- 2\n  - 0", "  []", "sweep.yaml: grid.dram.channels: has no values"),
        ("- 2\n", "- -1\n", "sweep: no point can be simulated; the first says: config: dram.channels: wrong value"),
        ("lut:", "luts:", "h2learn: luts: unknown key, got 'luts'"),
    ],
)
def test_one_line_and_exit_code_2(
    spec: Path, tmp_path: Path, old: str, new: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = spec.read_text()
    assert old in text
    spec.write_text(text.replace(old, new))
    assert main(["sweep", str(spec), "--out", str(tmp_path / "out"), "--workers", "1"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert line in captured.err


def test_workers(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", str(spec), "--workers", "0"]) == 2
    assert capsys.readouterr().err == "h2learn: error: --workers: wrong value, got 0, allowed: a whole number >= 1\n"


def test_a_cluster_that_does_not_answer(
    spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tlm.sweep.cluster.CONNECT_S", 1)
    assert main(["sweep", str(spec), "--scheduler", "tcp://127.0.0.1:9"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("h2learn: error: --scheduler: no scheduler answers (")
    assert captured.err.count("\n") == 1


def test_a_sweep_on_a_cluster_says_when_it_goes_away(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr("tlm.sweep.cluster.POLL_S", 0.2)
    monkeypatch.setattr("tlm.sweep.cluster.PATIENCE_S", 0.3)
    empty = distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0", silence_logs=50)
    with empty:
        options = ["--scheduler", empty.scheduler_address, "--on-lost", "local", "--workers", "1"]
        assert main(["sweep", str(spec), "--out", str(tmp_path / "out"), *options]) == 0
    captured = capsys.readouterr()
    words = "has no worker: 1 points left go on in processes of this machine\n"
    assert captured.err == f"h2learn: the cluster at {empty.scheduler_address} {words}"
    assert "2 points, 1 on the front, 1 failed" in captured.out
