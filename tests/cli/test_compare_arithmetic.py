"""`h2learn compare-arithmetic`: what it prints and writes, and what it refuses in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.analysis.arithmetic.test_study import FILES, TINY
from tlm.cli.compare_arithmetic import _table
from tlm.cli.console import output_console
from tlm.cli.main import main


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    network = tmp_path / "tiny.yaml"
    network.write_text(yaml.safe_dump(TINY))
    options = "--formats float32,binary16 --seeds 0 --steps 2 --batch 400 --micro-batch 400 --points 2 --workers 1"
    return ["compare-arithmetic", str(network), *options.split(), "--out", str(tmp_path / "out")]


def test_json_then_one_format_more(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main([*words, "--formats", "float32", "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    content = json.loads(captured.out)
    assert [row["format"] for row in content["formats"]] == ["float32"]
    assert (content["taken_over"], content["out"]) == (0, str(out))
    assert "runs" not in content
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("1 of 2 runs are taken over from an earlier comparison\n")
    assert "tiny on the digits, 2 steps of 400, loss scale 2^12" in shown
    lines = {line.split()[1]: line for line in shown.splitlines() if line.startswith("│")}
    assert "+0.00" in lines["float32"]
    assert lines["float32"].count(" - ") == 4  # nothing is counted in float32
    assert "%" in lines["binary16"].split("│")[-2]
    assert f"results: {out}/comparison.json, *.csv, training.png, underflow.png" in shown
    assert sorted(path.name for path in out.iterdir()) == [*FILES, "underflow.png"]


def test_a_line_of_numbers_that_are_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("loss", "held_out_accuracy", "held_out_accuracy_low", "held_out_accuracy_high")
    row = dict.fromkeys(names) | {"format": "binary16", "skipped_steps": 7, "underflow": {}}
    asked = {"steps": 1, "batch": 2, "scale-log2": 3}
    output_console().print(_table({"network": "n", "dataset": "d", "asked": asked, "formats": [row]}))
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("│"))
    assert line.replace("│", "").split() == ["binary16", "-", "-", "-", "-", "7", "-", "-", "-", "-"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--formats", "tf32"], "--formats: unknown number format, got 'tf32', allowed: float32, or VALUE"),
        (["--seeds", "-1"], "--seeds: wrong value in the list, got '-1'"),
        (["--dataset", "cats"], "cats"),
        (["--epochs", "1"], "give --epochs or --steps, not both"),
    ],
)
def test_one_line_for_each_mistake(
    words: list[str], arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert line in captured.err
