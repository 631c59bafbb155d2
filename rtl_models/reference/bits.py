"""The bit pattern of a binary32 number inside a Numba kernel, and back: one LLVM bitcast each."""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic


@intrinsic
def float_bits(typing_context: Any, value: Any) -> Any:
    """Return the pattern (uint32) of a binary32 number."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), emit


@intrinsic
def bits_float(typing_context: Any, bits: Any) -> Any:
    """Return the binary32 number of a pattern (uint32)."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), emit
