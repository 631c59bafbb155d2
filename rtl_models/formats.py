"""Binary floating-point formats and the conversion between numbers and bit patterns.

A value of any format here is exactly representable in binary32, so arrays of stored values are kept as
``float32`` and as bit patterns only where bits are what matters (traces, hardware ports).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError

Bits = NDArray[np.uint16] | NDArray[np.uint32]


@dataclass(frozen=True)
class FloatFormat:
    """An IEEE 754 binary interchange format (or bfloat16): ``1 + exponent_bits + fraction_bits`` wide."""

    name: str
    exponent_bits: int
    fraction_bits: int

    @property
    def width_bits(self) -> int:
        """Width of a stored value."""
        return 1 + self.exponent_bits + self.fraction_bits

    @property
    def width_bytes(self) -> int:
        """Bytes of a stored value."""
        return self.width_bits // 8

    @property
    def bias(self) -> int:
        """Exponent bias, IEEE 754-2019 section 3.4."""
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def canonical_nan(self) -> int:
        """The only NaN that is ever stored: positive, quiet, empty payload."""
        return ((1 << self.exponent_bits) - 1) << self.fraction_bits | 1 << (self.fraction_bits - 1)

    @property
    def bits_dtype(self) -> np.dtype[np.unsignedinteger]:
        """NumPy type that holds one bit pattern."""
        return np.dtype(np.uint16) if self.width_bits == 16 else np.dtype(np.uint32)

    def holds(self, other: FloatFormat) -> bool:
        """Whether every value of `other` is a value of this format."""
        return self.exponent_bits >= other.exponent_bits and self.fraction_bits >= other.fraction_bits


BINARY16 = FloatFormat("binary16", 5, 10)
BFLOAT16 = FloatFormat("bfloat16", 8, 7)
BINARY32 = FloatFormat("binary32", 8, 23)
FORMATS = {f.name: f for f in (BINARY16, BFLOAT16, BINARY32)}


def format_by_name(name: str, where: str = "format") -> FloatFormat:
    """Return the format called `name`; raises InputError for any other name."""
    if name not in FORMATS:
        raise InputError("unknown number format", where, name, ", ".join(FORMATS))
    return FORMATS[name]


def encode(values: NDArray[np.floating], fmt: FloatFormat) -> Bits:
    """Round `values` (binary32 or binary64) once to `fmt`, nearest even, and return the bit patterns.

    A NaN becomes the canonical NaN. Any shape.
    """
    values = np.asarray(values)
    nan = np.isnan(values)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if fmt == BINARY16:
            bits: Bits = values.astype(np.float16).view(np.uint16)
        elif fmt == BINARY32:
            bits = values.astype(np.float32).view(np.uint32)
        else:
            bits = _encode_bfloat16(values)
    if nan.any():
        bits = np.where(nan, bits.dtype.type(fmt.canonical_nan), bits)
    return bits


def decode(bits: Bits, fmt: FloatFormat) -> NDArray[np.float32]:
    """Return the numbers that the patterns `bits` of format `fmt` stand for, as binary32 (always exact)."""
    if fmt == BINARY16:
        return np.asarray(bits, np.uint16).view(np.float16).astype(np.float32)
    if fmt == BINARY32:
        return np.asarray(bits, np.uint32).view(np.float32)
    return (np.asarray(bits, np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)


def round_to(values: NDArray[np.floating], fmt: FloatFormat) -> NDArray[np.float32]:
    """Round to `fmt` (nearest even, subnormals kept) and return the result as binary32."""
    return decode(encode(values, fmt), fmt)


def _encode_bfloat16(values: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Round binary32 or binary64 to bfloat16; binary64 goes through binary32 rounded to odd (no double rounding)."""
    single = values.astype(np.float32)
    word = single.view(np.uint32).copy()
    if values.dtype == np.float64:
        inexact = (single.astype(np.float64) != values) & np.isfinite(values)
        too_large = inexact & (np.abs(single.astype(np.float64)) > np.abs(values))
        word = np.where(too_large, word - np.uint32(1), word) | inexact.astype(np.uint32)
    rounded = word + np.uint32(0x7FFF) + ((word >> np.uint32(16)) & np.uint32(1))
    return (rounded >> np.uint32(16)).astype(np.uint16)
