"""Control of the backward unit: which group is computed, when an element may start, and the drain of finished sums."""

from __future__ import annotations

from typing import Any

from myhdl import Signal, always, always_comb, block, concat, modbv


@block
def group_control(
    clk: Any,
    rst: Any,
    compacted: Any,
    compacted_group: Any,
    compacted_slot: Any,
    compacted_filled: Any,
    take: Any,
    take_slot: Any,
    take_last: Any,
    draining: Any,
    activate: Any,
    retire: Any,
    computing: Any,
    group: Any,
    last_slot: Any,
    filled: Any,
    left: Any,
    started: Any,
) -> Any:
    """Hold the group that is computed; it retires to the drain with its last element, and the next one takes over.

    left: the slots whose last element is still to come; started: those of which one has come.
    """
    SLOTS = len(left)

    @always_comb
    def decide() -> None:
        after = modbv(0)[SLOTS:]
        retiring = modbv(0)[1:]
        after[:] = left
        if take and take_last:
            after[take_slot] = 0
        retiring[:] = computing and after == 0 and not draining
        retire.next = retiring != 0
        activate.next = compacted and (retiring != 0 or not computing)

    @always(clk.posedge)
    def change() -> None:
        if rst:
            computing.next = 0
            left.next = 0
        elif activate:
            computing.next = 1
            left.next = compacted_filled
        else:
            if retire:
                computing.next = 0
            if take and take_last:
                left.next[take_slot] = 0

    @always(clk.posedge)
    def describe() -> None:
        if activate:
            group.next = compacted_group
            last_slot.next = compacted_slot
            filled.next = compacted_filled
            started.next = 0
        elif take:
            started.next[take_slot] = 1

    return decide, change, describe


@block
def element_issue(
    clk: Any,
    rst: Any,
    gradient_valid: Any,
    gradient_ready: Any,
    gradient_slot: Any,
    gradient_value: Any,
    computing: Any,
    group: Any,
    left: Any,
    started: Any,
    counts: list[Any],
    take: Any,
    busy: Any,
    bank: Any,
    address: Any,
    value: Any,
    first: Any,
    lanes: int,
    adder_latency: int,
) -> Any:
    """Take an element when the lanes are free and its slot's sums are not under way; then walk through its chunks.

    busy: the lanes select chunk `address` (bank, slot, chunk) for an element of `value`; `first`: of its slot.
    """
    HISTORY = adder_latency - 1
    slot = Signal(modbv(0)[len(gradient_slot) :])
    chunk = Signal(modbv(0)[len(address) - len(gradient_slot) - 1 :])
    active, remaining = (Signal(modbv(0)[len(counts[0]) :]) for _ in range(2))
    count_address = Signal(modbv(0)[len(gradient_slot) + 2 :])
    free, accept = (Signal(bool(0)) for _ in range(2))

    @always_comb
    def make_addresses() -> None:
        count_address.next = concat(group, gradient_slot)
        address.next = concat(bank, slot, chunk)
        free.next = (not busy) or remaining <= lanes

    @always_comb
    def read_count() -> None:
        active.next = counts[count_address]

    @always_comb
    def handshake() -> None:
        gradient_ready.next = accept
        take.next = accept and gradient_valid

    @always(clk.posedge)
    def occupy() -> None:
        if rst:
            busy.next = 0
        elif take:
            busy.next = 1
        elif free:
            busy.next = 0

    @always(clk.posedge)
    def walk() -> None:
        if take:
            slot.next = gradient_slot
            bank.next = group[0]
            value.next = gradient_value
            first.next = not started[gradient_slot]
            chunk.next = 0
            remaining.next = active
        else:
            chunk.next = chunk + 1
            remaining.next = remaining - lanes

    parts = (make_addresses, read_count, handshake, occupy, walk)
    if HISTORY == 0:

        @always_comb
        def accept_any() -> None:
            accept.next = computing and free and left[gradient_slot]

        return parts, accept_any

    taken = [Signal(bool(0)) for _ in range(HISTORY)]
    taken_slot = [Signal(modbv(0)[len(gradient_slot) :]) for _ in range(HISTORY)]

    @always_comb
    def accept_others() -> None:
        under_way = modbv(0)[1:]
        for i in range(HISTORY):
            if taken[i] and taken_slot[i] == gradient_slot:
                under_way[:] = started[gradient_slot]
        accept.next = computing and free and left[gradient_slot] and under_way == 0

    @always(clk.posedge)
    def remember() -> None:
        if rst:
            for i in range(HISTORY):
                taken[i].next = 0
        else:
            taken[0].next = take
            for i in range(1, HISTORY):
                taken[i].next = taken[i - 1]
        taken_slot[0].next = gradient_slot
        for i in range(1, HISTORY):
            taken_slot[i].next = taken_slot[i - 1]

    return parts, accept_others, remember


