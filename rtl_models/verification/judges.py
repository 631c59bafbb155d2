"""Two independent judges of sums and products: NumPy's own floating point, and Berkeley SoftFloat.

Results are bit patterns in the project's convention: a NaN is the format's canonical one.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from rtl_models.formats import BINARY16, BINARY32, FloatFormat

Operands = NDArray[np.uint32]
OPERATIONS = {"add": np.add, "mul": np.multiply}


class Judge(Protocol):
    """Says what ``a operation b`` is, for whole arrays that broadcast against each other."""

    def __call__(self, operation: str, fmt: FloatFormat, a: Operands, b: Operands) -> Operands:
        """Return the patterns of the results; raises InputError for a format or operation it does not know."""


def numpy_judge(operation: str, fmt: FloatFormat, a: Operands, b: Operands) -> Operands:
    """Judge by NumPy: binary32 in the processor, binary16 as a binary32 operation rounded to binary16.

    The second rounding is harmless: a binary16 product is exact in binary32 (22 of 24 bits), and for a sum 24 bits are
    at least 2 * 11 + 2 (Figueroa, "When is double rounding innocuous?", SIGNUM 30(3), 1995).
    """
    _check(operation, fmt, "numpy")
    number: Any = np.float16 if fmt == BINARY16 else np.float32
    with np.errstate(all="ignore"):
        values = OPERATIONS[operation](a.astype(fmt.bits_dtype).view(number), b.astype(fmt.bits_dtype).view(number))
    return canonical(values.view(fmt.bits_dtype).astype(np.uint32), fmt)


def softfloat_judge(operation: str, fmt: FloatFormat, a: Operands, b: Operands) -> Operands:
    """Judge by Berkeley SoftFloat, of which the package softfloatpy brings a compiled copy."""
    _check(operation, fmt, "softfloat")
    a, b = np.broadcast_arrays(a, b)
    results = np.empty(a.shape, np.uint32)
    _softfloat_loop(operation, fmt)(a.ravel(), b.ravel(), results.ravel())
    return canonical(results, fmt)


JUDGES: dict[str, Judge] = {"numpy": numpy_judge, "softfloat": softfloat_judge}


def softfloat_is_installed() -> bool:
    """Return whether softfloatpy can be imported."""
    return importlib.util.find_spec("softfloatpy") is not None


def canonical(bits: Operands, fmt: FloatFormat) -> Operands:
    """Return the patterns with the canonical NaN in the place of every NaN; changes `bits`."""
    infinity = np.uint32(((1 << fmt.exponent_bits) - 1) << fmt.fraction_bits)
    magnitude = np.uint32((1 << (fmt.width_bits - 1)) - 1)
    bits[(bits & magnitude) > infinity] = fmt.canonical_nan
    return bits


def _check(operation: str, fmt: FloatFormat, judge: str) -> None:
    if operation not in OPERATIONS:
        raise InputError("unknown operation", f"judge {judge}", operation, ", ".join(OPERATIONS))
    if fmt not in (BINARY16, BINARY32):
        raise InputError("format without a judge", f"judge {judge}", fmt.name, "binary16, binary32")


@cache
def _softfloat_loop(operation: str, fmt: FloatFormat) -> Callable[[Operands, Operands, Operands], None]:
    """Return a compiled loop over SoftFloat's own C function, whose rounding mode starts as nearest even."""
    if not softfloat_is_installed():
        raise InputError("package not installed (pip install softfloatpy)", "judge", "softfloat", ", ".join(JUDGES))
    core = importlib.import_module("softfloatpy._core")
    # the package calls these through objects, a microsecond each; the compiled functions are exported beside them
    function = ctypes.CDLL(str(core.__file__))[f"f{fmt.width_bits}_{operation}"]
    word = ctypes.c_uint16 if fmt == BINARY16 else ctypes.c_uint32
    function.argtypes, function.restype = (word, word), word

    @numba.njit
    def loop(a: Operands, b: Operands, results: Operands) -> None:
        for i in range(a.size):
            results[i] = function(a[i], b[i])

    return loop  # type: ignore[no-any-return]
