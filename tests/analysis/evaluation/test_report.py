"""Markdown, web page and plots of an evaluation: every figure is there, nothing is fetched, everything is escaped."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from tests.html_reader import Reader
from tests.pictures import assert_shows_something, texts
from tlm.analysis.evaluation.markdown import markdown
from tlm.analysis.evaluation.page import page
from tlm.analysis.evaluation.plots import ablations_figure, ratios_figure, stages_figure
from tlm.analysis.evaluation.report import write_report
from tlm.analysis.evaluation.tables import all_tables, band, spread
from tlm.report.page.numbers import short

STRANGE = 'a|b<script>alert("x")</script>&'


@pytest.fixture
def strange(content: dict[str, Any]) -> dict[str, Any]:
    """The same with a name that Markdown and HTML would take for something else."""
    changed = copy.deepcopy(content)
    changed["networks"][0]["name"] = STRANGE
    changed["provenance"]["command"] = STRANGE
    return changed


def test_the_headline_holds_ours_and_the_published(content: dict[str, Any]) -> None:
    headline = next(iter(all_tables(content)))
    (network,) = content["networks"]
    assert [row[1] for row in headline.rows] == ["times faster", "times less energy", "times less area"]
    assert [row[4] for row in headline.rows] == ["5.74-10.20", "5.25-7.12", "7.38"]
    assert headline.rows[0][2] == short(network["speedup"]["nominal"])
    assert "inside" not in headline.rows[1]
    words = " ".join(headline.notes)
    assert "12 are simulated, and each further one takes what those after the 8th did" in words
    assert (
        "tiny: 3 steps of 16 images of digits, rate 0.02 falling along a cosine, 0.033 epochs; **briefly trained**."
        in words
    )
    assert "The GPU's energy is its time x 228 (150-300) W" in words
    assert "does not fit" not in words


def test_what_is_inside_the_range_and_what_does_not_fit(content: dict[str, Any]) -> None:
    changed = copy.deepcopy(content)
    changed["networks"][0]["speedup"] |= {"nominal": 6.0, "difference": 0.0}
    changed["networks"][0]["gpu"]["fits"] = False
    changed["provisional"] = False
    headline = next(iter(all_tables(changed)))
    assert headline.rows[0][5] == "inside"
    assert "tiny: a step of 64 images does not fit into the GPU's memory." in headline.notes
    assert "The configuration is provisional." not in headline.notes


def test_stages_and_means_stand_in_a_table(content: dict[str, Any]) -> None:
    (network,) = content["networks"]
    _, stages, sparsity, _ = all_tables(content)
    assert [row[0] for row in stages.rows] == ["0 %, step 1", "100 %, step 3", "mean", "GPU"]
    assert "(briefly trained)" in stages.title
    for row, stage in zip(stages.rows, network["stages"], strict=False):
        micro = (short(stage["image_s"] * 1e6), spread(stage["image_energy_j"], 1e6))
        assert row[1:] == (micro[0], spread(stage["speedup"]), micro[1], spread(stage["energy_ratio"]))
    mean = (short(network["image_s"] * 1e6), spread(network["image_energy_j"], 1e6))
    assert stages.rows[2][1:] == (mean[0], spread(network["speedup"]), mean[1], spread(network["energy_ratio"]))
    gpu = network["gpu"]
    assert stages.rows[3][1:] == (spread(gpu["image_s"], 1e6), "", spread(gpu["image_energy_j"], 1e6), "")
    shares = ("loss", "firing_rate", "active_masks", "nonzero_gradients", "zero_index_groups")
    for row, stage in zip(sparsity.rows, network["stages"], strict=True):
        assert row[1:] == tuple(f"{stage[key]:.2f}" for key in shares)


def test_what_is_busy_and_what_takes_energy_stands_in_a_table(content: dict[str, Any]) -> None:
    (network,) = content["networks"]
    engines = list(all_tables(content))[3]
    assert engines.headings == ("part", "0 %", "100 %")
    found = {row[0]: row[1:] for row in engines.rows}
    stages = network["stages"]
    wanted = {
        f"{name.replace('_', ' ')}, busy": tuple(f"{stage['busy'][name]:.0%}" for stage in stages)
        for name in stages[0]["busy"]
        if name != "host"
    }
    whole = [sum(stage["groups_j"].values()) for stage in stages]
    wanted |= {
        f"{group}, energy": tuple(f"{s['groups_j'][group] / all_j:.0%}" for s, all_j in zip(stages, whole, strict=True))
        for group in stages[0]["groups_j"]
    }
    wanted["DRAM, MB an image"] = tuple(short(stage["dram_bytes"] / 24 / 1e6) for stage in stages)
    assert found == wanted


def test_a_stage_without_gradients_is_said_to_have_stalled(content: dict[str, Any]) -> None:
    changed = copy.deepcopy(content)
    changed["networks"][0]["stages"][1]["nonzero_gradients"] = 0.0003
    (sparsity,) = (table for table in all_tables(changed) if "sparsity" in table.title)
    (note,) = sparsity.notes
    assert note.startswith("**At 100 % hardly a gradient is left (0.03%): the training has stalled")
    assert not [note for table in all_tables(content) if "sparsity" in table.title for note in table.notes]


def test_a_loss_that_is_not_finite(content: dict[str, Any]) -> None:
    changed = copy.deepcopy(content)
    changed["networks"][0]["stages"][0]["loss"] = None
    assert list(all_tables(changed))[2].rows[0][1] == "not finite"


def test_markdown_has_every_table_with_as_many_cells_in_every_row(strange: dict[str, Any]) -> None:
    text = markdown(strange, ["ratios.png"])
    lines = text.splitlines()
    for table in all_tables(strange):
        assert f"## {table.title}" in text
        head = next(number for number, line in enumerate(lines) if line.startswith(f"| {table.headings[0]} |"))
        for line in lines[head : head + 2 + len(table.rows)]:
            assert line.replace("\\|", "").count("|") == len(table.headings) + 1
        del lines[: head + 2]
    assert "![ratios](ratios.png)" in text


def test_the_page_stands_alone_and_is_escaped(strange: dict[str, Any]) -> None:
    text = page(strange)
    read = Reader(text)
    assert read.tags.count("script") == 1  # ours
    assert not {"src", "href", "onload"} & set(read.attributes)
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in str(read.attributes["content"])
    assert STRANGE in " ".join(read.texts)
    assert read.tags.count("svg") == 3
    assert "strong" in read.tags
    shown = " ".join(read.texts)
    for table in all_tables(strange):
        assert all(cell in shown for row in table.rows for cell in row)


def test_plots_name_the_networks(content: dict[str, Any]) -> None:
    assert {"tiny", "times faster", "times less energy", "times less area"} <= texts(ratios_figure(content))
    assert {"tiny", "percent of the training"} <= texts(stages_figure(content))


def test_everything_is_written(content: dict[str, Any], tmp_path: Path) -> None:
    files = write_report(tmp_path, content)
    assert files == ["evaluate.json", "evaluate.md", "evaluate.html", "ratios.png", "stages.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)
    for name in files[3:]:
        assert_shows_something(tmp_path / name)


def test_variants_stand_in_a_table_and_what_cannot_be_is_said(content: dict[str, Any], tmp_path: Path) -> None:
    changed = copy.deepcopy(content)
    network = changed["networks"][0]
    figures = {"image_s": 2e-6, "times_time": 1.25, "times_energy": 1.5, "times_area": 0.75}
    figures |= {name: {"low": 1e-6, "nominal": 2e-6, "high": 3e-6} for name in ("image_energy_j", "area_mm2")}
    whole = {"group": "", "name": "full machine", "stage": 50, "changes": {}, "error": None} | figures
    broken = whole | dict.fromkeys(figures) | {"group": "buffers", "name": "<small>", "error": "no room"}
    network["ablations"] = [whole, broken]
    lanes = {"spikes_per_group": 0.64, "waited_per_position": 1.5}
    network["lane_spikes"] = {"k": 4, "lanes": 16, "forward": lanes, "weight_update": lanes}
    table = list(all_tables(changed))[-1]
    assert table.rows[0] == ("full machine", "2", "1.25", "2", "1.50", "2e-06", "0.75")
    assert table.rows[1] == ("<small>", *["cannot be"] * 6)
    assert table.notes[-1] == "<small>: no room."
    assert "of the forward engine adds 0.64 times for a group of 4, a dense one 4 times" in table.notes[1]
    read = Reader(page(changed))
    assert read.tags.count("svg") == 5
    assert "small" not in read.tags
    assert {"full machine", "times the time of the full machine"} <= texts(ablations_figure(network))
    assert write_report(tmp_path, changed)[-1] == "ablations_1.png"


def test_bands_and_digits() -> None:
    assert band({"low": 5.74, "high": 10.2}) == "5.74-10.20"
    assert band({"low": 7.38, "high": 7.38}) == "7.38"
    assert [short(value) for value in (0.01234, 1.234, 12.34, 1234.5)] == ["0.0123", "1.23", "12.3", "1,234"]
