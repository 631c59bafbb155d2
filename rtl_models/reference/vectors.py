"""The innermost loops of the reference in LLVM vectors: trees over table rows, and chains of products.

Written in Numba, they would first test all their pointers for overlap, at each of their many short runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LEAVES = 8  # rows that `add_leaves` sums
TILE = 16  # rows that `add_tile` sums
VECTOR = 8  # sums worked out at a time; tables are padded to a multiple
CHUNK = 32  # sums that `add_products` keeps in registers
_FLOATS = ir.VectorType(ir.FloatType(), VECTOR)
_ALIGN_BYTES = 4


@intrinsic
def add_leaves(typing_context: Any, tables: Any, offsets: Any, out: Any, at: Any, width: Any) -> Any:
    """out[at + m] = ((t0 + t1) + (t2 + t3)) + ((t4 + t5) + (t6 + t7)), t_j = tables[offsets[j] + m], m < width.

    All arrays are flat; tables and out float32, offsets, at and width int64; `width` is a multiple of VECTOR.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        with _vectors(context, builder, signature, arguments, LEAVES) as (terms, place):
            builder.store(_tree(builder, terms), place, align=_ALIGN_BYTES)
        return context.get_dummy_value()

    return types.void(tables, offsets, out, types.int64, types.int64), emit


@intrinsic
def add_tile(typing_context: Any, tables: Any, offsets: Any, psum: Any, at: Any, width: Any) -> Any:
    """psum[at + m] = psum[at + m] + the tree over t_0 .. t_15; arguments as of `add_leaves`, sixteen offsets."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        with _vectors(context, builder, signature, arguments, TILE) as (terms, place):
            before = builder.load(place, align=_ALIGN_BYTES)
            builder.store(builder.fadd(before, _tree(builder, terms)), place, align=_ALIGN_BYTES)
        return context.get_dummy_value()

    return types.void(tables, offsets, psum, types.int64, types.int64), emit


@intrinsic
def add_products(
    typing_context: Any, weights: Any, offsets: Any, factors: Any, count: Any, first: Any, sums: Any, at: Any
) -> Any:
    """sums[at + c] += factors[i] weights[offsets[i] + first + c], i = 0 .. count - 1 in turn, for every c < CHUNK.

    All arrays are flat; weights, factors and sums float32, offsets, count, first and at int64. Every product is rounded
    before it is added.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        weights_at, offsets_at, factors_at, sums_at = (
            context.make_array(signature.args[place])(context, builder, arguments[place]).data for place in (0, 1, 2, 5)
        )
        count, first, at = arguments[3], arguments[4], arguments[6]
        steps = [ir.Constant(count.type, step) for step in range(0, CHUNK, VECTOR)]
        places = [_vector_at(builder, builder.gep(sums_at, [at]), step) for step in steps]
        totals = [cgutils.alloca_once_value(builder, builder.load(place, align=_ALIGN_BYTES)) for place in places]
        with cgutils.for_range(builder, count) as loop:
            offset = builder.add(builder.load(builder.gep(offsets_at, [loop.index])), first)
            row = builder.gep(weights_at, [offset])
            factor = _broadcast(builder, builder.load(builder.gep(factors_at, [loop.index])))
            for total, step in zip(totals, steps, strict=True):
                weight = builder.load(_vector_at(builder, row, step), align=_ALIGN_BYTES)
                builder.store(builder.fadd(builder.load(total), builder.fmul(factor, weight)), total)
        for total, place in zip(totals, places, strict=True):
            builder.store(builder.load(total), place, align=_ALIGN_BYTES)
        return context.get_dummy_value()

    word = types.int64
    return types.void(weights, offsets, factors, word, word, sums, word), emit


def _broadcast(builder: Any, number: Any) -> Any:
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), VECTOR), [0] * VECTOR)
    empty = ir.Constant(_FLOATS, ir.Undefined)
    placed = builder.insert_element(empty, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(placed, empty, lanes)


@contextmanager
def _vectors(context: Any, builder: Any, signature: Any, arguments: Any, rows: int) -> Iterator[tuple[list[Any], Any]]:
    """Loop over m in steps of VECTOR; yield the vectors of all table rows there, and where the result belongs."""
    tables, offsets, out = (
        context.make_array(kind)(context, builder, value).data
        for kind, value in zip(signature.args[:3], arguments[:3], strict=True)
    )
    at, width = arguments[3:]
    word = width.type
    starts = [
        builder.gep(tables, [builder.load(builder.gep(offsets, [ir.Constant(word, row)]))]) for row in range(rows)
    ]
    target = builder.gep(out, [at])
    step = ir.Constant(word, VECTOR)
    with cgutils.for_range_slice(builder, ir.Constant(word, 0), width, step, word) as (m, _):
        terms = [builder.load(_vector_at(builder, start, m), align=_ALIGN_BYTES) for start in starts]
        yield terms, _vector_at(builder, target, m)


def _tree(builder: Any, terms: list[Any]) -> Any:
    while len(terms) > 1:
        terms = [builder.fadd(a, b) for a, b in zip(terms[::2], terms[1::2], strict=True)]
    return terms[0]


def _vector_at(builder: Any, row: Any, m: Any) -> Any:
    return builder.bitcast(builder.gep(row, [m]), _FLOATS.as_pointer())
