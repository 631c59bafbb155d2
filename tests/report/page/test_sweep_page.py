"""The page of a sweep without a browser: every point, the front, the errors; and folders that are no such sweep."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from rtl_models.errors import InputError
from tests.html_reader import Reader
from tests.report.page.conftest import HOSTILE
from tlm.report.page import sweep_page as module
from tlm.report.page.folder import folder_page
from tlm.report.page.numbers import quantity
from tlm.report.page.sweep_page import point_table, scatter_data, shown_rows, sweep_page
from tlm.report.result import write_json
from tlm.sweep.store import read_store

Row = dict[str, Any]


@pytest.fixture(scope="module")
def summary(sweep_folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((sweep_folder / "sweep.json").read_text())
    return found


@pytest.fixture(scope="module")
def rows(sweep_folder: Path) -> list[Row]:
    return read_store(sweep_folder / "sweep.parquet")[0]


def test_every_point_and_error_is_there(sweep_folder: Path, summary: dict[str, Any], rows: list[Row]) -> None:
    read = Reader(folder_page(sweep_folder))
    shown = " ".join(read.texts)
    assert not {"src", "onload"} & set(read.attributes)
    assert read.attributes["data-mark"] == ["front" if row["on_front"] else row["status"] for row in rows]
    assert read.attributes["data-mark"].count("failed") == 2
    for row in (row for row in rows if row["error"] is None):
        assert quantity(row["time_s"], "s") in shown
        assert quantity(row["energy_j"], "J") in shown
    assert all(entry["error"] in shown for entry in summary["errors"])
    assert shown.count(HOSTILE) >= 4  # title, heading, spec, command
    assert "Varied: backward_engine.units, dram.channels." in shown
    assert "Simulated: a step of spikes-linear of " in shown


def test_the_drawing_has_the_good_points(summary: dict[str, Any], rows: list[Row]) -> None:
    data = scatter_data(rows, summary)
    good = [row for row in rows if row["error"] is None]
    assert data["points"] == [row["point"] for row in good] == [1, 2, 4, 5]
    axes = {axis["name"]: axis for axis in data["axes"]}
    assert list(axes) == ["step time", "energy", "area", "DRAM bytes", "backward_engine.units", "dram.channels"]
    assert axes["energy"]["values"] == [row["energy_j"] for row in good]
    assert axes["area"]["low"] == [row["area_mm2_low"] for row in good]
    assert data["front"] == [row["on_front"] for row in good]
    assert data["objectives"] == ["step time", "energy", "area"]
    assert data["values"][0] == [1, 1]


def test_figures_of_a_point_stand_in_its_row(summary: dict[str, Any], rows: list[Row]) -> None:
    """Numbers by which the columns are sorted, and what the drawing shows of the same point."""
    table, data = point_table(rows, summary), scatter_data(rows, summary)
    axes = {axis["name"]: axis for axis in data["axes"]}
    assert table.headings[3:7] == ("status", "step time", "energy", "low to high")
    for number, row in enumerate(row for row in rows if row["error"] is None):
        cells = [cell if isinstance(cell, str) else cell.value for cell in table.rows[row["point"]]]
        moved = row["dram_read_bytes"] + row["dram_written_bytes"]
        busiest = max(row["busy"], key=lambda entry: float(entry["share"]))
        assert cells[:3] == [row["point"], row["backward_engine.units"], row["dram.channels"]]
        limits = f"{quantity(row['energy_j_low'], 'J')} to {quantity(row['energy_j_high'], 'J')}"
        assert cells[4:9] == [row["time_s"], row["energy_j"], limits, row["area_mm2"], moved]
        assert cells[9:] == [busiest["engine"].replace("_", " "), busiest["share"]]
        assert data["busiest"][number] == f"{cells[9]} {busiest['share']:.0%}"
        assert axes["DRAM bytes"]["values"][number] == moved
        for name, key in (("energy", "energy_j"), ("area", "area_mm2")):
            assert [axes[name][end][number] for end in ("low", "high")] == [row[f"{key}_low"], row[f"{key}_high"]]


def test_the_least_of_each_objective_is_a_fact(summary: dict[str, Any], rows: list[Row]) -> None:
    shown = " ".join(Reader(sweep_page(summary, rows)).texts)
    assert "of step time, energy, area" in shown  # what the front is of
    good = [row for row in rows if row["error"] is None]
    for key, name in (("time_s", "step time"), ("energy_j", "energy"), ("area_mm2", "area")):
        best = min(good, key=lambda row: float(row[key]))
        told = shown.partition(f"least {name}")[2].split("point", 1)
        assert told[1].split()[0] == str(best["point"])


def test_words_are_no_axis_and_workloads_are_told_apart(summary: dict[str, Any], rows: list[Row]) -> None:
    changed = [row | {"dram.channels": "many", "batch": 2 + row["point"] % 2, "images": 1} for row in rows]
    data = scatter_data(changed, summary)
    assert [axis["name"] for axis in data["axes"]][-1] == "backward_engine.units"
    assert len(data["workloads"]) == 2
    assert data["workload"] == [0, 1, 1, 0]
    text = sweep_page(summary, changed)
    assert "2 workloads, each with a front of its own" in text
    assert "3 images, 1 of them" in text


def test_of_too_many_points_the_front_stays(
    summary: dict[str, Any], rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [row | {"on_front": row["point"] == 5} for row in rows]
    monkeypatch.setattr(module, "MOST_POINTS", 3)
    assert [row["point"] for row in shown_rows(many)] == [0, 1, 5]
    assert "3 of 6 points are in this page: the front, and the first of the others." in sweep_page(summary, many)


def test_a_sweep_in_which_everything_failed(summary: dict[str, Any], rows: list[Row]) -> None:
    failed = [row for row in rows if row["error"] is not None]
    shown = " ".join(Reader(sweep_page(summary, failed)).texts)
    assert "0 simulated" in shown
    assert "least step time" not in shown


@pytest.fixture
def copied(sweep_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sweep_folder, tmp_path / "sweep"))


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        folder_page(folder)
    return str(caught.value)


def test_a_sweep_that_is_not_at_its_end(copied: Path, summary: dict[str, Any]) -> None:
    write_json({key: summary[key] for key in ("schema", "spec")} | {"complete": False}, copied / "sweep.json")
    assert refused(copied) == f"{copied}: the sweep has not come to its end, allowed: h2learn sweep again: it goes on"


def test_a_sweep_of_another_version_or_without_its_store(copied: Path, summary: dict[str, Any]) -> None:
    write_json(summary | {"schema": "h2learn-sweep/0"}, copied / "sweep.json")
    assert "sweep.json: is of another version, got 'h2learn-sweep/0', allowed: h2learn-sweep/1" in refused(copied)
    write_json(summary, copied / "sweep.json")
    (copied / "sweep.parquet").unlink()
    assert "sweep.parquet: cannot read the sweep" in refused(copied)


def test_a_damaged_sweep(copied: Path, summary: dict[str, Any]) -> None:
    write_json({key: value for key, value in summary.items() if key != "objectives"}, copied / "sweep.json")
    assert refused(copied).startswith(f"{copied}: is damaged (KeyError: 'objectives')")
    write_json(summary, copied / "sweep.json")
    table = pq.read_table(copied / "sweep.parquet")
    pq.write_table(table.drop_columns(["busy"]), copied / "sweep.parquet")
    assert refused(copied).startswith(f"{copied}: is damaged (KeyError: 'busy')")
