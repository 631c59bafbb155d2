"""What element-wise units and a FIFO must do, said once more: results in binary64, cycles as state machines.

A product of two of our numbers is exact in binary64, and a binary64 sum rounds on as the exact one would: it has 53
bits, and 2 * 24 + 2 are enough (Figueroa, 1995).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rtl_models.formats import BINARY32, Bits, FloatFormat, decode, encode
from rtl_models.units import Pattern

Doubles = NDArray[np.float64]


def numbers(bits: NDArray[np.unsignedinteger], fmt: FloatFormat) -> Doubles:
    """Return the numbers of patterns."""
    with np.errstate(invalid="ignore"):  # a signalling NaN is quieted
        return decode(np.asarray(bits, fmt.bits_dtype), fmt).astype(np.float64)


def rounded(exact: Doubles, fmt: FloatFormat) -> Doubles:
    """Round once."""
    return numbers(encode(exact, fmt), fmt)


def multiply(a: Doubles, b: Doubles, fmt: FloatFormat) -> Doubles:
    with np.errstate(all="ignore"):
        return rounded(a * b, fmt)


def add(a: Doubles, b: Doubles, fmt: FloatFormat) -> Doubles:
    with np.errstate(all="ignore"):
        return rounded(a + b, fmt)


def single(bits: NDArray[np.unsignedinteger]) -> Doubles:
    return numbers(bits, BINARY32)


def pattern(values: Doubles, fmt: FloatFormat) -> Bits:
    """Return the patterns of numbers of a format."""
    return encode(values, fmt)


class Source:
    """Offers beats as `rtl_models.units.Stimulus` says."""

    def __init__(self, beats: int, flags: Pattern | None) -> None:
        self.left, self.flags, self.offered = beats, flags, False
        self.transfers: list[int] = []

    def offers(self, cycle: int) -> bool:
        flagged = self.flags is None or cycle >= len(self.flags) or bool(self.flags[cycle])
        self.offered = self.offered or (self.left > 0 and flagged)
        return self.offered

    def take(self, cycle: int) -> None:
        self.transfers.append(cycle)
        self.left, self.offered = self.left - 1, False


def is_ready(flags: Pattern | None, cycle: int) -> bool:
    return flags is None or cycle >= len(flags) or bool(flags[cycle])


def pipeline_transfers(
    counts: NDArray[np.int64], latency: int, valid: Mapping[str, Pattern], ready: Mapping[str, Pattern]
) -> dict[str, list[int]]:
    """Step an element-wise unit clock by clock and return the cycle of every transfer."""
    constants = Source(len(counts), valid.get("constants"))
    elements = Source(int(np.sum(counts)), valid.get("element"))
    out: list[int] = []
    registers = [False] * latency
    group, left = -1, 0  # elements left under the present constants
    cycle = 0
    while len(out) < int(np.sum(counts)):
        taken = False
        moves = not registers[-1] or is_ready(ready.get("out"), cycle)
        offer_constants, offer_element = constants.offers(cycle), elements.offers(cycle)
        if offer_constants and left == 0 and not any(registers):
            constants.take(cycle)
            group += 1
            left = int(counts[group])
        elif offer_element and left > 0 and moves:
            elements.take(cycle)
            taken = True
            left -= 1
        if moves:
            if registers[-1]:
                out.append(cycle)
            registers = [taken, *registers[:-1]]
        cycle += 1
    return {"constants": constants.transfers, "element": elements.transfers, "out": out}


def fifo_transfers(beats: int, depth: int, put: Pattern | None, get: Pattern | None) -> dict[str, list[int]]:
    """Step a FIFO clock by clock and return the cycle of every transfer."""
    source, out = Source(beats, put), list[int]()
    held: deque[int] = deque()
    cycle = 0
    while len(out) < beats:
        offered, level = source.offers(cycle), len(held)
        if level and is_ready(get, cycle):
            held.popleft()
            out.append(cycle)
        if offered and level < depth:
            source.take(cycle)
            held.append(cycle)
        cycle += 1
    return {"put": source.transfers, "get": out}


def transposition_transfers(
    words: int, latency: int, spikes: Pattern | None, indices: Pattern | None
) -> dict[str, list[int]]:
    """Step a transposition unit clock by clock and return the cycle of every transfer."""
    source, out = Source(words, spikes), list[int]()
    registers = [False] * latency
    cycle = 0
    while len(out) < words:
        offered = source.offers(cycle)
        if not registers[-1] or is_ready(indices, cycle):
            if registers[-1]:
                out.append(cycle)
            registers = [offered, *registers[:-1]]
            if offered:
                source.take(cycle)
        cycle += 1
    return {"spikes": source.transfers, "indices": out}
