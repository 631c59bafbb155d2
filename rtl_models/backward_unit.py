"""The sparse backward unit: weighted sums of compressed gradients, for the outputs whose mask bit is set only.

A work item is the channel tile of one output position. Items come in groups of up to `items_in_flight`; while one group
is computed, the masks of the next are compacted and the sums of the one before are sent. See `backward_unit` for the
streams.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from myhdl import ConcatSignal, Signal, always, always_comb, block, modbv

from rtl_models.backward_compactor import mask_compactor
from rtl_models.backward_control import drain_control, element_issue, group_control, pipeline_control
from rtl_models.backward_lane import backward_lane
from rtl_models.errors import InputError
from rtl_models.formats import BINARY16, BINARY32, FloatFormat
from rtl_models.units import Field, Stream, Unit

LARGEST_TILE = 1024  # channels: a weight row is one beat
LARGEST_GROUP = 64
LONGEST_LATENCY_CYCLES = 64


@dataclass(frozen=True)
class BackwardUnitGeometry:
    """What a backward unit is made of; only the formats change its bits, the rest its cycles.

    Raises InputError for a value outside its range.
    """

    lanes: int = 16
    """Multiply-accumulate lanes."""
    channel_tile: int = 64
    """Channels of a weight row and of a mask."""
    items_in_flight: int = 4
    """Items of a group."""
    adder_latency_cycles: int = 4
    value_format: FloatFormat = BINARY16
    sum_format: FloatFormat = BINARY32

    def __post_init__(self) -> None:
        where = "backward unit"
        if not 1 <= self.channel_tile <= LARGEST_TILE:
            raise InputError("channel tile", where, self.channel_tile, f"1..{LARGEST_TILE}")
        if not 1 <= self.lanes <= self.channel_tile:
            raise InputError("number of lanes", where, self.lanes, f"1..{self.channel_tile} (channel tile)")
        if not 1 <= self.items_in_flight <= LARGEST_GROUP:
            raise InputError("items in flight", where, self.items_in_flight, f"1..{LARGEST_GROUP}")
        if not 1 <= self.adder_latency_cycles <= LONGEST_LATENCY_CYCLES:
            raise InputError("adder_latency_cycles", where, self.adder_latency_cycles, f"1..{LONGEST_LATENCY_CYCLES}")
        if not self.sum_format.holds(self.value_format):
            raise InputError(
                f"sum format cannot hold {self.value_format.name}",
                where,
                self.sum_format.name,
                "a format at least as wide",
            )

    @property
    def slot_bits(self) -> int:
        """Width of a slot number."""
        return max(1, (self.items_in_flight - 1).bit_length())


def backward_unit(geometry: BackwardUnitGeometry) -> Unit:
    """Return the unit with the streams item, gradient (in) and sums (out).

    item: an item's mask (bit c = channel c is wanted; never all zero), `empty` if no gradient comes for it, `last` if
    it ends its group. The n-th item of a group has slot n.
    gradient: an element: one gradient, the weight row of its channels (channel 0 lowest) and its item's slot; `last` if
    it is the slot's last one. A group's elements come before those of the next group, in any order of slots.
    sums: per item, in order, its sums as bit patterns of the sum format, channels ascending, `lanes` a beat (lane 0
    lowest); `count` of them are sums, the others +0; `last` ends the item.
    """
    g = geometry
    value, total = g.value_format, g.sum_format
    return Unit(
        name=f"backward_l{g.lanes}_c{g.channel_tile}_i{g.items_in_flight}",
        block=sparse_backward_unit,
        parameters={
            "lanes": g.lanes,
            "slots": g.items_in_flight,
            "value_exponent_bits": value.exponent_bits,
            "value_fraction_bits": value.fraction_bits,
            "sum_exponent_bits": total.exponent_bits,
            "sum_fraction_bits": total.fraction_bits,
            "adder_latency": g.adder_latency_cycles,
        },
        inputs=(
            Stream("item", (Field("mask", g.channel_tile), Field("empty", 1), Field("last", 1))),
            Stream(
                "gradient",
                (
                    Field("slot", g.slot_bits),
                    Field("value", value.width_bits),
                    Field("row", g.channel_tile * value.width_bits),
                    Field("last", 1),
                ),
            ),
        ),
        outputs=(
            Stream(
                "sums",
                (Field("data", g.lanes * total.width_bits), Field("count", g.lanes.bit_length()), Field("last", 1)),
            ),
        ),
    )


@block
def hold_word(clk: Any, enable: Any, d: Any, q: Any) -> Any:
    """Take `d` into the register `q` at the end of a cycle in which `enable` is 1."""

    @always(clk.posedge)
    def keep() -> None:
        if enable:
            q.next = d

    return keep


@block
def sparse_backward_unit(
    clk: Any,
    rst: Any,
    item_valid: Any,
    item_ready: Any,
    item_mask: Any,
    item_empty: Any,
    item_last: Any,
    gradient_valid: Any,
    gradient_ready: Any,
    gradient_slot: Any,
    gradient_value: Any,
    gradient_row: Any,
    gradient_last: Any,
    sums_valid: Any,
    sums_ready: Any,
    sums_data: Any,
    sums_count: Any,
    sums_last: Any,
    lanes: int,
    slots: int,
    value_exponent_bits: int,
    value_fraction_bits: int,
    sum_exponent_bits: int,
    sum_fraction_bits: int,
    adder_latency: int,
) -> Any:
    """One backward unit; ports and behaviour as `backward_unit` says, cycles as docs/rtl.md says."""
    channels = len(item_mask)
    slot_bits = len(gradient_slot)
    chunks = -(-channels // lanes)
    address_bits = 1 + slot_bits + max(1, (chunks - 1).bit_length())
    value_width = 1 + value_exponent_bits + value_fraction_bits
    sum_width = 1 + sum_exponent_bits + sum_fraction_bits
    formats = (value_exponent_bits, value_fraction_bits, sum_exponent_bits, sum_fraction_bits)

    # by (group modulo 4, slot): one group is compacted, one computed, one drained
    # wide enough for channels + 1, so that no comparison with the lanes is constant
    counts = [Signal(modbv(0)[(channels + 1).bit_length() :]) for _ in range(4 << slot_bits)]

    activate, compacted, list_write = (Signal(bool(0)) for _ in range(3))
    next_group, group = (Signal(modbv(0)[2:]) for _ in range(2))
    next_slot, last_slot = (Signal(modbv(0)[slot_bits:]) for _ in range(2))
    next_filled, filled, left, started = (Signal(modbv(0)[1 << slot_bits :]) for _ in range(4))
    list_address, address, add_address, write_address, load_address = (
        Signal(modbv(0)[address_bits:]) for _ in range(5)
    )
    list_lane = Signal(modbv(0)[max(1, (lanes - 1).bit_length()) :])
    list_channel = Signal(modbv(0)[max(1, (channels - 1).bit_length()) :])
    compactor = mask_compactor(
        clk, rst, item_valid, item_ready, item_mask, item_empty, item_last, activate, compacted, next_group, next_slot,
        next_filled, list_write, list_address, list_lane, list_channel, counts, lanes,
    )  # fmt: skip

    take, retire, computing, draining, draining_bank = (Signal(bool(0)) for _ in range(5))
    groups = group_control(
        clk, rst, compacted, next_group, next_slot, next_filled, take, gradient_slot, gradient_last, draining,
        activate, retire, computing, group, last_slot, filled, left, started,
    )  # fmt: skip
    busy, bank, first = (Signal(bool(0)) for _ in range(3))
    value, multiplicand = (Signal(modbv(0)[value_width:]) for _ in range(2))
    issue = element_issue(
        clk, rst, gradient_valid, gradient_ready, gradient_slot, gradient_value, computing, group, left, started,
        counts, take, busy, bank, address, value, first, lanes, adder_latency,
    )  # fmt: skip
    add_first, write, under_way = (Signal(bool(0)) for _ in range(3))
    pipeline = pipeline_control(
        clk, rst, busy, bank, address, first, draining_bank, add_address, add_first, write, write_address, under_way,
        adder_latency,
    )  # fmt: skip
    load = Signal(bool(0))
    load_count = Signal(modbv(0)[lanes.bit_length() :])
    drain = drain_control(
        clk, rst, retire, group, last_slot, filled, under_way, counts, draining, draining_bank, load, load_address,
        load_count, sums_valid, sums_ready, sums_count, sums_last, lanes,
    )  # fmt: skip

    weights = [Signal(modbv(0)[value_width:]) for _ in range(channels)]
    parts = [hold_word(clk, True, value, multiplicand)]
    for channel in range(channels):
        word = gradient_row((channel + 1) * value_width, channel * value_width) if channels > 1 else gradient_row
        parts.append(hold_word(clk, take, word, weights[channel]))
    sums = [Signal(modbv(0)[sum_width:]) for _ in range(lanes)]
    for lane in range(lanes):
        parts.append(
            backward_lane(
                clk,
                list_write,
                list_lane,
                list_address,
                list_channel,
                address,
                weights,
                multiplicand,
                add_address,
                add_first,
                write,
                write_address,
                load,
                load_address,
                load_count,
                sums[lane],
                lane,
                *formats,
                adder_latency,
            )
        )
    together = ConcatSignal(*reversed(sums)) if lanes > 1 else sums[0]

    @always_comb
    def drive() -> None:
        sums_data.next = together

    return compactor, groups, issue, pipeline, drain, parts, drive
