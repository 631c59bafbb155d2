"""The command `h2learn cosim`: table, JSON, files, exit codes and the words of its errors."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

import tlm.cosim
from rtl_models.simulators import available_simulators
from tests.cosim.conftest import OVERRIDES
from tests.cosim.mutants import slow_row
from tests.cosim.traces import write_small_trace
from tlm.cli.main import main

SETTINGS = [part for override in OVERRIDES for part in ("--set", override)]


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_small_trace(tmp_path_factory.mktemp("cosim") / "small.trace"))


def test_a_table_a_file_and_exit_code_0(trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "folder"
    simulator = available_simulators()[0]
    assert main(["cosim", trace, *SETTINGS, "--simulator", simulator, "--sample-seed", "3", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "Co-simulation of small, configuration h2learn, sample, seed 3" in text
    for words in (
        "forward",
        "weight update",
        "conv1",
        "fc3",
        simulator,
        "lut_row: law proved",
        "transposition_unit: law proved",
    ):
        assert words in text
    assert text.rstrip().endswith("every compared bit and cycle is equal")
    written = json.loads((out / "cosim.json").read_text())
    assert written["passed"] is True
    assert written["sample_seed"] == 3
    assert [path.name for path in out.iterdir()] == ["cosim.json"]


@pytest.mark.slow
def test_a_mismatch_is_exit_code_1_and_is_replayed(
    trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tlm.cosim, "cosimulate", functools.partial(tlm.cosim.cosimulate, units={"lut_row": slow_row}))
    assert main(["cosim", trace, *SETTINGS, "--simulator", "myhdl", "--out", str(tmp_path)]) == 1
    text = capsys.readouterr().out
    assert "MISMATCH in forward layer" in text
    assert "lut_row: law refuted" in text
    tile = next(tmp_path.glob("*.tile"))
    assert f"h2learn cosim --replay {tile}" in text
    assert json.loads((tmp_path / "cosim.json").read_text())["failure"]["tile_file"] == str(tile)

    waveform = tmp_path / "wave.vcd"
    assert main(["cosim", "--replay", str(tile), "--simulator", "myhdl", "--vcd", str(waveform)]) == 0
    text = capsys.readouterr().out
    assert "written because of (myhdl): beat" in text
    assert "myhdl: all results and transfers are equal now" in text
    assert waveform.stat().st_size > 0

    monkeypatch.setattr(tlm.cosim, "replay", functools.partial(tlm.cosim.replay, unit=slow_row))
    assert main(["cosim", "--replay", str(tile), "--simulator", "myhdl", "--json"]) == 1
    plain = json.loads(capsys.readouterr().out)
    assert plain["passed"] is False
    assert plain["difference"] == plain["seen"]
    assert main(["cosim", "--replay", str(tile), "--simulator", "myhdl"]) == 1
    assert "myhdl: MISMATCH: beat" in capsys.readouterr().out


def test_json_on_standard_output(trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    simulator = available_simulators()[0]
    assert main(["cosim", trace, *SETTINGS, "--simulator", simulator, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["units"][0]["verdict"] == "proved"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "cosim: nothing to co-simulate, allowed: a trace, or --replay TILE"),
        (["TRACE", "--replay", "x.tile"], "cosim: a trace and --replay together, got 'TRACE', allowed: one of them"),
        (
            ["--replay", "x.tile", "--out", "x"],
            "--out: does not go with --replay: the tile tells its own configuration",
        ),
        (["--replay", "none.tile"], "none.tile: cannot read the tile (No such file or directory)"),
        (["TRACE", "--vcd", "x.vcd"], "--vcd: a waveform is written of a replayed tile only, got 'x.vcd'"),
        (["TRACE", "--simulator", "spice"], "unknown simulator, got 'spice', allowed: auto, verilator, myhdl"),
        (["TRACE", "--cosim", "none"], "'none' is not one of 'sample', 'all'"),
        (["TRACE", "--sample-seed", "-1"], "-1 is not in the range x>=0"),
        (
            ["TRACE", "--set", "lut.k=2"],
            "config: lut.k: differs from the arithmetic that the trace was computed with, got 2",
        ),
        (["TRACE", "--config", "h3learn"], "config: unknown preset, got 'h3learn'"),
        (["TRACE", "--verilog", "x.v"], "--verilog: not a unit and a file, got 'x.v', allowed: UNIT=FILE"),
        (["TRACE", "--verilog", "row=x.v"], "unit: unknown unit, got 'row', allowed: lut_row, neuron_unit"),
        (["none.trace"], "none.trace: cannot read the trace (No such file or directory)"),
        (["TRACE", "--out", "/proc/none"], "/proc/none"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    arguments: list[str], words: str, trace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cosim", *(trace if part == "TRACE" else part for part in arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("h2learn: error: ")
    assert words.replace("TRACE", trace) in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("more", [[], ["--lockstep"]])
def test_rows_of_adders_have_no_rtl(trace: str, more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cosim", trace, *SETTINGS, *more, "--set", "forward_engine.element=adders"]) == 2
    words = "config: forward_engine.element: rows of adders are a baseline without RTL and cannot be co-simulated, got"
    assert capsys.readouterr().err == f"h2learn: error: {words} 'adders', allowed: lut\n"
