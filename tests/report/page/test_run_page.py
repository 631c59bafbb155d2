"""The page of a run without a browser: it stands alone, is well-formed, escaped, and holds what `result.json` says."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest

from tests.html_reader import Reader
from tests.report.conftest import Run
from tests.report.page.conftest import HOSTILE
from tlm.report.page import roofline
from tlm.report.page.numbers import binary_bytes, limits, quantity
from tlm.report.page.render import embedded
from tlm.report.page.run_page import SECTIONS, run_page


@pytest.fixture(scope="module")
def text(content: dict[str, Any], events: list[dict[str, Any]]) -> str:
    return run_page(content, events)


@pytest.fixture(scope="module")
def read(text: str) -> Reader:
    return Reader(text)


def test_it_stands_alone(text: str, read: Reader) -> None:
    assert not {"src", "onload", "onerror"} & set(read.attributes)
    assert all((link or "").startswith("#") for link in read.attributes["href"])
    assert "default-src 'none'" in str(read.attributes["content"])
    assert not {"url(", "@import", "http:", "https:", "//cdn"} & {part for part in ("url(", "@import") if part in text}
    assert "img" not in read.tags
    assert set(read.attributes["href"]) == {f"#{section}" for section, _ in SECTIONS}
    assert {section for section, _ in SECTIONS} <= set(read.attributes["id"])


def test_names_are_texts_and_data_cannot_end_its_script(text: str, read: Reader) -> None:
    shown = " ".join(read.texts)
    assert shown.count(HOSTILE) >= 5  # title, heading, story, layers, units, provenance
    data = text.partition('id="timeline-data">')[2].partition("</script>")[0]
    assert "<" not in data
    assert any(HOSTILE in track.get("names", []) for track in json.loads(data)["tracks"])
    assert str(embedded(["</script>", "<!--", "\u2028"])) == '["\\u003c/script>","\\u003c!--","\\u2028"]'


def test_our_scripts_do_not_end_themselves() -> None:
    assets = list(resources.files("tlm.report.page").joinpath("assets").iterdir())
    assert len(assets) > 3
    assert all("</" not in asset.read_text(encoding="utf-8") for asset in assets)


def test_every_figure_is_there(content: dict[str, Any], read: Reader) -> None:
    shown = " ".join(read.texts)
    step = content["time"]
    assert f"{step['step_cycles']:,} cycles at 1,000 MHz" in shown
    assert quantity(content["energy"]["energy_pj"]["nominal"] / 1e12, "J") in shown
    for stream, count in content["dram"]["read_bytes"].items():
        assert stream.replace("_", " ") in shown
        assert f"{count:,}" in shown
    for engine in content["engines"].values():
        assert f"{engine['busy_ps'] / step['step_ps']:.1%}" in shown
    for layer in content["network"]["layers"]:
        assert f"{layer['weights']:,}" in shown
    assert "12 tiles, 0 wrong bits, 0 transfers off the law" in shown
    assert {"buffers.weights_bytes", content["provenance"]["trace_sha256"], "seed of the co-simulated sample"} <= set(
        read.texts
    )
    assert "Held-out accuracy 50.0%, loss not finite." in shown
    assert "briefly trained" in shown


def test_what_was_not_run_is_said(run: Run, events: list[dict[str, Any]]) -> None:
    shown = " ".join(Reader(run_page(run.content | {"energy": None, "area": None}, events)).texts)
    assert "no cycle law is proved by this run" in shown
    assert "units of these number formats were not synthesised" in shown
    assert "Held-out" not in shown
    network = run.content["network"] | {"skipped": True, "origin": "another framework"}
    shown = " ".join(Reader(run_page(run.content | {"network": network}, events)).texts)
    assert "not finite: the optimiser left the weights alone" in shown
    assert "The step was computed by another framework, not bit by bit" in shown


def test_a_failed_co_simulation_stands_out(content: dict[str, Any], events: list[dict[str, Any]]) -> None:
    wrong = [{"tiles": 12, "mismatched_bits": 5, "mismatched_transfers": 2}]
    text = run_page(content | {"cosim": content["cosim"] | {"passed": False, "comparisons": wrong}}, events)
    assert '<div class="bad"><dt>co-simulation</dt><dd><strong>FAILED</strong>' in text
    assert "5 wrong bits, 2 transfers off the law" in text


def test_rooflines_hold_every_layer_below_its_roof(content: dict[str, Any]) -> None:
    panels = roofline.panels(content)
    assert [panel.engine for panel in panels] == [
        "forward", "backward", "weight update", "neuron", "gradient", "optimiser",
    ]  # fmt: skip
    assert sum(len(panel.points) for panel in panels) == len(content["layer_work"])
    for panel in panels:
        corners = [tuple(map(float, corner.split(","))) for corner in panel.roof.split()]
        assert len(panel.x_ticks) > 0
        assert len(panel.y_ticks) > 0
        for point in panel.points:
            assert roofline.LEFT <= point.x <= roofline.WIDTH - roofline.RIGHT
            assert corners[-1][1] <= point.y <= roofline.HEIGHT - roofline.BOTTOM
        for tick in (*panel.x_ticks, *panel.y_ticks):
            assert 0 <= tick.at <= roofline.WIDTH


def test_numbers_carry_units() -> None:
    assert [quantity(value, "s") for value in (4.3544e-5, 0, 2.5, 3e-13)] == ["43.5 µs", "0 s", "2.5 s", "0.3 ps"]
    assert quantity(12.288e12, "op/s") == "12.3 Top/s"
    assert [binary_bytes(value) for value in (5, 2048, 3 << 20, 5 << 30)] == ["5 B", "2 KiB", "3 MiB", "5 GiB"]
    assert limits({"low": 2e9, "nominal": 3e9, "high": 5e12}, "J", 1e-12) == "2 mJ to 5 J"
