"""The reference's request traces: sequential, random, strided, tiles and several streams, as address arrays.

Random addresses come from splitmix64, so a trace is the same on every machine and under every version of NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError

REQUESTS = 20_000
"""Requests in each trace of the reference."""

MIB = 1 << 20

Requests = tuple[NDArray[np.int64], NDArray[np.bool_]]
"""Byte addresses, and whether each request writes."""


@dataclass(frozen=True)
class Geometry:
    """What the traces depend on: bytes of a burst and of a row in one bank, banks in all, bytes of a channel."""

    burst_bytes: int
    row_bytes: int
    banks: int
    capacity_bytes: int


GEOMETRY = {
    "DDR4": Geometry(64, 8192, 16, 8 << 30),
    "LPDDR5": Geometry(32, 2048, 16, 1 << 30),
    "HBM2": Geometry(32, 1024, 32, 1 << 30),
    "HBM3": Geometry(32, 1024, 64, 1 << 30),
}


def reference_trace(standard: str, name: str, requests: int = REQUESTS) -> Requests:
    """Return the first `requests` requests of a trace as (addresses int64[n], is_write bool[n]).

    Raises InputError for a standard or a trace that the reference does not have.
    """
    if standard not in GEOMETRY:
        raise InputError("no reference traces for this standard", got=standard, allowed=", ".join(GEOMETRY))
    if name not in TRACES:
        raise InputError("unknown reference trace", got=name, allowed=", ".join(TRACES))
    return TRACES[name](GEOMETRY[standard], requests)


def splitmix64(seed: int, count: int) -> NDArray[np.uint64]:
    """Return the generator's first `count` 64-bit numbers (Steele, Lea and Flood, OOPSLA 2014)."""
    state = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def _reads(addresses: NDArray[np.int64]) -> Requests:
    return addresses, np.zeros(len(addresses), dtype=np.bool_)


def _steps(step_bytes: int, requests: int) -> NDArray[np.int64]:
    return np.arange(requests, dtype=np.int64) * step_bytes


def _sequential_read(geometry: Geometry, requests: int) -> Requests:
    return _reads(_steps(geometry.burst_bytes, requests))


def _sequential_write(geometry: Geometry, requests: int) -> Requests:
    return _steps(geometry.burst_bytes, requests), np.ones(requests, dtype=np.bool_)


def _two_reads_one_write(geometry: Geometry, requests: int) -> Requests:
    """R R W R R W ...; reads from 0 and writes from 256 MiB, each sequential."""
    index = np.arange(requests, dtype=np.int64)
    is_write = index % 3 == 2
    position = np.where(is_write, index // 3, index - index // 3)
    return np.where(is_write, 256 * MIB, 0) + position * geometry.burst_bytes, is_write


def _random_read(geometry: Geometry, requests: int) -> Requests:
    """Bursts at random over 64 MiB."""
    slots = np.uint64(64 * MIB // geometry.burst_bytes)
    return _reads((splitmix64(1, requests) % slots).astype(np.int64) * geometry.burst_bytes)


def _stride_1k(_: Geometry, requests: int) -> Requests:
    return _reads(_steps(1024, requests))


def _stride_row(geometry: Geometry, requests: int) -> Requests:
    """The next row of the same bank every time (RoBaRaCoCh); the row number wraps at the capacity."""
    return _reads(_steps(geometry.row_bytes * geometry.banks, requests) % geometry.capacity_bytes)


def _tile_4k(geometry: Geometry, requests: int) -> Requests:
    """Whole blocks of 4 KiB at random over 256 MiB."""
    bursts = 4096 // geometry.burst_bytes
    blocks = splitmix64(2, -(-requests // bursts)) % np.uint64(256 * MIB // 4096)
    addresses = blocks.astype(np.int64)[:, None] * 4096 + _steps(geometry.burst_bytes, bursts)
    return _reads(addresses.reshape(-1)[:requests])


def _round_robin(geometry: Geometry, requests: int, bases: Sequence[int]) -> Requests:
    """Two reading and two writing streams in turn, a burst each."""
    index = np.arange(requests, dtype=np.int64)
    stream, position = index % 4, index // 4
    return np.array(bases, dtype=np.int64)[stream] + position * geometry.burst_bytes, stream >= 2


def _four_streams(geometry: Geometry, requests: int) -> Requests:
    """Bases congruent modulo every interleave: all four streams stay in one bank, in four rows, on purpose."""
    return _round_robin(geometry, requests, [64 * MIB * stream for stream in range(4)])


def _four_streams_staggered(geometry: Geometry, requests: int) -> Requests:
    """Each stream starts a quarter of the bank set and one row further on: four banks and bank groups."""
    quarter = geometry.row_bytes * geometry.banks // 4 + geometry.row_bytes
    return _round_robin(geometry, requests, [(64 * MIB + quarter) * stream for stream in range(4)])


TRACES: dict[str, Callable[[Geometry, int], Requests]] = {
    "t1_seq_read": _sequential_read,
    "t2_seq_write": _sequential_write,
    "t3_seq_2r1w": _two_reads_one_write,
    "t4_rand_read_64m": _random_read,
    "t5_stride_1k": _stride_1k,
    "t6_stride_row": _stride_row,
    "t7_tile_4k": _tile_4k,
    "t8_four_streams": _four_streams,
    "t8b_four_streams_staggered": _four_streams_staggered,
}
