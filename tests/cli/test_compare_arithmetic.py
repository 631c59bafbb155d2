"""`h2learn compare-arithmetic`: what it prints and writes, and what it refuses in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.analysis.arithmetic.test_study import FILES, TINY
from tlm.cli.main import main


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    network = tmp_path / "tiny.yaml"
    network.write_text(yaml.safe_dump(TINY))
    options = "--formats float32,binary16 --seeds 0 --steps 2 --batch 400 --micro-batch 400 --points 2 --workers 1"
    return ["compare-arithmetic", str(network), *options.split(), "--out", str(tmp_path / "out")]


def test_table_files_and_json(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "tiny on the digits, 2 steps of 400, loss scale 2^12" in captured.out
    lines = {line.split()[1]: line for line in captured.out.splitlines() if line.startswith("│")}
    assert "+0.00" in lines["float32"]
    assert lines["float32"].count(" - ") == 4  # nothing is counted in float32
    assert "%" in lines["binary16"].split("│")[-2]
    assert f"results: {tmp_path}/out/comparison.json, *.csv, training.png, underflow.png" in captured.out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [*FILES, "underflow.png"]
    assert main([*words, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [row["format"] for row in content["formats"]] == ["float32", "binary16"]
    assert (content["taken_over"], content["out"]) == (2, str(tmp_path / "out"))
    assert "runs" not in content
    assert main(words) == 0
    assert "2 of 2 runs are taken over from an earlier comparison" in capsys.readouterr().out


def test_no_held_out_images(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--evaluated", "0", "--formats", "binary16"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("│ binary16"))
    assert row.split("│")[3:6] == ["        - ", "     - ", "      - "]


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
