"""`h2learn report`: the page appears, and what cannot be a run is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.report.conftest import Run
from tlm.cli.main import main
from tlm.report.result import SCHEMA, write_json
from tlm.report.timeline import timeline


@pytest.fixture(scope="module")
def run() -> Run:
    return Run(("spikes", "linear", 2))


@pytest.fixture
def folder(run: Run, tmp_path: Path) -> Path:
    write_json(run.content, tmp_path / "result.json")
    write_json(timeline(run.result, run.trace.network), tmp_path / "timeline.json")
    return tmp_path


def test_the_page_stands_in_the_folder_or_where_it_is_wanted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out.startswith(f"page: {folder}/report.html (0.")
    other = folder / "other.html"
    assert main(["report", str(folder), "--out", str(other)]) == 0
    assert other.read_bytes() == (folder / "report.html").read_bytes()
    assert "spikes-linear on " in other.read_text(encoding="utf-8")


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["report", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def test_what_is_no_folder_of_results(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nowhere: no such folder, allowed: a folder that h2learn run or h2learn sweep wrote" in refused(
        capsys, folder / "nowhere"
    )
    assert "result.json: is not a folder" in refused(capsys, folder / "result.json")
    (folder / "empty").mkdir()
    assert "empty: has neither result.json nor sweep.json" in refused(capsys, folder / "empty")


def test_another_version(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content, got in (({"schema": "h2learn-result/1"}, "'h2learn-result/1'"), ({"schema": 7}, "7")):
        write_json(content, folder / "result.json")
        wanted = f"result.json: is of another version, got {got}, allowed: {SCHEMA}: run it again"
        assert wanted in refused(capsys, folder)
    write_json([], folder / "result.json")
    assert "result.json: is of another version, allowed" in refused(capsys, folder)


@pytest.mark.parametrize("name", ["result.json", "timeline.json"])
@pytest.mark.parametrize("damage", [b"", b'{"schema": ', b"\xff\xfe{}", b"[" * 100_000])
def test_files_that_are_not_json(folder: Path, capsys: pytest.CaptureFixture[str], name: str, damage: bytes) -> None:
    (folder / name).write_bytes(damage)
    assert f"{name}: is not JSON (" in refused(capsys, folder)


def test_a_timeline_that_is_missing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "timeline.json").unlink()
    assert "timeline.json: is missing, allowed: files as h2learn wrote them" in refused(capsys, folder)


@pytest.mark.parametrize("key", ["engines", "layer_work", "dram", "provenance", "sparsity", "config"])
def test_results_without_a_part(folder: Path, capsys: pytest.CaptureFixture[str], key: str) -> None:
    content = json.loads((folder / "result.json").read_text())
    write_json({name: value for name, value in content.items() if name != key}, folder / "result.json")
    assert f"{folder}: is damaged (KeyError: '{key}')" in refused(capsys, folder)
    write_json(content | {key: 3}, folder / "result.json")
    assert f"{folder}: is damaged (" in refused(capsys, folder)


def test_a_timeline_without_events(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content in ({}, [], {"traceEvents": [{"ph": "X"}]}, {"traceEvents": 3}):
        write_json(content, folder / "timeline.json")
        assert f"{folder}: is damaged (" in refused(capsys, folder)


def test_a_page_that_cannot_be_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "the output folder does not exist" in refused(capsys, folder, "--out", folder / "no" / "page.html")
    assert "is a folder" in refused(capsys, folder, "--out", folder)
