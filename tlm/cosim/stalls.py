"""Seeded random stalls on the streams of a unit."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rtl_models.units import Pattern
from tlm.cosim.keys import StreamKey


@dataclass(frozen=True)
class Stalls:
    """Flags per cycle for each stream: when a source may offer a beat, when a sink is ready; empty means always."""

    valid: dict[str, Pattern] = field(default_factory=dict)
    ready: dict[str, Pattern] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.valid or self.ready)


def random_stalls(rng: np.random.Generator, cycles: int, sources: Sequence[str], sinks: Sequence[str]) -> Stalls:
    """Draw patterns of twice `cycles` flags: each stream has its own rate, and stalls singly or in bursts."""
    length = max(2 * cycles, 16)
    return Stalls(
        valid={name: _pattern(rng, length) for name in sources},
        ready={name: _pattern(rng, length) for name in sinks},
    )


def stream_rng(seed: int, key: StreamKey, part: int = 0) -> np.random.Generator:
    """Random numbers that depend on the seed and the stream alone, not on what else is co-simulated."""
    engine = zlib.crc32(key.engine.encode())
    return np.random.default_rng([seed, engine, key.layer, key.micro_batch, key.row, key.block, part])


def _pattern(rng: np.random.Generator, length: int) -> Pattern:
    """Flags of one stream: always, one by one at a random rate, or in bursts of random length."""
    kind = rng.integers(4)
    if kind == 0:
        return np.ones(0, np.uint8)
    if kind < 3:
        return (rng.random(length) < rng.uniform(0.2, 0.95)).astype(np.uint8)
    bursts = 1 + rng.geometric(rng.uniform(0.02, 0.5), size=length)
    first = int(rng.integers(2))
    flags = np.repeat((np.arange(length) + first) % 2, bursts)[:length]
    return flags.astype(np.uint8)
