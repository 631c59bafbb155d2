"""Payloads as the 64-bit words of `rtl_models.units.Words`, least significant first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_models.units import Words


def words_of_bytes(data: NDArray[np.uint8]) -> Words:
    """Return rows of bytes [beats, bytes], least significant first, as words."""
    rows, width = data.shape
    padded = np.zeros((rows, -(-width // 8) * 8), np.uint8)
    padded[:, :width] = data
    return padded.view("<u8").astype(np.uint64)


def words_of_fields(fields: NDArray[np.uint8], width_bits: int) -> Words:
    """Return fields [beats, fields] of `width_bits` (8 at most), the first in the lowest bits, as words."""
    bits = np.unpackbits(fields[:, :, np.newaxis], axis=2, count=width_bits, bitorder="little")
    return words_of_bytes(np.packbits(bits.reshape(len(fields), -1), axis=1, bitorder="little"))


def fields_of_words(words: Words, fields: int, width_bits: int) -> NDArray[np.uint8]:
    """Return the fields [beats, fields] of `width_bits` (8 at most) that `words_of_fields` put into words."""
    data = np.ascontiguousarray(words.astype("<u8")).view(np.uint8)
    bits = np.unpackbits(data, axis=1, count=fields * width_bits, bitorder="little")
    return np.packbits(bits.reshape(len(words), fields, width_bits), axis=2, bitorder="little")[:, :, 0]
