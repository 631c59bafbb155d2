"""Rounding in registers: the machine's number formats inside Numba kernels, where every number is a binary32.

A stored value of any format is a binary32 number, and so is every sum (the sum format is binary32 or the value format).
Each operation is done in binary32 (or exactly, in binary64) and rounded once more to its format. That equals one
rounding of the exact result:

* additions: with p fraction bits more than 2 p' + 2 (24 >= 2 * 11 + 2, and 24 >= 2 * 8 + 2) a second rounding is
  innocuous (Figueroa, "When is double rounding innocuous?", 1995), and a sum too small to be normal is exact;
* products of two values of 16 bits are exact in binary32, save bfloat16 products below 2^-133: they have at most 16
  significant bits, so one whose leading bit is 2^-134 or more is exact in binary32, and a smaller one rounds to zero
  both ways (an exact half rounds to even, which is zero);
* products with a binary32 constant, where sums are not binary32: exact in binary64 (24 + 11 bits), brought to
  binary32 by rounding to odd, after which a second rounding is innocuous (Boldo and Melquiond, 2008).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtl_models.formats import BINARY16, BINARY32, FloatFormat
from rtl_models.reference.bits import bits_float, float_bits


class Rounding(NamedTuple):
    """A number format as the constants of one branch-free rounding of a binary32 pattern."""

    shift: np.uint32  # fraction bits dropped
    half: np.uint32  # half a unit in the last place, less one unit of binary32
    odd: np.uint32  # 1 where the last kept bit decides ties, 0 for binary32
    keep: np.uint32  # mask of the bits kept
    tiny: np.uint32  # magnitudes below it are rounded on the format's subnormal grid (binary16 only)
    grid: np.float32  # a number whose unit in the last place is that grid
    limit: np.uint32  # magnitudes from it on, after rounding, are infinite
    normal: np.uint32  # the smallest normal magnitude
    single: bool  # binary32 itself: nothing to round


def rounding(fmt: FloatFormat) -> Rounding:
    """Return the constants that round a binary32 number to `fmt` (nearest even, subnormals kept)."""
    dropped = BINARY32.fraction_bits - fmt.fraction_bits
    normal = np.uint32((BINARY32.bias - fmt.bias + 1) << BINARY32.fraction_bits)
    narrow = fmt == BINARY16
    return Rounding(
        shift=np.uint32(dropped),
        half=np.uint32((1 << dropped >> 1) - 1 if dropped else 0),
        odd=np.uint32(1 if dropped else 0),
        keep=np.uint32(0xFFFFFFFF >> dropped << dropped),
        tiny=normal if narrow else np.uint32(0),
        grid=np.float32(0.5),
        limit=np.uint32(0x47800000) if narrow else np.uint32(0x7F800000),
        normal=normal,
        single=fmt == BINARY32,
    )


@njit(nogil=True, cache=True)
def round_float(x: np.float32, r: Rounding) -> np.float32:
    """Round one binary32 number to the format of `r`; a NaN becomes the canonical one."""
    bits = float_bits(x)
    magnitude = np.uint32(bits & np.uint32(0x7FFFFFFF))
    rounded = np.uint32(
        np.uint32(magnitude + np.uint32(r.half + np.uint32(np.uint32(magnitude >> r.shift) & r.odd))) & r.keep
    )
    # adding and taking away a number of the right size leaves a multiple of the subnormal grid, ties to even
    on_grid = np.float32(np.float32(bits_float(magnitude) + r.grid) - r.grid)
    if magnitude < r.tiny:
        rounded = float_bits(on_grid)
    if rounded >= r.limit:
        rounded = np.uint32(0x7F800000)
    signed = np.uint32(rounded | np.uint32(bits & np.uint32(0x80000000)))
    if magnitude > np.uint32(0x7F800000):
        signed = np.uint32(0x7FC00000)
    return np.float32(bits_float(signed))


@njit(nogil=True, cache=True)
def round_sum(x: np.float32, r: Rounding) -> np.float32:
    """Round a binary32 result to the sum format `r`; where sums are binary32 it already is (a NaN as it came)."""
    if r.single:
        return x
    return np.float32(round_float(x, r))


@njit(nogil=True, cache=True)
def round_product(a: np.float32, b: np.float32, r: Rounding) -> np.float32:
    """Return the product of a binary32 constant and a value, rounded once to the sum format `r`."""
    if r.single:
        return np.float32(a * b)
    exact = np.float64(a) * np.float64(b)
    single = np.float32(exact)
    bits = float_bits(single)
    if np.float64(single) != exact and exact == exact:
        if abs(np.float64(single)) > abs(exact):
            bits = np.uint32(bits - np.uint32(1))
        bits = np.uint32(bits | np.uint32(1))
    return np.float32(round_float(bits_float(bits), r))


@njit(nogil=True, cache=True)
def round_in_place(values: NDArray[np.float32], r: Rounding) -> None:
    """Round every element of the flat array `values` to the format of `r`."""
    for i in range(values.size):
        values[i] = round_float(values[i], r)


@njit(nogil=True, cache=True)
def count_special(values: NDArray[np.float32], r: Rounding) -> tuple[np.int64, np.int64]:
    """Return how many elements of the flat array `values` are not finite, and how many are subnormal in format `r`."""
    nonfinite = np.int64(0)
    subnormal = np.int64(0)
    for i in range(values.size):
        magnitude = np.uint32(float_bits(values[i]) & np.uint32(0x7FFFFFFF))
        nonfinite += magnitude >= np.uint32(0x7F800000)
        subnormal += (magnitude != np.uint32(0)) & (magnitude < r.normal)
    return nonfinite, subnormal


@njit(nogil=True, cache=True)
def add_in_place(sums: NDArray[np.float32], addends: NDArray[np.float32], r: Rounding) -> None:
    """Add the flat array `addends` to `sums`, each sum rounded to the format of `r`."""
    for i in range(sums.size):
        sums[i] = round_float(np.float32(sums[i] + addends[i]), r)
