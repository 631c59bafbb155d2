"""`h2learn energy`: the table, its JSON, and one line for what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end.steps import TINY, make_record, make_trace, tiny_config
from tlm.analysis.energy.step_energy import GROUPS, energy_of_trace
from tlm.cli.main import main
from workloads.trace_file import write_trace

STEP = ("spikes", "linear", 2)
SETTINGS = [argument for override in TINY for argument in ("--set", override)]


@pytest.fixture
def trace(tmp_path: Path) -> str:
    path = tmp_path / "step.h5"
    write_trace(make_record(*STEP), path)
    return str(path)


def test_the_table_holds_every_line_and_the_totals(
    trace: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["energy", trace, *SETTINGS]) == 0
    lines = capsys.readouterr().out.splitlines()
    _, found = energy_of_trace(make_trace(*STEP), tiny_config())
    for line in found.lines:
        assert any(shown.startswith(f"{line.group}: {line.name} ") for shown in lines) == (line.count > 0), line
    for group in GROUPS:
        (shown,) = [shown for shown in lines if shown.startswith(f"{group} ") and ":" not in shown]
        assert shown.split()[-3] == f"{found.group_pj(group).nominal / 1e6:,.3f}"
    assert next(shown for shown in lines if shown.startswith("all ")).split()[-3] == (
        f"{found.energy_pj.nominal / 1e6:,.3f}"
    )
    assert "uJ a step of 5 images" in lines[-2]
    assert lines[-1].startswith(f"{found.pj_per_operation.nominal:.3g} (")
    assert lines[-1].endswith("without DRAM")


def test_json(trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["energy", trace, *SETTINGS, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {
        "node",
        "time_ps",
        "energy_pj",
        "chip_energy_pj",
        "power_w",
        "synaptic_operations",
        "pj_per_synaptic_operation",
        "activity",
        "groups",
        "lines",
    }
    _, found = energy_of_trace(make_trace(*STEP), tiny_config())
    assert printed["energy_pj"] == found.energy_pj.to_dict()
    assert set(printed["lines"][0]) == {"group", "name", "count", "unit", "each_pj", "energy_pj"}


def test_the_trace_s_own_arithmetic_without_a_configuration(trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["energy", trace, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["energy_pj"]["nominal"] > 0


def test_one_line_and_exit_code_2(trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").write_text("no trace")
    for arguments, words in (
        ([str(tmp_path / "none.h5")], str(tmp_path / "none.h5")),
        ([str(tmp_path / "text")], str(tmp_path / "text")),
        ([trace, "--set", "lut.k=4"], "config: lut.k: differs from the arithmetic that the trace was computed with"),
        ([trace, "--config", "h2lern"], "config: unknown preset, got 'h2lern', allowed: "),
        ([], "energy: Missing argument 'TRACE'"),
    ):
        assert main(["energy", *arguments]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith(f"h2learn: error: {words}"), captured.err
        assert captured.err.count("\n") == 1
