"""Plots of a study are written whole and show every curve, engine, layer and stream, however much has failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.analysis.bandwidth.conftest import SHORT_OF_ROOM
from tests.pictures import assert_shows_something, texts
from tlm.analysis.bandwidth.plots import write_plots
from tlm.analysis.bandwidth.plots.buffers import buffers_figure
from tlm.analysis.bandwidth.plots.occupancy import occupancy_figure
from tlm.analysis.bandwidth.plots.potentials import potentials_figure
from tlm.analysis.bandwidth.plots.roofline import ENGINES, roofline_figure
from tlm.analysis.bandwidth.plots.stalls import kind_shares, stalls_figure
from tlm.analysis.bandwidth.plots.step_time import step_time_figure
from tlm.analysis.bandwidth.plots.traffic import traffic_figure
from tlm.analysis.bandwidth.study import BandwidthStudy, StudyResult, run_study
from tlm.analysis.bandwidth.summary import Row, potentials_pair, shown_curve, shown_row, summarise

NAMES = ["step_time.png", "roofline.png", "traffic.png", "stalls.png", "buffers.png", "occupancy.png"]


@pytest.fixture(scope="module")
def result(trace_path: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    """Three bandwidths; of three buffer sizes the smallest cannot be simulated."""
    dram = "1GB/s,4GB/s,64GB/s"
    asked = BandwidthStudy(
        str(trace_path), dram=dram, buffers="0.5,1,4", potentials="store", overrides=SHORT_OF_ROOM, workers=1
    )
    return run_study(asked, tmp_path_factory.mktemp("study"))


def test_six_pictures_are_written(result: StudyResult, tmp_path: Path) -> None:
    paths = write_plots(tmp_path, result.rows, result.layers)
    assert [path.name for path in paths] == NAMES
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)
    for path in paths:
        assert_shows_something(path)


def test_pictures_show_what_they_are_of(result: StudyResult) -> None:
    row = shown_row(result.rows)
    assert (row["buffer_factor"], row["dram_unlimited"]) == (1.0, False)
    assert {"buffers x1", "buffers x4", "flat"} <= texts(step_time_figure(result.rows))
    engines = {engine.replace("_", " ") for engine in ENGINES}
    assert engines | set(result.layers) <= texts(roofline_figure(row, result.layers))
    assert engines <= texts(stalls_figure(result.rows, shown_curve(result.rows)))
    streams = {entry["stream"].replace("_", " ") for entry in row["traffic"]}
    assert streams | set(result.layers) <= texts(traffic_figure(row, result.layers))
    assert {"cannot be\nsimulated"} | streams <= texts(buffers_figure(result.rows, row))
    assert {"DRAM channel 0", "weight update", "host"} <= texts(occupancy_figure(row))


@pytest.mark.slow
def test_storing_and_recomputing_have_a_picture_where_both_were_simulated(trace_path: Path, tmp_path: Path) -> None:
    """By default both are simulated with the buffers nearest to x1."""
    asked = BandwidthStudy(str(trace_path), dram="1GB/s,64GB/s", buffers="8,16", overrides=SHORT_OF_ROOM, workers=1)
    both = run_study(asked, tmp_path / "study")
    assert [(row["buffer_factor"], row["potentials"]) for row in both.rows[::3]] == [
        (8.0, "store"),
        (8.0, "recompute"),
        (16.0, "store"),
    ]
    pair = potentials_pair(both.rows)
    assert pair is not None
    assert (pair[0][2:4], pair[1][2:4]) == ((8.0, "store"), (8.0, "recompute"))
    shown = texts(potentials_figure(both.rows, pair))
    assert {"stored", "recomputed", "optimiser state", "recomputed, unlimited bandwidth"} <= shown
    assert "potentials recomputed" in texts(step_time_figure(both.rows))
    paths = write_plots(tmp_path, both.rows, both.layers)
    assert [path.name for path in paths] == [*NAMES, "potentials.png"]
    assert_shows_something(paths[-1])


def test_no_pair_no_picture(result: StudyResult) -> None:
    assert potentials_pair(result.rows) is None
    assert "potentials recomputed" not in texts(step_time_figure(result.rows))


def test_shares_of_every_engine_add_up(result: StudyResult) -> None:
    for row in result.rows[4:]:
        for engine in ENGINES:
            assert sum(kind_shares(row, engine).values()) == pytest.approx(1)


def test_the_knee_shown_is_that_of_the_summary(result: StudyResult) -> None:
    curves = summarise(result.rows)["curves"]
    assert [curve["points"] == [] for curve in curves] == [True, False, False]
    assert curves[0]["unlimited_ps"] is None
    assert curves[1]["knee_bytes_per_us"] == shown_row(result.rows)["dram_peak_bytes_per_us"]


def test_many_workloads_and_families_have_their_place(result: StudyResult) -> None:
    rows = [row for row in result.rows if not row.get("error")]
    more: list[Row] = [{**row, "timesteps": t, "batch_images": b} for t in (2, 4) for b in (8, 16, 32) for row in rows]
    other = [{**row, "dram_family": "HBM2"} for row in more if not row["dram_unlimited"]]
    figure = step_time_figure([*more, *other])
    assert {f"T {t}, batch {b}" for t in (2, 4) for b in (8, 16, 32)} | {"HBM2", "flat"} <= texts(figure)
