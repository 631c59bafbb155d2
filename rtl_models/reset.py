"""How a neuron resets after a spike: to zero or by a subtraction, with a gradient or detached (docs/contract.md)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Reset(NamedTuple):
    """`subtract`: take `drop` (binary32) off the leaked potential, else set it to zero; `detached`: has no gradient."""

    subtract: bool = False
    drop: np.float32 = np.float32(0.0)
    detached: bool = False


TO_ZERO = Reset()
