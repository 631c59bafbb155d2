"""Seeded random stalls on the three streams of a LUT row."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace

import numpy as np

from rtl_models.units import Pattern, Stimulus
from tlm.cosim.geometry import StreamKey

SOURCES = ("load", "index")
SINKS = ("out",)


@dataclass(frozen=True)
class Stalls:
    """Flags per cycle for each stream: when a source may offer a beat, when a sink is ready; empty means always."""

    valid: dict[str, Pattern] = field(default_factory=dict)
    ready: dict[str, Pattern] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.valid or self.ready)

    def on(self, stimulus: Stimulus) -> Stimulus:
        """Return `stimulus` under these stalls."""
        return replace(stimulus, valid=dict(self.valid), ready=dict(self.ready))


def random_stalls(rng: np.random.Generator, cycles: int) -> Stalls:
    """Draw patterns of twice `cycles` flags: each stream has its own rate, and stalls singly or in bursts."""
    length = max(2 * cycles, 16)
    return Stalls(
        valid={name: _pattern(rng, length) for name in SOURCES},
        ready={name: _pattern(rng, length) for name in SINKS},
    )


def stream_rng(seed: int, key: StreamKey) -> np.random.Generator:
    """Random numbers that depend on the seed and the stream alone, not on what else is co-simulated."""
    engine = zlib.crc32(key.engine.encode())
    return np.random.default_rng([seed, engine, key.layer, key.micro_batch, key.row, key.block])


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
