"""Tables and bars of a run's page: each number of `result.json` in its row and column."""

from __future__ import annotations

from typing import Any

import pytest

from tests.report.conftest import Run
from tlm.report.page.run_tables import (
    area_table,
    buffer_table,
    channel_table,
    dram_bars,
    dram_table,
    energy_table,
    engine_bars,
    layer_table,
    stall_table,
    work_table,
)
from tlm.report.page.table import Cell, Table

Content = dict[str, Any]
PASSES = ("forward", "backward", "weight_update")
SHARES = ("firing_rate", "active_masks", "nonzero_gradients", "zero_index_groups")


@pytest.fixture(scope="module")
def plain(run: Run) -> Content:
    return run.content


def columns(table: Table) -> list[list[str | float]]:
    """Rows by what their cells are sorted by: texts as they are, numbers as numbers."""
    assert all(len(row) == len(table.headings) for row in table.rows)
    return [[cell if isinstance(cell, str) else cell.value for cell in row] for row in table.rows]


def shown(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell.text


def test_layers(plain: Content) -> None:
    rows = columns(layer_table(plain))
    assert len(rows) == len(plain["network"]["layers"])
    for number, (layer, sparsity) in enumerate(zip(plain["network"]["layers"], plain["sparsity"], strict=True)):
        work = {entry["engine"]: entry for entry in plain["layer_work"] if entry["layer"] == number}
        assert rows[number] == [
            layer["name"],
            "x".join(map(str, layer["out_shape"])),
            layer["weights"],
            *("" if sparsity[key] is None else sparsity[key] for key in SHARES),
            *(work[name]["time_ps"] if name in work else "" for name in PASSES),
            sum(entry["dram_bytes"] for entry in work.values()),
        ]


def test_layers_by_engine(plain: Content) -> None:
    for row, entry in zip(columns(work_table(plain)), plain["layer_work"], strict=True):
        assert row[:4] == [
            plain["network"]["layers"][entry["layer"]]["name"],
            entry["engine"].replace("_", " "),
            entry["operations"],
            entry["time_ps"],
        ]
        a_second = entry["operations"] / (entry["time_ps"] * 1e-12)
        assert row[4:6] == pytest.approx([a_second, a_second / (entry["peak_operations_per_us"] * 1e6)])
        moved = entry["dram_bytes"]
        assert row[6:] == [moved, pytest.approx(entry["operations"] / moved) if moved else ""]


def test_energy_and_area(plain: Content) -> None:
    groups, whole = plain["energy"]["groups"], plain["energy"]["energy_pj"]["nominal"]
    table = energy_table(plain)
    for row, (name, pj) in zip(columns(table), groups.items(), strict=True):
        assert [row[0], *row[1::2]] == [name, pytest.approx(pj["nominal"] * 1e-12), pj["nominal"] / whole]
    groups, whole = plain["area"]["groups"], plain["area"]["area_mm2"]["nominal"]
    table = area_table(plain)
    for row, (name, mm2) in zip(columns(table), groups.items(), strict=True):
        assert row == [name, mm2["nominal"], f"{mm2['low']:.3g} to {mm2['high']:.3g}", mm2["nominal"] / whole]
    assert (table.title, table.headings) == ("Area", ("part", "mm²", "low to high", "share"))
    milli = {"low": 1e9, "nominal": 2e9, "high": 3e9}
    made = plain | {"energy": {"energy_pj": {"nominal": 8e9}, "groups": {"x": milli}}}
    assert [shown(cell) for cell in energy_table(made).rows[0]] == ["x", "2 mJ", "1 mJ to 3 mJ", "25.0%"]


def test_time_by_engine_and_state(plain: Content) -> None:
    step_ps = plain["time"]["step_ps"]
    wanted: list[list[str | float]] = []
    for name, engine in plain["engines"].items():
        states = {"busy": engine["busy_ps"]}
        states |= {f"blocked: {reason}": ps for reason, ps in engine["blocked_ps"].items()}
        states |= {f"starved: {reason}": ps for reason, ps in engine["starved_ps"].items()}
        wanted += [[name.replace("_", " "), state, ps, ps / step_ps] for state, ps in states.items()]
    assert columns(stall_table(plain)) == wanted
    labels = [{"name": state, "colour": state[:4]} for state in dict.fromkeys(str(row[1]) for row in wanted)]
    for bar, (name, engine) in zip(engine_bars(plain, labels), plain["engines"].items(), strict=True):
        names = [label["name"] for label in labels]
        mine = [row for row in wanted if row[0] == bar.name == name.replace("_", " ") and row[2]]
        mine.sort(key=lambda row: names.index(str(row[1])))
        assert [part.share for part in bar.parts] == [row[3] for row in mine]
        assert sum(part.share for part in bar.parts) == pytest.approx(1.0)
        assert bar.text == f"{engine['busy_ps'] / step_ps:.1%}"
        assert all(part.title.startswith(f"{part.colour}") for part in bar.parts)


def test_dram_bytes(plain: Content) -> None:
    dram = plain["dram"]
    kinds = ("read_bytes", "written_bytes", "burst_read_bytes", "burst_written_bytes")
    distinct = plain | {"dram": {kind: {"weights": n, "spikes": 10 * n} for n, kind in enumerate(kinds, start=1)}}
    assert columns(dram_table(distinct)) == [["weights", 1, 2, 3, 4], ["spikes", 10, 20, 30, 40]]
    assert len(dram_table(plain).rows) == len(dram["read_bytes"])
    spikes, weights = dram_bars(distinct)
    assert [(part.share, part.title) for part in weights.parts] == [
        (1 / 30, "read, 1 bytes"),
        (2 / 30, "written, 2 bytes"),
    ]
    assert (spikes.name, spikes.text, [part.share for part in spikes.parts]) == ("spikes", "30 B", [1 / 3, 2 / 3])


def test_dram_channels(plain: Content) -> None:
    channels = [
        {"row_hits": 1, "row_misses": 2, "row_conflicts": 3, "commands": {"RD": 4, "ACT": 5}},
        {"row_hits": 6, "row_misses": 7, "row_conflicts": 8, "commands": {"RD": 9}},
    ]
    table = channel_table(
        plain | {"time": {"step_ps": 100}, "dram": {"channels": channels, "channel_busy_ps": [25, 50]}}
    )
    assert table.headings == ("channel", "busy", "row hits", "row misses", "row conflicts", "ACT", "RD")
    assert columns(table) == [["channel 0", 0.25, 1, 2, 3, 5, 4], ["channel 1", 0.5, 6, 7, 8, 0, 9]]


def test_buffers(plain: Content) -> None:
    placement = {
        "capacity_bytes": {"weights": 4096, "backward_sums": 2048},
        "used_bytes": {"weights": 1024},
        "staging_bytes": {"weights": 512},
    }
    ports = {
        name: {"peak_demand_bytes_per_cycle": 3 * n, "bytes_per_cycle": 4, "moved_bytes": 100 * n}
        for n, name in enumerate(placement["capacity_bytes"], start=1)
    }
    assert columns(buffer_table(plain | {"placement": placement, "buffer_ports": ports})) == [
        ["weights", 4096, 1024, 0.25, 512, 100, 0.75],
        ["backward sums", 2048, 0, 0.0, 0, 200, 1.5],
    ]
