"""Row sums against exact fractions on hostile operands; a changed order of additions must be seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_models.formats import BFLOAT16, BINARY16, BINARY32, FloatFormat, decode
from rtl_models.reference import lut
from rtl_models.reference.lut import LutTables
from rtl_models.reference.packing import forward_indices, forward_operands
from rtl_models.reference.threads import set_threads
from tests.reference.oracle import forward_position, row_sum
from workloads.network import Layer
from workloads.record import Arithmetic

PAIRS = [
    (BINARY16, BINARY32),
    (BFLOAT16, BINARY32),
    (BINARY32, BINARY32),
    (BINARY16, BINARY16),
    (BFLOAT16, BFLOAT16),
]


def hostile(rng: np.random.Generator, shape: tuple[int, ...], fmt: FloatFormat) -> np.ndarray:
    """Exponents over most of the format, both signs, subnormals and both zeros; no value is near overflow."""
    top = (fmt.bias + 1) * 2 - 10
    sign = rng.integers(0, 2, shape, dtype=np.uint32) << np.uint32(fmt.width_bits - 1)
    exponent = rng.integers(0, top, shape, dtype=np.uint32) << np.uint32(fmt.fraction_bits)
    fraction = rng.integers(0, 1 << fmt.fraction_bits, shape, dtype=np.uint32)
    patterns = np.where(rng.random(shape) < 0.1, sign, sign | exponent | fraction)
    return decode(patterns.astype(fmt.bits_dtype), fmt)


def alike(rng: np.random.Generator, shape: tuple[int, ...], fmt: FloatFormat) -> np.ndarray:
    """Exponents a little further apart than a sum is wide, so that additions round and their order shows."""
    span = rng.integers(-14, 13, shape)
    values = rng.choice([-1.0, 1.0], shape) * (
        1 + rng.integers(0, 1 << fmt.fraction_bits, shape) / (1 << fmt.fraction_bits)
    )
    return np.asarray(values * 2.0**span, np.float32)


def wanted_sums(
    operands: np.ndarray, indices: np.ndarray, psum: np.ndarray, arithmetic: Arithmetic, subtract: bool = False
) -> np.ndarray:
    """Row sums by the oracle, [positions, M]."""
    groups, _, rows = operands.shape
    sums = np.empty(psum.shape, np.float32)
    for p, m in np.ndindex(psum.shape):
        listed = [[float(w) for w in operands[g, :, m]] for g in range(groups)]
        sums[p, m] = row_sum(listed, [int(i) for i in indices[p]], float(psum[p, m]), arithmetic, subtract)
    assert rows == psum.shape[1]
    return sums


def assert_sums(operands: np.ndarray, indices: np.ndarray, arithmetic: Arithmetic, subtract: bool = False) -> None:
    psum = np.zeros((indices.shape[0], operands.shape[2]), np.float32)
    wanted = wanted_sums(operands, indices, psum, arithmetic, subtract)
    tables = LutTables(operands, arithmetic.lanes, arithmetic.value, arithmetic.sum)
    tables.accumulate(indices, psum, subtract=subtract)
    assert np.array_equal(psum.view(np.uint32), wanted.view(np.uint32))


@pytest.mark.parametrize(("value", "total"), PAIRS)
@pytest.mark.parametrize("lanes", [1, 2, 8, 16, 32])
def test_sums_hostile_operands_in_order(value: FloatFormat, total: FloatFormat, lanes: int) -> None:
    rng = np.random.default_rng(lanes)
    k, rows = 1 + lanes % 5, 16 if lanes == 16 else 3
    operands = hostile(rng, (2 * lanes, k, rows), value)
    indices = rng.integers(0, 1 << k, (3, 2 * lanes)).astype(np.uint8)
    with np.errstate(over="ignore"):
        assert_sums(operands, indices, Arithmetic(value, total, k, lanes))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    k=st.integers(1, 8),
    lanes=st.sampled_from([1, 2, 4, 8, 16]),
    tiles=st.integers(1, 3),
    rows=st.sampled_from([1, 8, 9]),
    density=st.sampled_from([0.05, 0.5]),
    subtract=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_sums_any_shape(k: int, lanes: int, tiles: int, rows: int, density: float, subtract: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    operands = alike(rng, (tiles * lanes, k, rows), BINARY16)
    bits = rng.random((2, tiles * lanes, k)) < density
    indices = (bits << np.arange(k)).sum(axis=2).astype(np.uint8)
    assert_sums(operands, indices, Arithmetic(k=k, lanes=lanes), subtract)


@pytest.mark.parametrize(("value", "seen_at_least"), [(BINARY16, 0.1), (BINARY32, 0.5)])
def test_mutants_of_the_order_are_seen(value: FloatFormat, seen_at_least: float) -> None:
    """On operands that make additions round, permuted groups, a chain and swapped neighbours give other sums."""
    rng = np.random.default_rng(7)
    operands = alike(rng, (32, 4, 512), value)
    indices = np.full((1, 32), 15, np.uint8)
    right = np.zeros((1, 512), np.float32)
    LutTables(operands, 16, value, BINARY32).accumulate(indices, right)
    entries = np.zeros((32, 512), np.float32)
    for group in range(32):
        psum = np.zeros((1, 512), np.float32)
        LutTables(operands[group : group + 1], 1, value, BINARY32).accumulate(indices[:, :1], psum)
        entries[group] = psum[0]
    permuted = np.zeros((1, 512), np.float32)
    LutTables(operands[rng.permutation(32)], 16, value, BINARY32).accumulate(indices, permuted)
    chain = np.zeros(512, np.float32)
    for entry in entries:
        chain = np.asarray(chain + entry, np.float32)
    swapped = np.zeros((1, 512), np.float32)
    order = np.arange(32).reshape(-1, 4)[:, [0, 2, 1, 3]].reshape(-1)
    LutTables(operands[order], 16, value, BINARY32).accumulate(indices, swapped)
    assert (permuted != right).mean() > seen_at_least
    assert (chain != right[0]).mean() > seen_at_least
    assert (swapped != right).mean() > seen_at_least / 4


def test_doubles_before_a_lower_bit_plane() -> None:
    operands = np.ones((1, 1, 1), np.float32)
    tables = LutTables(operands, 1, BINARY16, BINARY32)
    psum = np.full((1, 1), 3.0, np.float32)
    tables.accumulate(np.ones((1, 1), np.uint8), psum, double=True)
    assert psum[0, 0] == 7.0
    tables.accumulate(np.ones((1, 1), np.uint8), psum, double=True, subtract=True)
    assert psum[0, 0] == 13.0


@pytest.mark.parametrize("subtract", [False, True])
def test_a_psum_is_never_minus_zero(subtract: bool) -> None:
    """Sums of both zeros, and of numbers that cancel, leave +0."""
    zero = np.array([0.0, -0.0, 1.5, -1.5], np.float32)
    operands = zero[np.array(np.meshgrid(*[range(4)] * 4)).reshape(4, -1)][:, np.newaxis, :]
    indices = np.array([[a, b, c, d] for a in (0, 1) for b in (0, 1) for c in (0, 1) for d in (0, 1)], np.uint8)
    psum = np.zeros((16, 256), np.float32)
    tables = LutTables(np.ascontiguousarray(operands), 2, BINARY16, BINARY32)
    tables.accumulate(indices, psum, subtract=subtract)
    assert not np.signbit(psum[psum == 0]).any()
    tables.accumulate(indices, psum, double=True, subtract=not subtract)
    assert not np.signbit(psum[psum == 0]).any()


def test_counts_every_stored_entry_once() -> None:
    """Overflow of 40000 + 40000, and the smallest subnormal in entries 1 and 3 of the other row."""
    operands = np.array([[[40000.0, 2.0**-24], [40000.0, 0.0]]], np.float32)
    tables = LutTables(operands, 1, BINARY16, BINARY32)
    psum = np.zeros((1, 2), np.float32)
    tables.accumulate(np.array([[3]], np.uint8), psum)
    tables.accumulate(np.array([[3]], np.uint8), psum)
    assert (tables.nonfinite, tables.subnormal) == (1, 2)
    assert psum[0, 0] == math.inf


def test_large_tables_in_chunks_give_the_same_bits_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    operands = hostile(rng, (64, 3, 9), BINARY16)
    indices = rng.integers(0, 8, (5, 64)).astype(np.uint8)
    results = []
    for table_bytes in (1 << 20, 1):
        monkeypatch.setattr(lut, "_TABLE_BYTES", table_bytes)
        tables = LutTables(operands, 8, BINARY16, BINARY32)
        psum = np.zeros((5, 9), np.float32)
        tables.accumulate(indices, psum)
        tables.accumulate(indices, psum)
        results.append((psum.tobytes(), tables.nonfinite, tables.subnormal))
    assert results[0] == results[1]


def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lut, "_LEAST_LOOKUPS", 1)
    rng = np.random.default_rng(4)
    operands = alike(rng, (32, 4, 24), BINARY16)
    indices = rng.integers(0, 16, (37, 32)).astype(np.uint8)
    results = []
    try:
        for threads in (1, 2, 5):
            set_threads(threads)
            psum = np.zeros((37, 24), np.float32)
            LutTables(operands, 16, BINARY16, BINARY32).accumulate(indices, psum)
            results.append(psum.tobytes())
    finally:
        set_threads(0)
    assert results[0] == results[1] == results[2]


def test_a_window_is_summed_in_raster_order() -> None:
    """One psum through all four positions of each window; the mutant that runs over them backwards gives other sums."""
    rng = np.random.default_rng(11)
    layer, k, lanes = Layer("pooled", 4, 4, 3, 40, 2, 2, 1, 2, False, True, 2), 3, 2
    weights = alike(rng, layer.weights_shape, BINARY16)
    spikes = (rng.random((1, 1, 4, 4, 3)) < 0.7).astype(np.uint8)
    operands = forward_operands(layer, weights, k, lanes)
    indices = forward_indices(layer, spikes, k, lanes)
    sums, mutant = np.zeros((2, layer.out_positions, 40), np.float32)
    tables = LutTables(operands, lanes, BINARY16, BINARY32)
    tables.accumulate(indices, sums)
    by_position = indices.reshape(layer.out_positions, layer.window, -1)
    tables.accumulate(np.ascontiguousarray(by_position[:, ::-1]).reshape(indices.shape), mutant)
    for position, m in np.ndindex(layer.out_positions, 40):
        psum, (y, x) = 0.0, divmod(position, layer.out_width)
        for dy, dx in np.ndindex(2, 2):
            here = (2 * y + dy, 2 * x + dx)
            field = forward_position(layer, k, weights, m, lambda *at: int(spikes[(0, 0, *at)]), *here)
            psum = row_sum(*field, psum, Arithmetic(k=k, lanes=lanes))
        assert sums[position, m] == psum
    assert (mutant != sums).mean() > 0.1