@block
def pipeline_control(
    clk: Any,
    rst: Any,
    busy: Any,
    bank: Any,
    address: Any,
    first: Any,
    draining_bank: Any,
    add_address: Any,
    add_first: Any,
    write: Any,
    write_address: Any,
    under_way: Any,
    adder_latency: int,
) -> Any:
    """Carry a chunk's address beside its products and sums.

    A chunk selected in one cycle is multiplied in the next, and its sum is begun in the one after, to be written
    `adder_latency` cycles later. under_way: a chunk of `draining_bank` is somewhere in between.
    """
    STAGES = adder_latency + 1
    held = [Signal(bool(0)) for _ in range(STAGES)]
    held_bank = [Signal(bool(0)) for _ in range(STAGES)]
    held_address = [Signal(modbv(0)[len(address) :]) for _ in range(STAGES)]
    held_first = [Signal(bool(0)) for _ in range(2)]

    @always(clk.posedge)
    def shift_valid() -> None:
        if rst:
            for i in range(STAGES):
                held[i].next = 0
        else:
            held[0].next = busy
            for i in range(1, STAGES):
                held[i].next = held[i - 1]

    @always(clk.posedge)
    def shift() -> None:
        held_bank[0].next = bank
        held_address[0].next = address
        for i in range(1, STAGES):
            held_bank[i].next = held_bank[i - 1]
            held_address[i].next = held_address[i - 1]
        held_first[0].next = first
        held_first[1].next = held_first[0]

    @always_comb
    def tap() -> None:
        add_address.next = held_address[1]
        add_first.next = held_first[1]
        write.next = held[STAGES - 1]
        write_address.next = held_address[STAGES - 1]

    @always_comb
    def look() -> None:
        found = modbv(0)[1:]
        found[:] = busy and bank == draining_bank
        for i in range(STAGES):
            if held[i] and held_bank[i] == draining_bank:
                found[:] = 1
        under_way.next = found != 0

    return shift_valid, shift, tap, look


@block
def drain_control(
    clk: Any,
    rst: Any,
    retire: Any,
    group: Any,
    last_slot: Any,
    filled: Any,
    under_way: Any,
    counts: list[Any],
    draining: Any,
    bank: Any,
    load: Any,
    address: Any,
    load_count: Any,
    sums_valid: Any,
    sums_ready: Any,
    sums_count: Any,
    sums_last: Any,
    lanes: int,
) -> Any:
    """Send the sums of a retired group, item by item, chunk by chunk, beside the computation of the next group.

    load: the output registers take chunk `address`, of which the lanes below `load_count` have sums (none where no
    gradient came: such sums are +0).
    """
    drained_group = Signal(modbv(0)[2:])
    slot, end_slot = (Signal(modbv(0)[len(last_slot) :]) for _ in range(2))
    present = Signal(modbv(0)[len(filled) :])
    chunk = Signal(modbv(0)[len(address) - len(slot) - 1 :])
    count_address = Signal(modbv(0)[len(slot) + 2 :])
    active, sent, size = (Signal(modbv(0)[len(counts[0]) :]) for _ in range(3))
    ends, valid = (Signal(bool(0)) for _ in range(2))

    @always_comb
    def make_addresses() -> None:
        bank.next = drained_group[0]
        count_address.next = concat(drained_group, slot)

    @always_comb
    def make_address() -> None:
        address.next = concat(bank, slot, chunk)

    @always_comb
    def read_count() -> None:
        active.next = counts[count_address]

    @always_comb
    def decide() -> None:
        remaining = modbv(0)[len(active) :]
        remaining[:] = active - sent
        ends.next = remaining <= lanes
        size.next = lanes
        if remaining <= lanes:
            size.next = remaining
        load.next = draining and not under_way and (sums_ready or not valid)
        sums_valid.next = valid

    @always_comb
    def choose() -> None:
        load_count.next = 0
        if present[slot]:
            load_count.next = size

    @always(clk.posedge)
    def walk() -> None:
        if rst:
            draining.next = 0
        elif retire:
            draining.next = 1
        elif load and ends and slot == end_slot:
            draining.next = 0
        if retire:
            drained_group.next = group
            end_slot.next = last_slot
            present.next = filled
            slot.next = 0
            chunk.next = 0
            sent.next = 0
        elif load:
            if ends:
                slot.next = slot + 1
                chunk.next = 0
                sent.next = 0
            else:
                chunk.next = chunk + 1
                sent.next = sent + lanes

    @always(clk.posedge)
    def send() -> None:
        if rst:
            valid.next = 0
        elif load:
            valid.next = 1
        elif sums_ready:
            valid.next = 0
        if load:
            sums_count.next = size
            sums_last.next = ends

    return make_addresses, make_address, read_count, decide, choose, walk, send
