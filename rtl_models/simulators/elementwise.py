"""A Verilated function of two operands without a clock, applied to whole arrays inside one compiled loop.

For combinational units only: the ready/valid handshake is left out, which makes an element several times cheaper than
a beat of `VerilatorSimulator`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from rtl_models.simulators.build import build_unit
from rtl_models.simulators.wrapper import Variant
from rtl_models.units import Unit

WIDEST_BITS = 32
"""PyVerilator's accessors of narrower ports pass one machine word; so does this loop."""
BARE = Variant(interactive=True)
"""The model without the batch driver's harness, whose registers would stand between operands and result."""

_Model = ctypes.c_void_p
_Word = ctypes.c_uint32
_Operands = NDArray[np.uint32]


class VerilatedFunction:
    """A unit whose one output field is a function of its two input fields, in the same cycle.

    Raises InputError for a unit of any other shape. Not for several threads at once: there is one model behind it.
    """

    def __init__(self, unit: Unit, library: Path | None = None) -> None:
        """Load `library`, an already built shared object of `unit` in the variant `BARE`, or build the unit's own."""
        ports = [[(f"{s.name}_{f.name}", f.width_bits) for s in side for f in s.fields] for side in _sides(unit)]
        if [len(side) for side in ports] != [2, 1] or any(w > WIDEST_BITS for side in ports for _, w in side):
            got = [width for side in ports for _, width in side]
            raise InputError(
                "unit is not a function of two operands, field widths", unit.name, got, f"2 + 1, <= {WIDEST_BITS} bits"
            )
        shared = ctypes.CDLL(str(library or build_unit(unit, BARE)))
        (a, b), (result,) = ([name for name, _ in side] for side in ports)
        set_a = _function(shared, f"set_{a}", ctypes.c_int, _Model, _Word)
        set_b = _function(shared, f"set_{b}", ctypes.c_int, _Model, _Word)
        evaluate = _function(shared, "eval", ctypes.c_int, _Model)
        get_result = _function(shared, f"get_{result}", _Word, _Model)
        self._model = _function(shared, "construct", ctypes.c_void_p)()
        self._pairs, self._grid = _compile_loops(set_a, set_b, evaluate, get_result)

    def of_pairs(self, a: _Operands, b: _Operands) -> _Operands:
        """Return the results [n] of the operand pairs a [n], b [n], which must fit the ports' widths."""
        results = np.empty(a.size, np.uint32)
        self._pairs(self._model, a, b, results)
        return results

    def of_grid(self, a: _Operands, b: _Operands) -> _Operands:
        """Return the results [len(a), len(b)] of every a with every b."""
        results = np.empty((a.size, b.size), np.uint32)
        self._grid(self._model, a, b, results)
        return results


def _sides(unit: Unit) -> tuple[Any, Any]:
    return unit.inputs, unit.outputs


def _function(shared: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    """Return a function of the shared object with its C type, as compiled loops need it."""
    function = shared[name]
    function.restype = result
    function.argtypes = arguments
    return function


def _compile_loops(
    set_a: Any, set_b: Any, evaluate: Any, get_result: Any
) -> tuple[Callable[..., None], Callable[..., None]]:
    @numba.njit
    def pairs(model: int, a: _Operands, b: _Operands, results: _Operands) -> None:
        for i in range(a.size):
            set_a(model, a[i])
            set_b(model, b[i])
            evaluate(model)
            results[i] = get_result(model)

    @numba.njit
    def grid(model: int, a: _Operands, b: _Operands, results: _Operands) -> None:
        for i in range(a.size):
            set_a(model, a[i])
            for j in range(b.size):
                set_b(model, b[j])
                evaluate(model)
                results[i, j] = get_result(model)

    return pairs, grid
