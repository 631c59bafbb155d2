"""The order in which an all-reduce adds the chips' gradients up: part of the bits, as every order of additions is.

Every addition is rounded to the sum format at once. Both functions take the chips' sums [chips, elements] and return
what every chip has afterwards, [elements].
"""

from __future__ import annotations

import numpy as np

from rtl_models.formats import FloatFormat, round_to
from tlm.analysis.cluster.collective import children, ring_chunks
from workloads.record import Floats


def add(left: Floats, right: Floats, total: FloatFormat) -> Floats:
    """Return the sums of two chips, rounded once (to binary32 first, which has twice the digits of the others)."""
    with np.errstate(over="ignore", invalid="ignore"):
        return round_to(left + right, total)


def ring_sum(gradients: Floats, total: FloatFormat) -> Floats:
    """Chunk c begins at chip c and goes round: ((chip c + chip c + 1) + chip c + 2) + ..., numbers modulo the chips."""
    chips, elements = gradients.shape
    result = np.empty(elements, np.float32)
    first = 0
    for chunk, size in enumerate(ring_chunks(elements, chips)):
        part = slice(first, first + size)
        running = gradients[chunk, part]
        for step in range(1, chips):
            running = add(running, gradients[(chunk + step) % chips, part], total)
        result[part] = running
        first += size
    return result


def tree_sum(gradients: Floats, total: FloatFormat) -> Floats:
    """Every chip adds the sums of the chips below it to its own, the lower number first: (own + left) + right."""

    def of(chip: int) -> Floats:
        running: Floats = gradients[chip]
        for below in children(chip, len(gradients)):
            running = add(running, of(below), total)
        return running

    return of(0)
