"""`h2learn search`: what it prints and writes, and what it refuses in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end.steps import TINY, make_record
from tlm.cli.main import main
from workloads.trace_file import write_trace

pytestmark = pytest.mark.usefixtures("blank_pictures")

GRID = [
    "forward_engine.arrays=1,2",
    "weight_update_engine.arrays=2",
    "backward_engine.units=1,3",
    "backward_engine.items_in_flight=4",
    "buffers=1",
]


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    path = tmp_path / "step.h5"
    write_trace(make_record("spikes", "linear", 2), path)
    settings = [argument for override in TINY for argument in ("--set", override)]
    grid = [argument for entry in (*GRID, "dram.channels=2") for argument in ("--vary", entry)]
    return ["search", "--trace", str(path), "--workers", "1", *settings, *grid, "--out", str(tmp_path / "out")]


def test_tables_files_and_json(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    files = ["best.yaml", "search.journal", "search.json", "search.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == files
    for words in ("Fastest machines", "Front of area and time", "start", "4 machines, 4 within 110.4 mm2 and able"):
        assert words in captured.out
    assert "no machine of the grid is faster" in captured.out
    assert main([*arguments, "--simulations", "1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert not printed["proved"]
    assert printed == json.loads((tmp_path / "out" / "search.json").read_text())
    assert main([*arguments, "--simulations", "1"]) == 0
    assert "faster ones may be left: --simulations" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--budget-mm2", "0.1"], "--budget-mm2: the chip takes "),
        (["--budget-mm2", "0"], "search: Invalid value for '--budget-mm2'"),
        (["--vary", "units"], "--vary: wrong grid, got 'units'"),
        (["--trace", "none.h5"], "none.h5: "),
        (["--set", "lut.k=4"], "config: lut.k: differs from the arithmetic that the trace was computed with"),
    ],
)
def test_one_line_and_exit_code_2(
    arguments: list[str], more: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, *more]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"h2learn: error: {words}"), captured.err
    assert captured.err.count("\n") == 1
