"""Tile files come back as they were written, and nothing else passes for one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from rtl_models.errors import InputError
from rtl_models.formats import BFLOAT16, BINARY32
from rtl_models.lut_row import LutRowGeometry
from rtl_models.reference.row import RowTask
from tlm.cosim import replay
from tlm.cosim.cases import make_case
from tlm.cosim.stalls import Stalls, random_stalls
from tlm.cosim.tile_file import TILE, FailingTile, read_tile, write_tile
from tlm.cosim.units import HARDWARE
from workloads.sealed_file import write_sealed

GEOMETRY = LutRowGeometry(
    k=2, lanes=2, value_format=BFLOAT16, sum_format=BINARY32, depth=8, build_latency_cycles=2, adder_latency_cycles=2
)


def make_tile(init: bool = True, stalled: bool = True) -> FailingTile:
    rng = np.random.default_rng(5)
    task = RowTask(
        weights=rng.integers(0, 0x4000, (3, 2, 2)).astype(np.uint16),
        indices=rng.integers(0, 4, (12, 2)).astype(np.uint8),
        positions=np.full(3, 4),
        start=np.array([True, False, False]),
        emit=np.array([False, False, True]),
        double=np.array([False, True, False]),
        subtract=np.array([True, False, False]),
        init=rng.integers(0, 0x40000000, 12).astype(np.uint32) if init else None,
    )
    stalls = random_stalls(rng, 40, ("load", "index"), ("out",)) if stalled else Stalls()
    case = make_case("forward layer 0 micro-batch 0 row 1 block 0", HARDWARE["lut_row"], GEOMETRY, task, stalls)
    return FailingTile(GEOMETRY, case, "verilator", "result 3: expected 0x1, got 0x2, in cycle 9", "net", "ab" * 32)


def assert_same(one: Any, other: Any) -> None:
    """Equal dataclasses of arrays, dicts and plain values, types included."""
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif hasattr(one, "__dict__"):
        assert_same(vars(one), vars(other))
    else:
        assert one == other


@pytest.mark.parametrize("init", [True, False])
@pytest.mark.parametrize("stalled", [True, False])
def test_a_tile_comes_back(init: bool, stalled: bool, tmp_path: Path) -> None:
    tile = make_tile(init, stalled)
    digest = write_tile(tile, tmp_path / "a.tile")
    assert_same(tile, read_tile(tmp_path / "a.tile"))
    assert write_tile(tile, tmp_path / "b.tile") == digest
    assert (tmp_path / "a.tile").read_bytes() == (tmp_path / "b.tile").read_bytes()


def test_a_replay_tells_what_has_changed_since(tmp_path: Path) -> None:
    tile = make_tile()
    sums = tile.case.results["data"].copy()
    sums[2] ^= 1
    late = {name: cycles + 1 for name, cycles in tile.case.transfers.items()}
    write_tile(replace(tile, case=replace(tile.case, results={"data": sums}, transfers=late)), tmp_path / "a.tile")
    result = replay(tmp_path / "a.tile", "myhdl")
    assert result.passed  # judged by what reference and law say now
    assert result.reference_changed
    assert result.law_changed
    assert result.simulator == "myhdl"
    assert result.cycles == tile.case.law_cycles


def test_damage_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.tile"
    write_tile(make_tile(), path)
    content = bytearray(path.read_bytes())
    content[3000] ^= 4
    path.write_bytes(content)
    with pytest.raises(InputError, match="the tile is damaged: wrong checksum"):
        read_tile(path)
    path.write_bytes(content[:2000])
    with pytest.raises(InputError, match="the tile is truncated"):
        read_tile(path)


def test_a_trace_is_not_a_tile(trace_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a tile, got 'trace', allowed: tile$"):
        read_tile(trace_path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the tile \(No such file or directory\)"):
        replay(tmp_path / "none.tile")


def _without_about(file: h5py.File) -> None:
    file.create_dataset("about", data=json.dumps({}))


def _without_anything(file: h5py.File) -> None:
    file.attrs["empty"] = 1


@pytest.mark.parametrize("fill", [_without_about, _without_anything])
def test_a_sealed_file_without_a_tile(fill: Any, tmp_path: Path) -> None:
    write_sealed(tmp_path / "a.tile", TILE, fill)
    with pytest.raises(InputError, match=r"a\.tile: does not hold what schema 2 of a tile demands \("):
        read_tile(tmp_path / "a.tile")


def test_a_task_that_does_not_fit_its_row(tmp_path: Path) -> None:
    tile = make_tile()
    write_tile(replace(tile, geometry=replace(GEOMETRY, depth=2)), tmp_path / "a.tile")
    with pytest.raises(InputError, match="positions of a tile"):
        read_tile(tmp_path / "a.tile")


def test_an_unwritable_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write the file"):
        write_tile(make_tile(), tmp_path / "missing" / "a.tile")
