"""Picks streams from a trace: seeded, from every engine and layer, hostile corners first."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tlm.cosim.engine import Engine
from tlm.cosim.keys import StreamKey


def strata(engines: Mapping[str, Engine]) -> list[tuple[str, int]]:
    """Return every engine and layer that has work."""
    return [(name, layer) for name, engine in engines.items() for layer in engine.layers]


def sample_keys(engines: Mapping[str, Engine], streams: int, seed: int) -> list[StreamKey]:
    """Pick about `streams` streams, two or more of every engine and layer that has two, without repetition.

    The corners of each engine and layer come first: the last row, block and micro-batch (the shorter ones), the row
    that is likeliest to go wrong, then the first of all. The rest is drawn at random.
    """
    all_strata = strata(engines)
    each = max(2, -(-streams // len(all_strata)))
    rng = np.random.default_rng(seed)
    keys: list[StreamKey] = []
    for name, layer in all_strata:
        engine = engines[name]
        picked = dict.fromkeys(_corners(engine, layer, rng))
        for _ in range(4 * each):
            if len(picked) >= each:
                break
            picked[_random_key(engine, layer, rng)] = None
        keys += list(picked)[:each]
    return keys


def _random_key(engine: Engine, layer: int, rng: np.random.Generator) -> StreamKey:
    micro_batch = int(rng.integers(engine.micro_batch_count))
    row = int(rng.integers(engine.rows(layer, micro_batch)))
    return StreamKey(engine.name, layer, micro_batch, row, int(rng.integers(engine.blocks(layer, micro_batch))))


def _corners(engine: Engine, layer: int, rng: np.random.Generator) -> list[StreamKey]:
    last = engine.micro_batch_count - 1
    middle = int(rng.integers(last + 1))
    block = int(rng.integers(engine.blocks(layer, middle)))
    return [
        StreamKey(engine.name, layer, last, engine.rows(layer, last) - 1, engine.blocks(layer, last) - 1),
        engine.hostile_key(layer, middle, block, rng),
        StreamKey(engine.name, layer, 0, 0, 0),
    ]
