"""`h2learn study scaling`: what it prints and writes, and mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.analysis.cluster.conftest import trace_path
from tlm.cli.main import main

__all__ = ["trace_path"]

pytestmark = pytest.mark.usefixtures("blank_pictures")

STUDY = ["study", "scaling"]
OPTIONS = ["--config", "tiny", "--workers", "1", "--chips", "1,4"]


def test_tables_files_and_what_was_simulated_in_full(
    tmp_path: Path, trace_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = [*OPTIONS, "--out", str(out), "--batch-per-chip", "1", "--batch", "2", "--full", "4"]
    assert main([*STUDY, str(trace_path), *options]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert sorted(path.name for path in out.iterdir()) == ["scaling.journal", "scaling.json", "scaling.png"]
    for words in (
        "strong scaling, batch 2 in all",
        "weak scaling, batch 1 a chip",
        "ring us",
        "tree us",
        "simulated in full (weak, ring, chips: 4): ",
        "strong scaling: 1 of 2 numbers of chips are left out",
        f"results: {out}/scaling.json, scaling.png",
    ):
        assert words in captured.out


def test_json_is_the_file(tmp_path: Path, trace_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [*OPTIONS, "--out", str(tmp_path), "--topology", "tree", "--scaling", "weak", "--json"]
    assert main([*STUDY, str(trace_path), *options]) == 0
    shown = capsys.readouterr().out
    assert shown == (tmp_path / "scaling.json").read_text()
    assert [(row["topology"], row["chips"]) for row in json.loads(shown)["rows"]] == [("tree", 1), ("tree", 4)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--chips", "0"], "--chips: wrong value in the list"),
        (["--link-gb-per-s", "0"], "--link-gb-per-s: wrong value, got 0.0"),
        (["--link-gb-per-s", "nan"], "--link-gb-per-s: not a number, got nan"),
        (["--link-latency-us", "-1"], "--link-latency-us: wrong value, got -1.0"),
        (["--topology", "torus"], "--topology: unknown name in the list"),
        (["--batch", "3"], "--batch: the batch cannot be divided among 4 chips"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, trace_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    if "--batch" in options:
        options = [*options, "--chips", "2"]
        words = words.replace("4", "2")
    assert main([*STUDY, str(trace_path), *OPTIONS, "--out", str(tmp_path / "out"), *options]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
