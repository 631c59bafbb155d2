"""The blocked transposition equals NumPy's, whatever the shape and the number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from rtl_models.reference.threads import set_threads
from rtl_models.reference.transpose import transpose_into


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (70, 1), (31, 33), (32, 64), (100, 2000), (2000, 100)])
def test_equals_numpy(shape: tuple[int, int], threads: int) -> None:
    matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    out = np.full(shape[::-1], np.nan, np.float32)
    set_threads(threads)
    try:
        transpose_into(matrix, out)
    finally:
        set_threads(0)
    assert np.array_equal(out, matrix.T)
