"""What a model is fed, as the machine takes it: spikes, or bytes times a power of two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from workloads.forward import Inputs
from workloads.network import DIRECT, SPIKES

_MOST_EXPONENT = 16  # of a network file


@dataclass(frozen=True)
class EncodedInputs:
    """Bytes [B, H, W, C] or spikes [T, B, H, W, C]; a number of the model is byte x 2^-exponent x `factor`.

    `factor` goes into the first weights; `error` is the largest difference to the model's numbers.
    """

    values: Inputs
    coding: str
    exponent: int = 0
    signed: bool = False
    factor: float = 1.0
    error: float = 0.0
    note: str = ""


def encode_inputs(inputs: NDArray[np.float32], where: str) -> EncodedInputs:
    """Encode numbers [T, B, H, W, C], or [1, ...] where every timestep is known to be the same.

    Raises InputError for numbers that are not finite, and for inputs that change over time and are not 0 and 1.
    """
    if not np.isfinite(inputs).all():
        raise InputError("an input is not finite", where)
    if len(inputs) > 1 and not (inputs[1:] == inputs[:1]).all():
        if not np.isin(inputs, (0.0, 1.0)).all():
            what = "inputs that change over time must be spikes"
            raise InputError(what, where, f"values from {inputs.min():g} to {inputs.max():g}", "0, 1")
        return EncodedInputs(inputs.astype(np.uint8), SPIKES)
    return _bytes(inputs[0])


def _bytes(picture: NDArray[np.float32]) -> EncodedInputs:
    """Encode the same numbers of every timestep, exactly where that can be."""
    signed = bool(picture.min() < 0)
    least, most = (-128, 127) if signed else (0, 255)
    numbers = picture.astype(np.float64)
    for exponent in range(_MOST_EXPONENT + 1):
        scaled = np.ldexp(numbers, exponent)
        if scaled.min() < least or scaled.max() > most:
            break
        if (scaled == np.rint(scaled)).all():
            return EncodedInputs(_as_bytes(scaled, signed), DIRECT, exponent, signed)
    if not signed and most * picture.max() <= most:
        rounded = np.rint(numbers * most)
        if (rounded.astype(np.float32) / np.float32(most) == picture).all():
            note = "inputs are bytes / 255; to the machine they are bytes / 256, and the first weights 256/255 as large"
            return EncodedInputs(rounded.astype(np.uint8), DIRECT, 8, False, 256.0 / most, 0.0, note)
    exponent = 7 if signed else 8
    step = float(np.abs(numbers).max()) / most
    rounded = np.rint(numbers / step)
    error = float(np.abs(rounded * step - numbers).max())
    note = (
        f"inputs are rounded to {'signed ' if signed else ''}bytes x {step:.6g}, largest difference {error:.3g}; "
        f"the factor {step * 2**exponent:.6g} is in the first weights"
    )
    return EncodedInputs(_as_bytes(rounded, signed), DIRECT, exponent, signed, step * 2**exponent, error, note)


def _as_bytes(numbers: NDArray[np.float64], signed: bool) -> Inputs:
    return numbers.astype(np.int8) if signed else numbers.astype(np.uint8)
