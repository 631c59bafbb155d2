"""Picks row streams from a trace: seeded, from every engine and layer, hostile corners first."""

from __future__ import annotations

import numpy as np

from rtl_models.formats import Bits
from tlm.cosim.geometry import StepGeometry, StreamKey
from tlm.cosim.streams import StreamReader


def sample_keys(reader: StreamReader, streams: int, seed: int) -> list[StreamKey]:
    """Pick about `streams` row streams, at least two of every engine and layer, without repetition.

    The corners of each engine and layer come first: the last row, block and micro-batch (the shorter ones), the row
    whose operands span the most exponents, then the first of all. The rest is drawn at random.
    """
    geometry = reader.geometry
    strata = geometry.strata
    each = max(2, -(-streams // len(strata)))
    rng = np.random.default_rng(seed)
    keys: list[StreamKey] = []
    for engine, layer in strata:
        picked = dict.fromkeys(_corners(reader, engine, layer, rng))
        for _ in range(4 * each):
            if len(picked) >= each:
                break
            picked[_random_key(geometry, engine, layer, rng)] = None
        keys += list(picked)[:each]
    return keys


def _random_key(geometry: StepGeometry, engine: str, layer: int, rng: np.random.Generator) -> StreamKey:
    micro_batch = int(rng.integers(len(geometry.micro_batches)))
    shape = geometry.shape(engine, layer, micro_batch)
    return StreamKey(
        engine, layer, micro_batch, int(rng.integers(shape.work.rows)), int(rng.integers(len(shape.blocks)))
    )


def _corners(reader: StreamReader, engine: str, layer: int, rng: np.random.Generator) -> list[StreamKey]:
    geometry = reader.geometry
    last = len(geometry.micro_batches) - 1
    shape = geometry.shape(engine, layer, last)
    middle = int(rng.integers(last + 1))
    hostile = _widest_row(reader.source(engine, layer, middle).operands, geometry.config.contract.value.fraction_bits)
    block = int(rng.integers(len(geometry.shape(engine, layer, middle).blocks)))
    return [
        StreamKey(engine, layer, last, shape.work.rows - 1, len(shape.blocks) - 1),
        StreamKey(engine, layer, middle, hostile, block),
        StreamKey(engine, layer, 0, 0, 0),
    ]


def _widest_row(operands: Bits, fraction_bits: int) -> int:
    """Row [rows, groups, k] whose non-zero operands span the most binary exponents."""
    magnitude = operands.reshape(len(operands), -1).astype(np.int64)
    sign_bit = 8 * operands.dtype.itemsize - 1
    magnitude &= (1 << sign_bit) - 1
    exponent = magnitude >> fraction_bits
    largest = exponent.max(axis=1)
    smallest = np.where(magnitude > 0, exponent, np.iinfo(np.int64).max).min(axis=1)
    span = np.where(magnitude.any(axis=1), largest - smallest, -1)
    return int(np.argmax(span))
