"""Rows that are wrong in one way: the co-simulation must tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from myhdl import Signal, always, always_comb, block, modbv

from rtl_models.lut_row import LutRowGeometry, lut_row, lut_row_unit
from rtl_models.units import Unit


def slow_row(geometry: LutRowGeometry) -> Unit:
    """A row whose adder takes one cycle more: right bits, wrong cycles."""
    return lut_row_unit(replace(geometry, adder_latency_cycles=geometry.adder_latency_cycles + 1))


def crossed_row(geometry: LutRowGeometry) -> Unit:
    """A row of four lanes that adds lanes 0 and 2, then 1 and 3: wrong bits where additions round, right cycles."""
    return replace(lut_row_unit(geometry), name="crossed_row", block=crossed_lut_row)


def silent_row(geometry: LutRowGeometry) -> Unit:
    """A unit that takes everything and never sends."""
    return replace(lut_row_unit(geometry), name="silent_row", block=silent_lut_row)


@block
def crossed_lut_row(
    clk: Any,
    rst: Any,
    load_valid: Any,
    load_ready: Any,
    load_data: Any,
    index_valid: Any,
    index_ready: Any,
    index_index: Any,
    index_init: Any,
    index_start: Any,
    index_double: Any,
    index_subtract: Any,
    index_emit: Any,
    index_last: Any,
    out_valid: Any,
    out_ready: Any,
    out_data: Any,
    **parameters: int,
) -> Any:
    """`lut_row` with lanes 1 and 2 exchanged on both input streams."""
    crossed_load = Signal(modbv(0)[len(load_data) :])
    crossed_index = Signal(modbv(0)[len(index_index) :])
    row = lut_row(
        clk=clk,
        rst=rst,
        load_valid=load_valid,
        load_ready=load_ready,
        load_data=crossed_load,
        index_valid=index_valid,
        index_ready=index_ready,
        index_index=crossed_index,
        index_init=index_init,
        index_start=index_start,
        index_double=index_double,
        index_subtract=index_subtract,
        index_emit=index_emit,
        index_last=index_last,
        out_valid=out_valid,
        out_ready=out_ready,
        out_data=out_data,
        **parameters,
    )
    return cross_middle(load_data, crossed_load), cross_middle(index_index, crossed_index), row


@block
def silent_lut_row(
    clk: Any,
    rst: Any,
    load_valid: Any,
    load_ready: Any,
    load_data: Any,
    index_valid: Any,
    index_ready: Any,
    index_index: Any,
    index_init: Any,
    index_start: Any,
    index_double: Any,
    index_subtract: Any,
    index_emit: Any,
    index_last: Any,
    out_valid: Any,
    out_ready: Any,
    out_data: Any,
    **parameters: int,
) -> Any:
    """A unit with the ports of the row that takes every beat and keeps it."""
    kept = Signal(bool(0))

    @always_comb
    def take() -> None:
        load_ready.next = not rst
        index_ready.next = not rst
        out_valid.next = rst and kept and out_ready
        out_data.next = index_init

    @always(clk.posedge)
    def keep() -> None:
        seen = modbv(0)[3:]
        seen[0] = load_valid and load_data != 0
        seen[1] = index_valid and index_index != 0
        seen[2] = index_start or index_double or index_subtract or index_emit or index_last
        kept.next = seen != 0

    return take, keep


@block
def cross_middle(bus: Any, crossed: Any) -> Any:
    """Exchange the second and third quarter of a bus."""
    QUARTER = len(bus) // 4
    HALF = 2 * QUARTER
    REST = 3 * QUARTER
    WIDTH = len(bus)

    @always_comb
    def cross() -> None:
        crossed.next[QUARTER:0] = bus[QUARTER:0]
        crossed.next[HALF:QUARTER] = bus[REST:HALF]
        crossed.next[REST:HALF] = bus[HALF:QUARTER]
        crossed.next[WIDTH:REST] = bus[WIDTH:REST]

    return cross
