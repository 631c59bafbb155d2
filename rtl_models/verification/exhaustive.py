"""Checks of adder and multiplier against judges, in parts small enough to be repeated: all pairs, corners, random."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from time import process_time

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from rtl_models.formats import BINARY16, BINARY32, FloatFormat
from rtl_models.simulators.elementwise import VerilatedFunction
from rtl_models.units import Unit
from rtl_models.verification.arithmetic_units import adder_unit, multiplier_unit
from rtl_models.verification.judges import JUDGES
from rtl_models.verification.operands import corners, random_pairs

Operands = NDArray[np.uint32]
BLOCK_PAIRS = 1 << 18  # pairs judged at a time: the arrays of a block stay in the cache
EXAMPLES = 4  # wrong pairs shown per part
RANDOM_PART_PAIRS = 10_000_000


@dataclass(frozen=True)
class Check:
    """One operation in one format against one judge on one set of pairs, cut into `parts`."""

    operation: str
    fmt: FloatFormat
    kind: str
    """``all``: every pair of patterns; ``corners``: every pair of corners; ``random``: hostile random pairs."""
    judge: str
    pairs: int
    parts: int

    @property
    def name(self) -> str:
        """Name by which a user asks for this check."""
        return f"{self.fmt.name}-{self.operation}-{self.kind}-{self.judge}"

    @property
    def unit(self) -> Unit:
        """The hardware under check."""
        return hardware(self.operation, self.fmt)


@dataclass(frozen=True)
class PartResult:
    """What one part showed; `examples` are wrong pairs as (a, b, hardware's result, judge's result)."""

    pairs: int
    wrong: int
    examples: tuple[tuple[int, int, int, int], ...]
    processor_time_s: float


def hardware(operation: str, fmt: FloatFormat) -> Unit:
    """Return the unit of an operation within one format."""
    return adder_unit(fmt) if operation == "add" else multiplier_unit(fmt, fmt, fmt)


def all_checks(random_count: int = 100_000_000) -> tuple[Check, ...]:
    """Return the whole programme, with `random_count` pairs for each random check."""
    if random_count < 1:
        raise InputError("number of random pairs", "exhaustive check", random_count, "1 or more")
    parts = -(-random_count // RANDOM_PART_PAIRS)
    checks = []
    for operation in ("add", "mul"):
        checks.append(Check(operation, BINARY16, "all", "numpy", 1 << 32, 1 << 8))
        checks.append(Check(operation, BINARY16, "random", "softfloat", random_count, parts))
        for judge in JUDGES:
            checks.append(Check(operation, BINARY32, "corners", judge, corners(BINARY32).size ** 2, 1))
            checks.append(Check(operation, BINARY32, "random", judge, random_count, parts))
    return tuple(checks)


def run_part(check: Check, part: int) -> PartResult:
    """Run part `part` of a check: the hardware and its judge on the same pairs, compared bit by bit."""
    start = process_time()
    function = _function(check.operation, check.fmt)
    outcomes = []
    for a, b in _blocks(check, part):
        got = function.of_grid(a, b) if check.kind != "random" else function.of_pairs(a, b)
        outcomes.append(_compare(check, *((a[:, None], b[None, :]) if check.kind != "random" else (a, b)), got))
    return _total(outcomes, process_time() - start)


def run_sample(check: Check, stride: int, function: VerilatedFunction | None = None) -> PartResult:
    """Run every `stride`-th of all pairs of a check's format, in one go.

    A stride without a common factor with 2 visits all exponents and signs of both operands. `function` stands in for
    the check's own hardware.
    """
    start = process_time()
    width = check.fmt.width_bits
    pairs = np.arange(0, 1 << 2 * width, stride, dtype=np.uint64) if width <= 16 else None
    if pairs is None or stride < 1:
        raise InputError("sample of all pairs", check.name, f"stride {stride}", "binary16, stride 1 or more")
    a, b = (pairs >> np.uint64(width)).astype(np.uint32), (pairs & np.uint64((1 << width) - 1)).astype(np.uint32)
    got = (function or _function(check.operation, check.fmt)).of_pairs(a, b)
    return _total([_compare(check, a, b, got)], process_time() - start)


def _blocks(check: Check, part: int) -> Iterator[tuple[Operands, Operands]]:
    """Yield the operands of a part, block by block: a grid's two sides, or pairs."""
    if not 0 <= part < check.parts:
        raise InputError("part of a check", check.name, part, f"0..{check.parts - 1}")
    if check.kind == "random":
        first, last = part * RANDOM_PART_PAIRS, min((part + 1) * RANDOM_PART_PAIRS, check.pairs)
        for start in range(first, last, BLOCK_PAIRS):
            yield random_pairs(check.fmt, min(BLOCK_PAIRS, last - start), seed=start)
        return
    side = corners(check.fmt) if check.kind == "corners" else np.arange(1 << check.fmt.width_bits, dtype=np.uint32)
    rows = np.linspace(0, side.size, check.parts + 1).astype(int)
    step = max(1, BLOCK_PAIRS // side.size)
    edges = [*range(rows[part], rows[part + 1], step), rows[part + 1]]
    for begin, end in pairwise(edges):
        yield side[begin:end], side


def _compare(check: Check, a: Operands, b: Operands, got: Operands) -> tuple[int, int, list[tuple[int, int, int, int]]]:
    """Return the number of results, of wrong ones, and the first wrong ones."""
    expected = JUDGES[check.judge](check.operation, check.fmt, a, b)
    wrong = np.flatnonzero(got != expected)
    a, b = (np.broadcast_to(side, got.shape).reshape(-1)[wrong[:EXAMPLES]] for side in (a, b))
    first = [got.ravel()[wrong[:EXAMPLES]], expected.ravel()[wrong[:EXAMPLES]]]
    columns = [[int(v) for v in column] for column in (a, b, *first)]
    return got.size, len(wrong), list(zip(*columns, strict=True))


def _total(outcomes: list[tuple[int, int, list[tuple[int, int, int, int]]]], processor_time_s: float) -> PartResult:
    examples = [example for _, _, found in outcomes for example in found][:EXAMPLES]
    return PartResult(sum(o[0] for o in outcomes), sum(o[1] for o in outcomes), tuple(examples), processor_time_s)


@cache
def _function(operation: str, fmt: FloatFormat) -> VerilatedFunction:
    return VerilatedFunction(hardware(operation, fmt))
