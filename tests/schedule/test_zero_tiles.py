"""Skipping all-zero tiles changes no bit: shown on the reference row, with bit planes, signed bytes and spikes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rtl_models.formats import BINARY16, BINARY32, encode
from rtl_models.reference.packing import bit_plane, forward_indices, update_indices
from rtl_models.reference.row import RowTask, lut_row
from tests.end_to_end.steps import ARITHMETIC, make_trace
from tlm.schedule.geometry import MicroBatch, forward_work, update_work
from tlm.schedule.lut_jobs import kept_tiles
from tlm.schedule.zero_tiles import forward_zero_tiles, update_zero_tiles

BATCH = MicroBatch(1, 2, 2)


def row_sums(weights: NDArray[np.float32], indices: NDArray[np.uint8], tiles: tuple[int, ...], signed: bool) -> object:
    """Sums of one row over the `tiles` of indices [planes, tiles, positions, lanes], numbered plane by plane."""
    _planes, per_plane, positions, lanes = indices.shape
    chosen = np.array(tiles)
    plane = chosen // per_plane
    first = np.arange(len(tiles)) == 0
    new_plane = np.concatenate([[True], plane[1:] != plane[:-1]])
    task = RowTask(
        weights=encode(weights[chosen % per_plane], BINARY16),
        indices=indices.reshape(-1, positions, lanes)[chosen].reshape(-1, lanes),
        positions=np.full(len(tiles), positions, np.int64),
        start=first,
        emit=np.arange(len(tiles)) == len(tiles) - 1,
        double=new_plane & ~first,
        subtract=(plane == 0) & signed,
    )
    return lut_row(task, BINARY16, BINARY32)


@given(st.integers(0, 2**32), st.sampled_from([1, 3, 8]), st.integers(1, 3), st.booleans(), st.floats(0, 0.3))
def test_sums_without_zero_tiles_have_the_same_bits(
    seed: int, planes: int, per_plane: int, signed: bool, density: float
) -> None:
    rng = np.random.default_rng(seed)
    lanes, k, positions = 2, 3, 4
    weights = (rng.normal(size=(per_plane, lanes, k)) * np.exp2(rng.integers(-14, 14, (per_plane, lanes, k)))).astype(
        "f4"
    )
    indices = (
        rng.integers(0, 2**k, (planes, per_plane, positions, lanes))
        * (rng.random((planes, per_plane, positions, lanes)) < density)
    ).astype("u1")
    kept = kept_tiles(~indices.any(axis=(2, 3)))
    everything = tuple(range(planes * per_plane))
    assert np.array_equal(row_sums(weights, indices, kept, signed), row_sums(weights, indices, everything, signed))


@pytest.mark.parametrize("coding", ["direct", "signed", "spikes"])
@pytest.mark.parametrize(("layers", "layer"), [("conv", 0), ("conv", 1), ("conv", 3), ("pool", 0), ("pool", 1)])
def test_the_map_of_a_trace_says_which_tiles_have_no_spike(coding: str, layers: str, layer: int) -> None:
    trace = make_trace(coding, layers, 2 if coding == "signed" else 3)
    shape, k, lanes = trace.network.layers[layer], ARITHMETIC.k, ARITHMETIC.lanes
    if layer:
        planes = [trace.spikes(layer - 1, BATCH.samples)]
    elif coding == "spikes":
        planes = [trace.inputs(BATCH.samples).astype(np.uint8)]
    else:
        planes = [bit_plane(trace.inputs(BATCH.samples), plane) for plane in range(8)]
    for work, pack, zero in (
        (forward_work(trace.network, layer, 2, ARITHMETIC), forward_indices, forward_zero_tiles),
        (update_work(trace.network, layer, 2, ARITHMETIC), update_indices, update_zero_tiles),
    ):
        flags = zero(trace, layer, BATCH, ARITHMETIC)
        first, count = work.positions // 3, max(1, work.positions // 2)
        found = flags(first, count)
        assert found.shape == (work.planes, work.tiles_per_plane)
        for plane, spikes in enumerate(planes):
            indices = pack(shape, spikes, k, lanes)
            assert indices.shape == (work.positions, work.tiles_per_plane * lanes)
            for tile in range(work.tiles_per_plane):
                block = indices[first : first + count, tile * lanes : (tile + 1) * lanes]
                assert found[plane, tile] == (block.max() == 0)
