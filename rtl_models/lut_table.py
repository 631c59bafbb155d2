"""The look-up table of one lane, two copies of it, and the sequencer that builds the tables of all lanes of a row.

One copy serves look-ups while the other is loaded and built. entry[0] = +0; entry[1 << j] = weight j; any other entry
is entry[without its highest set bit] + entry[its highest set bit], rounded to the value format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from myhdl import Signal, always, always_comb, block, concat, modbv

from rtl_models.arithmetic.adder import float_adder
from rtl_models.arithmetic.pipeline import ALWAYS, delay_line, delayed, flag_line


@dataclass(frozen=True)
class BuildStep:
    """One cycle of a table's build: the entry issued (0: none, an operand is on its way) and its two operands."""

    entry: int
    rest: int
    highest: int


def build_schedule(k: int, build_latency_cycles: int) -> list[BuildStep]:
    """Return the build's steps without load stalls; its length is the build time in cycles.

    Entries by number of set bits, then ascending, one a cycle. The first k are loads, readable from the next cycle;
    a sum issued in cycle i is readable from cycle i + `build_latency_cycles`, and waits for its operands.
    """
    readable_from = {0: 0}
    steps: list[BuildStep] = []
    for entry in sorted(range(1, 1 << k), key=lambda e: (e.bit_count(), e)):
        highest = 1 << (entry.bit_length() - 1)
        rest = entry ^ highest
        if rest:
            while len(steps) < max(readable_from[rest], readable_from[highest]):
                steps.append(BuildStep(0, 0, 0))
            readable_from[entry] = len(steps) + build_latency_cycles
        else:
            readable_from[entry] = len(steps) + 1
        steps.append(BuildStep(entry, rest, highest))
    while len(steps) < max(readable_from.values()):
        steps.append(BuildStep(0, 0, 0))
    return steps


@block
def build_sequencer(
    clk: Any,
    rst: Any,
    load_valid: Any,
    load_ready: Any,
    last_lookup: Any,
    serving: Any,
    bank: Any,
    other_bank: Any,
    rest: Any,
    highest: Any,
    write: Any,
    write_load: Any,
    write_entry: Any,
    k: int,
    build_latency: int,
) -> Any:
    """Walk through the build schedule for all lanes at once, and swap the tables.

    last_lookup: the serving table's last look-up happens in this cycle. serving: a table serves, and it is copy
    `bank`; `other_bank` is being built. rest, highest: the entries to add in this cycle. write: the copy being built
    takes `write_entry` at the end of this cycle, from the load beat if `write_load`, else from the lane's adder.
    """
    schedule = build_schedule(k, build_latency)
    LENGTH = len(schedule)
    # one more row: built, waiting for the swap
    ENTRY = (*(s.entry for s in schedule), 0)
    REST = (*(s.rest for s in schedule), 0)
    HIGHEST = (*(s.highest for s in schedule), 0)

    step = Signal(modbv(0)[LENGTH.bit_length() :])
    entry = Signal(modbv(0)[k:])
    loading, issue, sum_ready = (Signal(bool(0)) for _ in range(3))
    last_step, swap = (Signal(bool(0)) for _ in range(2))

    @always_comb
    def read_entry() -> None:
        entry.next = ENTRY[int(step)]

    @always_comb
    def read_rest() -> None:
        rest.next = REST[int(step)]

    @always_comb
    def read_highest() -> None:
        highest.next = HIGHEST[int(step)]

    @always_comb
    def decide() -> None:
        other_bank.next = not bank
        loading.next = step < k
        issue.next = step >= k and entry != 0
        last_step.next = step == LENGTH - 1 and (step >= k or load_valid)

    @always_comb
    def decide_swap() -> None:
        swap.next = (last_step or step == LENGTH) and (last_lookup or not serving)

    sums_under_way = flag_line(clk, rst, ALWAYS, issue, sum_ready, build_latency - 1)
    sum_entry = delayed(entry, build_latency - 1)
    entries_under_way = delay_line(clk, ALWAYS, entry, sum_entry, build_latency - 1) if build_latency > 1 else ()

    @always_comb
    def drive_write() -> None:
        load_ready.next = loading
        write_load.next = loading
        write.next = (loading and load_valid) or (not loading and sum_ready)
        write_entry.next = sum_entry
        if loading:
            write_entry.next = entry

    @always(clk.posedge)
    def advance() -> None:
        if rst:
            step.next = 0
            serving.next = 0
            bank.next = 0
        else:
            if swap:
                step.next = 0
                serving.next = 1
                bank.next = not bank
            else:
                if last_lookup:
                    serving.next = 0
                if step < LENGTH and (not loading or load_valid):
                    step.next = step + 1

    return (
        read_entry,
        read_rest,
        read_highest,
        decide,
        decide_swap,
        sums_under_way,
        entries_under_way,
        drive_write,
        advance,
    )


@block
def lut_lane(
    clk: Any,
    bank: Any,
    other_bank: Any,
    rest: Any,
    highest: Any,
    write: Any,
    write_load: Any,
    write_entry: Any,
    weight: Any,
    index: Any,
    found: Any,
    k: int,
    exponent_bits: int,
    fraction_bits: int,
    build_latency: int,
) -> Any:
    """Hold one lane's two tables, build one, and drive `found` with entry `index` of the serving one in the same cycle.

    weight: the load beat's weight of this lane; the other ports as of `build_sequencer`.
    """
    WIDTH = 1 + exponent_bits + fraction_bits
    table = [Signal(modbv(0)[WIDTH:]) for _ in range(2 << k)]
    a, b, total, read = (Signal(modbv(0)[WIDTH:]) for _ in range(4))
    a_address, b_address, write_address, read_address = (Signal(modbv(0)[k + 1 :]) for _ in range(4))

    @always_comb
    def make_addresses() -> None:
        a_address.next = concat(other_bank, rest)
        b_address.next = concat(other_bank, highest)
        write_address.next = concat(other_bank, write_entry)
        read_address.next = concat(bank, index)

    @always_comb
    def read_table() -> None:
        a.next = table[a_address]
        b.next = table[b_address]
        read.next = table[read_address]

    adder = float_adder(a, b, total, exponent_bits, fraction_bits)
    built_entry = delayed(total, build_latency - 1)
    sums_under_way = delay_line(clk, ALWAYS, total, built_entry, build_latency - 1) if build_latency > 1 else ()

    @always(clk.posedge)
    def write_table() -> None:
        if write:
            if write_load:
                table[write_address].next = weight
            else:
                table[write_address].next = built_entry

    @always_comb
    def look_up() -> None:
        # entry 0 is never written: it is +0 by selection
        found.next = read
        if index == 0:
            found.next = 0

    return make_addresses, read_table, adder, sums_under_way, write_table, look_up
