"""Operand pairs that are hostile to floating-point hardware: every edge of a format, and random pairs near trouble."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_models.formats import FloatFormat

Operands = NDArray[np.uint32]


def corners(fmt: FloatFormat) -> Operands:
    """Return patterns at every edge of a format, of both signs, each once.

    Zero, the ends of the subnormal and normal numbers, one and its neighbours, infinity, NaN of both kinds, and every
    exponent with an empty, a full, a tie-making and a lowest-bit fraction.
    """
    infinity = ((1 << fmt.exponent_bits) - 1) << fmt.fraction_bits
    least_normal = 1 << fmt.fraction_bits
    half = least_normal >> 1
    one = fmt.bias << fmt.fraction_bits
    edges = [0, 1, 2, 3, half, least_normal - 1, least_normal, least_normal + 1, one - 1, one, one + 1]
    edges += [infinity - 1, infinity, infinity + 1, infinity | half, infinity | least_normal - 1]
    exponents = np.arange(1 << fmt.exponent_bits) << fmt.fraction_bits
    fractions = np.array([0, 1, half, half + 1, least_normal - 1])
    positive = np.unique(np.concatenate([np.array(edges), (exponents[:, None] | fractions).ravel()]))
    return np.concatenate([positive, positive | 1 << (fmt.width_bits - 1)]).astype(np.uint32)


def random_pairs(fmt: FloatFormat, count: int, seed: int) -> tuple[Operands, Operands]:
    """Return `count` pairs, a third each: uniform patterns; near-equal magnitudes; exponents that nearly meet.

    Near-equal magnitudes cancel in a sum; exponents within a fraction's length of each other round, tie and, for a
    product, are drawn so that the result lies around the format's smallest numbers.
    """
    rng = np.random.default_rng(seed)
    width, fraction = fmt.width_bits, fmt.fraction_bits
    mask, sign = np.uint32((1 << width) - 1), np.uint32(1 << (width - 1))
    a = rng.integers(0, 1 << width, count, dtype=np.uint32)
    other = rng.integers(0, 1 << width, count, dtype=np.uint32)
    small = rng.integers(0, fraction + 4, count, dtype=np.uint32)
    near = (a + small % np.uint32(9)) ^ (sign & other)
    apart = ((a + (small << np.uint32(fraction))) & mask) ^ (sign & other)
    # biased exponents of factors add up to about the bias where the product is about the smallest normal number
    a_exponent = (a & ~sign) >> np.uint32(fraction)
    wanted = np.clip(fmt.bias + small.astype(np.int64) - fraction - 2 - a_exponent, 0, (1 << fmt.exponent_bits) - 2)
    tiny = (other & (sign | np.uint32((1 << fraction) - 1))) | (wanted.astype(np.uint32) << np.uint32(fraction))
    kind = rng.integers(0, 6, count, dtype=np.uint8)
    b = np.select([kind < 2, kind < 4, kind == 4], [other, near & mask, apart], tiny)
    return a, b.astype(np.uint32)
