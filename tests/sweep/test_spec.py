"""The file of a sweep: what it means, and every mistake in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from rtl_models.errors import InputError
from tlm.sweep.points import Workload, listed_points
from tlm.sweep.spec import load_spec, parse_spec

GRID = {
    "workload": {"network": "digits-conv"},
    "grid": {"dram.channels": [4, 8], "lut.k": {"from": 2, "to": 6, "step": 2}},
}


def test_a_grid_in_the_order_of_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(GRID, sort_keys=False))
    spec = load_spec(path)
    points = listed_points(spec)
    assert [tuple(point.values.values()) for point in points] == [(4, 2), (4, 4), (4, 6), (8, 2), (8, 4), (8, 6)]
    assert {point.workload for point in points} == {Workload(None, "digits-conv", None, 32)}
    assert (points[3].number, points[3].name) == (3, "dram.channels 8, lut.k 2")
    assert spec.objectives == ("time_s", "energy_j", "area_mm2")
    assert parse_spec(spec.to_dict(), "again") == spec


def test_a_list_and_workloads_that_vary() -> None:
    entries = [{"network": "digits-mlp", "batch": 8}, {"trace": "a.h5"}, {"timesteps": 3, "potentials": "recompute"}]
    spec = parse_spec({"workload": {"network": "digits-conv", "timesteps": 2}, "list": entries}, "f")
    assert spec.keys == ("network", "batch", "trace", "timesteps", "potentials")
    assert [point.workload for point in listed_points(spec)] == [
        Workload(None, "digits-mlp", 2, 8),
        Workload("a.h5", None, None, None),
        Workload(None, "digits-conv", 3, 32),
    ]
    assert [point.settings for point in listed_points(spec)] == [{}, {}, {"potentials": "recompute"}]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"grd": {}},
            "f: grd: unknown key, got 'grd', allowed: name, config, set, workload, objectives, grid, list",
        ),
        (
            {"workload": {"netwrk": "x"}},
            "f: workload.netwrk: unknown key, got 'netwrk', allowed: trace, network",
        ),
        ({"workload": {"batch": 0}}, "f: workload.batch: wrong value, got 0, allowed: greater than or equal to 1"),
        ({"grid": {}}, "f: grid: wrong value, got {}"),
        ({"grid": {"lut.k": []}}, "f: grid.lut.k: has no values"),
        ({"grid": {"lut.k": 3}}, "f: grid.lut.k: must be a list of values, or a range with the keys from, to and"),
        ({"grid": {"lut.k": [3, 3]}}, "f: grid.lut.k: names a value twice, got [3, 3]"),
        ({"grid": {"lut.k": [0.5]}}, "f: grid.lut.k: must be a whole number, a word, true or false, got 0.5"),
        ({"grid": {"lut.k": {"from": 1}}}, "f: grid.lut.k: a range has the keys from, to and perhaps step, got from"),
        ({"grid": {"lut.k": {"from": 1, "to": 2, "step": 0}}}, "f: grid.lut.k: from, to and perhaps step are whole"),
        ({"grid": {"lut.k": {"from": 2, "to": 1}}}, "f: grid.lut.k: has no values"),
        ({"grid": {"lut.k": {"from": 1, "to": 10**12}}}, "f: grid.lut.k: has more than 100000 values, got {'from': 1"),
        ({"grid": {"lut.kk": [1]}}, "f: grid: unknown key, got 'lut.kk', allowed: k, lanes, build_latency_cycles"),
        ({"grid": {"luts.k": [1]}}, "f: grid: unknown key, got 'luts.k', allowed: name, provisional"),
        ({"grid": {"lut": [1]}}, "f: grid: is a table of keys, got 'lut', allowed: lut.k, lut.lanes"),
        ({"list": [{"lut.k": 1}]}, "f: must have exactly one of grid, list and search, got 'grid, list'"),
        ({"grid": None}, "f: must have exactly one of grid, list and search, got 'none'"),
        ({"grid": None, "list": []}, "f: list: wrong value, got ()"),
        ({"grid": None, "search": {"points": 4}}, "f: search.space: wrong value"),
        ({"grid": None, "search": {"points": 0, "space": {"lut.k": [1]}}}, "f: search.points: wrong value, got 0"),
        (
            {"grid": None, "search": {"points": 10**9, "space": {"lut.k": [1]}}},
            "f: search.points: wrong value, got 1000000000, allowed: less than or equal to 100000",
        ),
        ({"objectives": ["speed"]}, "f: objectives.0: wrong value, got 'speed', allowed: 'time_s', 'energy_j' or"),
        ({"objectives": ["time_s", "time_s"]}, "f: objectives: names an objective twice"),
        ({"set": {1: 2}}, "f: set"),
        ({"workload": {}}, "workload: one of trace and network is needed for every point, got 'neither'"),
        (
            {"workload": {"trace": "a", "network": "b"}},
            "workload: one of trace and network is needed for every point, got",
        ),
        (
            {"grid": {"trace": ["a"], "batch": [3]}},
            "batch: a trace has its own; give a network to have others trained",
        ),
        ({"grid": {"batch": ["three"]}}, "batch: wrong value, got 'three', allowed: a whole number >= 1"),
        ({"grid": {"network": [3]}}, "network: wrong value, got 3, allowed: the name or the file of a network"),
        (
            {"grid": {"lut.k": {"from": 1, "to": 1000}, "dram.channels": {"from": 1, "to": 101}}},
            "grid: the grid has too many points, got 101000, allowed: at most 100000",
        ),
    ],
)
def test_mistakes(change: dict[str, Any], line: str) -> None:
    raw = {key: value for key, value in (GRID | change).items() if value is not None}
    with pytest.raises(InputError) as caught:
        listed_points(parse_spec(raw, "f"))
    assert str(caught.value).startswith(line)


def test_files_that_are_no_spec(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    for text, words in (("a: [", r"sweep\.yaml: not valid YAML \("), ("[1]", r"sweep\.yaml: must be a table of keys")):
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            load_spec(path)
    with pytest.raises(InputError, match=r"none\.yaml: cannot read the spec of the sweep \("):
        load_spec(tmp_path / "none.yaml")
