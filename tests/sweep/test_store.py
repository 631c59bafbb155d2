"""The store of a sweep: types of its columns, files that are none; and the front."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtl_models.errors import InputError
from tlm.sweep.front import front_of
from tlm.sweep.spec import parse_spec
from tlm.sweep.store import STORE, read_store, write_store

NAMES = ("time_s", "energy_j", "area_mm2")


def row(number: int, *values: float, **more: Any) -> dict[str, Any]:
    """A good point with some objectives."""
    workload = dict.fromkeys(("network", "trace", "timesteps", "batch", "images"))
    return {"point": number, "error": None, **workload, **dict(zip(NAMES, values, strict=False)), **more}


def test_a_key_of_several_kinds_is_words(tmp_path: Path) -> None:
    points = [{"dram.standard": "HBM2", "dram.channels": 4}, {"dram.standard": 3}, {"dram.standard": True}]
    spec = parse_spec({"workload": {"trace": "a.h5"}, "list": points}, "f")
    write_store([row(n) | {"dram.channels": None, **point} for n, point in enumerate(points)], spec, tmp_path / STORE)
    rows, about = read_store(tmp_path / STORE)
    assert [r["dram.standard"] for r in rows] == ["HBM2", "3", "true"]
    assert [r["dram.channels"] for r in rows] == [4, None, None]
    assert (about["keys"], about["objectives"]) == (["dram.standard", "dram.channels"], list(NAMES))


def test_files_that_are_no_store(tmp_path: Path) -> None:
    path = tmp_path / STORE
    path.write_text("no")
    with pytest.raises(InputError, match=r"sweep\.parquet: cannot read the sweep, allowed: a Parquet file"):
        read_store(path)
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({"format": "h2learn-sweep/0"}), path)
    with pytest.raises(InputError, match=r"not a sweep of this version, got 'h2learn-sweep/0', allowed: h2learn-sw"):
        read_store(path)


@pytest.mark.parametrize("key", ["network", "trace", "timesteps", "batch", "images"])
def test_a_front_is_of_one_workload(key: str) -> None:
    rows = [row(0, 2.0, **{key: 8}), row(1, 1.0, **{key: 4}), row(2, 3.0, **{key: 8}), row(3, error="no")]
    assert sorted(front_of(rows, ["time_s"])) == [0, 1]


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), max_size=30), st.integers(1, 3))
def test_the_front_is_what_nothing_beats(points: list[tuple[int, int, int]], count: int) -> None:
    cut = [tuple(map(float, point[:count])) for point in points]
    beaten = [
        any(other != mine and all(a <= b for a, b in zip(other, mine, strict=True)) for other in cut) for mine in cut
    ]
    found = front_of([row(n, *map(float, point)) for n, point in enumerate(points)], NAMES[:count])
    assert sorted(found) == [n for n, is_beaten in enumerate(beaten) if not is_beaten]
    assert [cut[n] for n in found] == sorted(cut[n] for n in found)
