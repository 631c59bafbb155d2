"""`h2learn dram record`: a file that `dram replay` reads, one line for mistakes, and nothing left of a failure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end.steps import ARITHMETIC, make_record
from tlm.cli.main import main
from workloads.trace_file import write_trace

DRAM = ("--set", "dram.channels=2")


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("record") / "step.h5"
    write_trace(make_record("spikes", "linear", 2), path)
    assert ARITHMETIC.k == 3
    return path


def test_what_is_recorded_is_replayed(trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "requests.gz"
    assert main(["dram", "record", str(trace), "--out", str(path), *DRAM]) == 0
    line, how = capsys.readouterr().out.splitlines()
    command = how.removeprefix("replay with: h2learn ").split()
    assert command[-4:] == ["--channels", "2", "--interleave", "256"]
    assert main([*command, "--json"]) == 0
    replayed = json.loads(capsys.readouterr().out)
    assert line.startswith(f"{path}: {replayed['requests']:,} bursts of 32 bytes in ")


def test_one_channel_as_ramulator_reads_it(trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "requests.txt"
    arguments = ["--channel", "1", "--format", "ramulator", *DRAM]
    assert main(["dram", "record", str(trace), "--out", str(path), *arguments]) == 0
    assert "channel 1 of 2" in capsys.readouterr().out
    assert {line.split()[0] for line in path.read_text().splitlines()} == {"LD", "ST"}
    assert main(["dram", "replay", str(path), "--standard", "HBM2"]) == 0


def test_a_table(trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "requests.parquet"
    assert main(["dram", "record", str(trace), "--out", str(path), "--format", "parquet"]) == 0
    assert "replay" not in capsys.readouterr().out
    assert path.read_bytes()[:4] == b"PAR1"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["none.h5", "--out", "a"], "none.h5"),
        (["TRACE", "--out", "no/folder/a"], "the output folder does not exist"),
        (["TRACE", "--out", "a", "--channel", "16"], "--channel: no such channel, got 16, allowed: 0 to 15"),
        (["TRACE", "--out", "a", "--set", "dram.standard=DDR9"], "unknown DRAM standard, got 'DDR9'"),
        (["TRACE", "--out", "a", "--format", "csv"], "'csv' is not one of"),
        (["TRACE", "--out", "a.gz", "--format", "ramulator"], "a.gz: Ramulator reads no trace compressed"),
        (["TRACE"], "Missing option '--out'"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    trace: Path,
    arguments: list[str],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["dram", "record", *(str(trace) if a == "TRACE" else a for a in arguments)]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
