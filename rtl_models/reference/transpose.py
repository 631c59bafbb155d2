"""Copies between row-major and column-major order, a block at a time, on threads."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtl_models.reference.threads import run_parts, split

Floats = NDArray[np.float32]
_BLOCK = 32  # rows and columns copied together, so that their cache lines are used whole
_LEAST_ELEMENTS = 1 << 16  # smaller jobs are not worth a second thread


def transpose_into(matrix: Floats, out: Floats) -> None:
    """Copy `matrix` [rows, columns] to `out` [columns, rows]; both in C order."""
    rows, columns = matrix.shape
    run_parts(_transpose, split(columns, 1 + _LEAST_ELEMENTS // max(rows, 1), _BLOCK), matrix, out)


@njit(nogil=True, cache=True)
def _transpose(matrix: Floats, out: Floats, start: int, stop: int) -> None:
    """Fill rows start..stop of `out`."""
    rows = matrix.shape[0]
    for column in range(start, stop, _BLOCK):
        last_column = min(column + _BLOCK, stop)
        for row in range(0, rows, _BLOCK):
            last_row = min(row + _BLOCK, rows)
            for c in range(column, last_column):
                for r in range(row, last_row):
                    out[c, r] = matrix[r, c]
