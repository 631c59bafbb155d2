"""`h2learn area`: the table, its JSON, the budget, and one line for what is refused."""

from __future__ import annotations

import json

import pytest

from tlm.analysis.area.chip_area import chip_area
from tlm.cli.main import main
from tlm.config import load_config


def test_the_table_holds_every_component_and_the_total(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["area", "--set", "forward_engine.arrays=2"]) == 0
    printed = capsys.readouterr().out
    found = chip_area(load_config("h2learn", ("forward_engine.arrays=2",)))
    for part in found.components:
        assert f"{part.group}: {part.name} " in printed
    last = next(line for line in printed.splitlines() if line.startswith("all "))
    assert last.split()[-3:] == [f"{value:.2f}" for value in (found.area_mm2.nominal, *low_high(found.area_mm2))]
    assert f"{found.area_mm2.nominal:.1f} (" in printed.splitlines()[-2]
    assert "a V100 (12 nm) has " in printed.splitlines()[-1]


def low_high(found: object) -> tuple[float, float]:
    return found.low, found.high  # type: ignore[attr-defined]


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["area", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {
        "config",
        "provisional",
        "node",
        "area_mm2",
        "transistors",
        "memory_bits",
        "v100",
        "groups",
        "components",
    }
    assert printed["area_mm2"] == chip_area(load_config()).area_mm2.to_dict()
    assert set(printed["components"][0]) == {
        "group",
        "name",
        "count",
        "transistors",
        "bits",
        "area_mm2",
        "basis",
    }


def test_a_chip_within_its_budget(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["area", "--budget", "1000"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--budget", "20"], "--budget: the chip takes "),
        (["--budget", "0"], "area: Invalid value for '--budget': 0.0 is not in the range x>0"),
        (["--budget", "much"], "area: Invalid value for '--budget': 'much' is not a valid float range"),
        (["--config", "h2lern"], "config: unknown preset, got 'h2lern', allowed: "),
        (["--set", "lut.k=9"], "h2learn: lut.k: wrong value, got 9, allowed: less than or equal to 8"),
        (
            ["--set", "arithmetic.value_format=binary32"],
            "area: transistors of the neuron unit were not counted, got 'binary32 and binary32', allowed: ",
        ),
    ],
)
def test_one_line_and_exit_code_2(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["area", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"h2learn: error: {words}"), captured.err
    assert captured.err.count("\n") == 1
