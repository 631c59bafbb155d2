"""The bounded FIFO: beats of one stream wait in order; a beat may leave in the cycle after it came."""

from __future__ import annotations

from typing import Any

from myhdl import Signal, always, always_comb, block, modbv

from rtl_models.errors import InputError
from rtl_models.units import Field, Stream, Unit


def fifo_unit(depth: int, width_bits: int) -> Unit:
    """Return a FIFO that holds `depth` beats of `width_bits`, with the streams put (data) and get (data).

    It takes beats until it is full; a full one takes the next beat in the cycle after one has left. Raises InputError
    for a depth or width below 1.
    """
    for what, number in (("depth", depth), ("width_bits", width_bits)):
        if number < 1:
            raise InputError(what, "FIFO", number, "1 or more")
    data = (Field("data", width_bits),)
    return Unit(f"fifo_{depth}x{width_bits}", fifo, {"depth": depth}, (Stream("put", data),), (Stream("get", data),))


@block
def fifo(
    clk: Any,
    rst: Any,
    put_valid: Any,
    put_ready: Any,
    put_data: Any,
    get_valid: Any,
    get_ready: Any,
    get_data: Any,
    depth: int,
) -> Any:
    """One FIFO; ports and behaviour as `fifo_unit` says."""
    LAST = depth - 1
    memory = [Signal(modbv(0)[len(put_data) :]) for _ in range(depth)]
    read, write = (Signal(modbv(0)[max(1, LAST.bit_length()) :]) for _ in range(2))
    level = Signal(modbv(0)[depth.bit_length() :])
    put, get = (Signal(bool(0)) for _ in range(2))

    @always_comb
    def handshake() -> None:
        put_ready.next = level < depth
        get_valid.next = level > 0
        get_data.next = memory[read]
        put.next = put_valid and level < depth
        get.next = get_ready and level > 0

    @always(clk.posedge)
    def store() -> None:
        if put:
            memory[write].next = put_data

    @always(clk.posedge)
    def move() -> None:
        if rst:
            read.next = 0
            write.next = 0
            level.next = 0
        else:
            if put:
                if write == LAST:
                    write.next = 0
                else:
                    write.next = write + 1
            if get:
                if read == LAST:
                    read.next = 0
                else:
                    read.next = read + 1
            if put and not get:
                level.next = level + 1
            elif get and not put:
                level.next = level - 1

    return handshake, store, move
