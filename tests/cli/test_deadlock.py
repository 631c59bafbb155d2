"""A pipeline that cannot go on: one line that says who waits for what, exit code 2, and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.steps import make_record
from tlm.cli.main import main
from tlm.engines.forward import SUMS_ROOM, ForwardEngine
from workloads.trace_file import write_trace


def test_a_deadlock_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every job takes all of its array's room twice: what the sizes that are checked up front rule out."""

    def all_room_twice(engine, array, stream, job):  # type: ignore[no-untyped-def]
        for _ in range(2):
            yield from engine.rooms[array].put(None, engine.rooms[array].capacity_bytes, SUMS_ROOM)

    monkeypatch.setattr(ForwardEngine, "output_room", all_room_twice)
    write_trace(make_record("spikes", "linear", 2), tmp_path / "step.h5")
    monkeypatch.chdir(tmp_path)
    assert main(["dram", "record", "step.h5", "--out", "requests"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("h2learn: error: deadlock at ")
    assert "chip.forward.array0.look_up waits for put of 262144 bytes on chip.forward.room0 (level 262144 of" in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step.h5"]
