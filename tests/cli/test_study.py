"""`h2learn study bandwidth`: what it prints and writes, and what it refuses in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.analysis.bandwidth.conftest import SHORT, SHORT_OF_ROOM
from tests.end_to_end.steps import make_record
from tlm.cli.main import main
from workloads.trace_file import write_trace

pytestmark = pytest.mark.usefixtures("blank_pictures")

FILES = [
    "buffers.png",
    "occupancy.png",
    "roofline.png",
    "stalls.png",
    "step_time.png",
    "study.journal",
    "study.parquet",
    "traffic.png",
]
SETTINGS = [argument for override in SHORT_OF_ROOM for argument in ("--set", override)]
STUDY = ["study", "bandwidth"]
OPTIONS = ["--dram", "1GB/s,16GB/s,64GB/s", "--buffers", "0.5,1", "--potentials", "store", "--workers", "1", *SETTINGS]


@pytest.fixture
def trace(tmp_path: Path) -> str:
    path = tmp_path / "step.h5"
    write_trace(make_record(*SHORT), path)
    return str(path)


def test_table_knee_failures_and_files(tmp_path: Path, trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main([*STUDY, trace, "--out", str(out), *OPTIONS]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert sorted(path.name for path in out.iterdir()) == FILES
    for words in (
        "T 9, batch 5, buffers x1",
        "1GB/s",
        "unlimited",
        "knee: ",
        "asymptotes cross at ",
        "4 of 8 points failed",
    ):
        assert words in captured.out
    assert "buffers x0.5" not in captured.out  # a curve without a point has no table
    assert captured.out.count("  buffers.") == 1  # equal errors are said once
    assert f"results: {out}/study.parquet, step_time.png" in captured.out
    assert main([*STUDY, trace, "--out", str(out), *OPTIONS]) == 0
    assert "8 of 8 points are taken over from an earlier study" in capsys.readouterr().out


@pytest.mark.slow
def test_potentials_stored_and_recomputed(tmp_path: Path, trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    options = [*OPTIONS, "--potentials", "store,recompute", "--buffers", "8", "--dram", "1GB/s,16GB/s"]
    assert main([*STUDY, trace, "--out", str(out), *options]) == 0
    shown = capsys.readouterr().out
    assert "T 9, batch 5, buffers x8\n" in shown
    assert "T 9, batch 5, buffers x8, potentials recomputed" in shown
    assert "potentials.png" in shown
    assert (out / "potentials.png").exists()


def test_json_has_curves_and_failures(tmp_path: Path, trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main([*STUDY, trace, "--out", str(out), "--json", *OPTIONS]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["network"], content["taken_over"], len(content["failed"])) == ("spikes-linear", 0, 4)
    failing, good = content["curves"]
    assert failing["points"] == []
    assert failing["knee_bytes_per_us"] is None
    assert [point["dram"] for point in good["points"]] == ["1GB/s", "16GB/s", "64GB/s"]
    times = [point["step_ps"] for point in good["points"]]
    assert times == sorted(times, reverse=True)
    assert good["unlimited_ps"] <= times[-1]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--dram", "HBM9x2"], "HBM9"),
        (["--dram", "HBM2x0"], "--dram: no channels, got 'HBM2x0'"),
        (["--dram", ""], "--dram: an empty entry in the list"),
        (["--buffers", "0"], "--buffers: wrong value in the list, got '0', allowed: numbers above 0"),
        (["--buffers", ","], "--buffers: wrong value in the list, got ''"),
        (["--potentials", "forget"], "--potentials: wrong value in the list, got 'forget', allowed: store, recompute"),
        (["--batch", "4"], "--batch: a trace has its own; give a network to have others trained, got '4', allowed: 5"),
        (["--timesteps", "4"], "--timesteps: a trace has its own"),
        (["--workers", "0"], "--workers: wrong value, got 0"),
        (["--set", "lut.k=4"], "config: lut.k: differs from the arithmetic that the trace was computed with"),
        (["--buffers", "0.01"], "buffers."),
    ],
)
def test_one_line_for_each_mistake(
    tmp_path: Path, trace: str, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*STUDY, trace, "--out", str(tmp_path / "out"), *OPTIONS, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert line in captured.err
