"""The mask compactor of the backward unit: turns an item's mask into the list of its active channels.

One active channel a cycle, ascending; the lists of a group are written while the group before it is computed.
"""

from __future__ import annotations

from typing import Any

from myhdl import Signal, always, always_comb, block, concat, downrange, modbv


@block
def mask_compactor(
    clk: Any,
    rst: Any,
    item_valid: Any,
    item_ready: Any,
    item_mask: Any,
    item_empty: Any,
    item_last: Any,
    activate: Any,
    compacted: Any,
    group: Any,
    slot: Any,
    filled: Any,
    list_write: Any,
    list_address: Any,
    list_lane: Any,
    list_channel: Any,
    counts: list[Any],
    lanes: int,
) -> Any:
    """Take the items of a group, slot by slot, and write their lists and counts of active channels.

    compacted: the group's last channel is written in this cycle or was before; `activate`: the group is computed from
    the next cycle on, and `group` (modulo 4), `slot` (its last) and `filled` (the slots with gradients) describe it.
    list_write: lane `list_lane` takes `list_channel` as entry `list_address` of its list (bank, slot, chunk).
    counts[group, slot] is the item's number of active channels.
    """
    CHANNELS = len(item_mask)
    pending, rest = (Signal(modbv(0)[CHANNELS:]) for _ in range(2))
    count, counted = (Signal(modbv(0)[len(counts[0]) :]) for _ in range(2))
    next_slot = Signal(modbv(0)[len(slot) :])
    chunk = Signal(modbv(0)[len(list_address) - len(slot) - 1 :])
    count_address = Signal(modbv(0)[len(slot) + 2 :])
    bank, closed, finishing, take, last_channel = (Signal(bool(0)) for _ in range(5))

    @always_comb
    def find_first() -> None:
        below = modbv(0)[CHANNELS:]
        below[:] = pending - 1
        rest.next = pending & below
        list_write.next = pending != 0
        list_channel.next = 0
        if pending != 0:
            for channel in downrange(CHANNELS):
                if pending[channel]:
                    list_channel.next = channel

    @always_comb
    def make_addresses() -> None:
        bank.next = group[0]
        counted.next = count + 1
        count_address.next = concat(group, slot)

    @always_comb
    def make_list_address() -> None:
        list_address.next = concat(bank, slot, chunk)

    @always_comb
    def decide() -> None:
        finishing.next = rest == 0
        last_channel.next = rest == 0 and pending != 0

    @always_comb
    def handshake() -> None:
        item_ready.next = finishing and not closed
        take.next = item_valid and finishing and not closed
        compacted.next = finishing and closed

    @always(clk.posedge)
    def walk() -> None:
        if rst:
            pending.next = 0
        elif take:
            pending.next = item_mask
        else:
            pending.next = rest
        if take:
            slot.next = next_slot
            count.next = 0
            chunk.next = 0
            list_lane.next = 0
        else:
            count.next = counted
            if list_lane == lanes - 1:
                list_lane.next = 0
                chunk.next = chunk + 1
            else:
                list_lane.next = list_lane + 1
        if last_channel:
            counts[count_address].next = counted

    @always(clk.posedge)
    def gather() -> None:
        if rst:
            closed.next = 0
            group.next = 0
            next_slot.next = 0
            filled.next = 0
        elif activate:
            closed.next = 0
            group.next = group + 1
            next_slot.next = 0
            filled.next = 0
        elif take:
            closed.next = item_last
            next_slot.next = next_slot + 1
            filled.next[next_slot] = not item_empty

    return find_first, make_addresses, make_list_address, decide, handshake, walk, gather
