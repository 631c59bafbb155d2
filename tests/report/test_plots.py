"""Plots are written whole and show something, for few layers and many, and for names that mean something elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pictures import assert_shows_something, texts
from tests.report.conftest import Run
from tlm.report.buffer_use import buffer_use
from tlm.report.plots import buffers_figure, dram_figure, engines_figure, sparsity_figure, streams_figure, write_plots
from tlm.report.steps import total

NAMES = ["engines.png", "streams.png", "dram.png", "sparsity.png", "buffers.png"]


@pytest.mark.parametrize("name", ["linear", "deep"])
def test_all_pictures_are_written(name: str, deep: Run, tmp_path: Path) -> None:
    run = deep if name == "deep" else Run(("spikes", "linear", 2))
    paths = write_plots(tmp_path, run.result, run.content, run.trace.network)
    assert [path.name for path in paths] == NAMES
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)
    for path in paths:
        assert_shows_something(path)


def test_every_engine_stream_and_layer_is_named(deep: Run) -> None:
    assert {name.replace("_", " ") for name in deep.result.engines} <= texts(engines_figure(deep.result, "t"))
    assert {name.replace("_", " ") for name in deep.result.dram_read_bytes} <= texts(dram_figure(deep.result, "t"))
    layers = {layer.name for layer in deep.trace.network.layers}
    assert len(layers) == 9
    assert layers <= texts(streams_figure(deep.result, deep.trace.network, "t"))
    assert layers <= texts(sparsity_figure(deep.content, "t"))


def test_every_buffer_shows_how_full_it_was(deep: Run) -> None:
    assert deep.result.occupancy is not None
    used = buffer_use(deep.result, deep.result.occupancy, deep.trace.network)
    capacities = deep.content["config"]["buffers"]
    figure = buffers_figure(deep.result, used, capacities, "t")
    assert {"read ahead", "sums"} <= texts(figure)
    for axes, (buffer, kinds) in zip(figure.axes, used.items(), strict=True):
        tops = [path.vertices[:, 1].max() for fill in axes.collections for path in fill.get_paths()]
        peak = total(kinds.values()).values.max()
        assert max(tops) == pytest.approx(peak / capacities[f"{buffer}_bytes"])


def test_bars_of_an_engine_add_up_to_the_whole_step(deep: Run) -> None:
    axes = engines_figure(deep.result, "t").axes[0]
    widths: dict[int, float] = {}
    for bar in axes.patches:
        row = round(bar.get_y() + bar.get_height() / 2)
        widths[row] = widths.get(row, 0) + bar.get_width()
    assert widths == {row: pytest.approx(1) for row in range(len(deep.result.engines))}


def test_a_network_s_name_is_not_read_as_mathematics(deep: Run) -> None:
    content = deep.content | {"network": deep.content["network"] | {"name": r"cost $\frac$ [bold"}}
    assert any(r"$\frac$" in text for text in texts(sparsity_figure(content, content["network"]["name"])))
