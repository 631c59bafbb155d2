"""One multiply-accumulate lane of the backward unit: selects its channel's weight, multiplies, and adds to its sums."""

from __future__ import annotations

from typing import Any

from myhdl import Signal, always, always_comb, block, modbv

from rtl_models.arithmetic.adder import float_adder
from rtl_models.arithmetic.multiplier import float_multiplier
from rtl_models.arithmetic.pipeline import ALWAYS, delay_line, delayed


@block
def backward_lane(
    clk: Any,
    list_write: Any,
    list_lane: Any,
    list_address: Any,
    list_channel: Any,
    address: Any,
    weights: list[Any],
    gradient: Any,
    add_address: Any,
    add_first: Any,
    write: Any,
    write_address: Any,
    load: Any,
    load_address: Any,
    load_count: Any,
    out: Any,
    lane: int,
    value_exponent_bits: int,
    value_fraction_bits: int,
    sum_exponent_bits: int,
    sum_fraction_bits: int,
    adder_latency: int,
) -> Any:
    """Hold the lane's part of the lists of active channels and of the sums, both by (bank, slot, chunk).

    A chunk at `address` selects one of `weights` in that cycle and is multiplied by `gradient` in the next, where the
    product is rounded to the sum format; then it is added to the sum at `add_address`, or to +0 if `add_first`. The
    output register takes the sum at `load_address` on `load` (+0 beyond `load_count`).
    """
    VALUE_SIGN = value_exponent_bits + value_fraction_bits
    SIGN = sum_exponent_bits + sum_fraction_bits
    DEPTH = 1 << len(address)
    channels = [Signal(modbv(0)[len(list_channel) :]) for _ in range(DEPTH)]
    sums = [Signal(modbv(0)[SIGN + 1 :]) for _ in range(DEPTH)]
    channel = Signal(modbv(0)[len(list_channel) :])
    weight = Signal(modbv(0)[VALUE_SIGN + 1 :])
    product, product_held, operand, added = (Signal(modbv(0)[SIGN + 1 :]) for _ in range(4))
    result = delayed(added, adder_latency - 1)

    @always(clk.posedge)
    def list_channels() -> None:
        if list_write and list_lane == lane:
            channels[list_address].next = list_channel

    @always_comb
    def find() -> None:
        channel.next = channels[address]

    @always(clk.posedge)
    def select() -> None:
        weight.next = weights[channel]
        product_held.next = product

    @always_comb
    def choose() -> None:
        operand.next = sums[add_address]
        if add_first:
            operand.next = 0

    @always(clk.posedge)
    def keep() -> None:
        if write:
            sums[write_address].next = result

    @always(clk.posedge)
    def send() -> None:
        if load:
            out.next = 0
            if load_count > lane:
                out.next = sums[load_address]

    multiplier = float_multiplier(
        weight,
        gradient,
        product,
        value_exponent_bits,
        value_fraction_bits,
        value_exponent_bits,
        value_fraction_bits,
        sum_exponent_bits,
        sum_fraction_bits,
    )
    adder = float_adder(operand, product_held, added, sum_exponent_bits, sum_fraction_bits)
    wait = delay_line(clk, ALWAYS, added, result, adder_latency - 1) if adder_latency > 1 else ()
    return list_channels, find, select, choose, keep, send, multiplier, adder, wait
