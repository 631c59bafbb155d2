"""The LUT row: G look-up lanes, a balanced adder tree, and one accumulator memory, with ready/valid streams.

A beat of the index stream is one position of one tile: its G indices pick one entry per lane, the tree adds them,
neighbours first, and the sum goes onto the position's partial sum. See `lut_row_unit` for the streams.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from myhdl import Signal, always, always_comb, block, modbv

from rtl_models.arithmetic.adder import float_adder
from rtl_models.arithmetic.convert import float_double, float_widen
from rtl_models.arithmetic.pipeline import delay_line, delayed, flag_line
from rtl_models.errors import InputError
from rtl_models.formats import BINARY16, BINARY32, FloatFormat
from rtl_models.lut_table import build_sequencer, lut_lane
from rtl_models.units import Field, Stream, Unit

LARGEST_K = 8  # a table has 2**k entries; beyond 256 it costs more than the additions it saves
LONGEST_LATENCY_CYCLES = 64


@dataclass(frozen=True)
class LutRowGeometry:
    """What a LUT row is made of; `k`, `lanes` and the formats change its bits, the rest only its cycles.

    Raises InputError for a value outside its range.
    """

    k: int = 4
    lanes: int = 16
    value_format: FloatFormat = BINARY16
    sum_format: FloatFormat = BINARY32
    depth: int = 64
    """Positions that the accumulator memory holds."""
    build_latency_cycles: int = 1
    adder_latency_cycles: int = 1
    tree_registers: bool = False
    """Whether registers follow the look-up and each level of the tree."""

    def __post_init__(self) -> None:
        where = "LUT row"
        if not 1 <= self.k <= LARGEST_K:
            raise InputError("table of 2**k entries is out of range, k", where, self.k, f"1..{LARGEST_K}")
        if self.lanes < 1 or self.lanes & (self.lanes - 1):
            raise InputError("number of lanes", where, self.lanes, "a power of two")
        if not self.sum_format.holds(self.value_format):
            raise InputError(
                f"sum format cannot hold {self.value_format.name}",
                where,
                self.sum_format.name,
                "a format at least as wide",
            )
        if self.depth < 1:
            raise InputError("accumulator depth", where, self.depth, "1 or more positions")
        for name in ("build_latency_cycles", "adder_latency_cycles"):
            if not 1 <= getattr(self, name) <= LONGEST_LATENCY_CYCLES:
                raise InputError(name, where, getattr(self, name), f"1..{LONGEST_LATENCY_CYCLES}")

    @property
    def tree_levels(self) -> int:
        """Levels of the adder tree, log2 of the lanes."""
        return self.lanes.bit_length() - 1


def lut_row_unit(geometry: LutRowGeometry) -> Unit:
    """Return the row as a unit with the streams load, index (in) and out.

    load: beat j of a tile carries weight j of every lane, lane 0 lowest; k beats a tile.
    index: one beat per position and tile; bit j of a lane's k bits selects weight j. The partial sum starts at `init`
    if `start`, at 2 x itself if `double`, else at itself; the tree's sum is added, or subtracted if `subtract`; the
    result is kept, and sent if `emit`. `last` ends the tile: tables swap, the next beat is position 0.
    out: the sums, as bit patterns of the sum format.
    """
    g = geometry
    value, total = g.value_format, g.sum_format
    flags = tuple(Field(name, 1) for name in ("start", "double", "subtract", "emit", "last"))
    return Unit(
        name=f"lut_row_k{g.k}_g{g.lanes}",
        block=lut_row,
        parameters={
            "k": g.k,
            "lanes": g.lanes,
            "value_exponent_bits": value.exponent_bits,
            "value_fraction_bits": value.fraction_bits,
            "sum_exponent_bits": total.exponent_bits,
            "sum_fraction_bits": total.fraction_bits,
            "depth": g.depth,
            "build_latency": g.build_latency_cycles,
            "adder_latency": g.adder_latency_cycles,
            "tree_registers": int(g.tree_registers),
        },
        inputs=(
            Stream("load", (Field("data", g.lanes * value.width_bits),)),
            Stream("index", (Field("index", g.lanes * g.k), Field("init", total.width_bits), *flags)),
        ),
        outputs=(Stream("out", (Field("data", total.width_bits),)),),
    )


@block
def adder_tree(
    clk: Any, enable: Any, leaves: list[Any], root: Any, exponent_bits: int, fraction_bits: int, registers: int
) -> Any:
    """Add `leaves`, neighbours first, onto `root`; with `registers`, one after the leaves and one after each level."""
    width = 1 + exponent_bits + fraction_bits
    parts = []
    level = [delayed(leaf, registers) for leaf in leaves]
    if registers:
        parts += [delay_line(clk, enable, leaf, held, registers) for leaf, held in zip(leaves, level, strict=True)]
    while len(level) > 1:
        next_level = []
        for i in range(len(level) // 2):
            total = Signal(modbv(0)[width:])
            parts.append(float_adder(level[2 * i], level[2 * i + 1], total, exponent_bits, fraction_bits))
            next_level.append(delayed(total, registers))
            if registers:
                parts.append(delay_line(clk, enable, total, next_level[i], registers))
        level = next_level
    root_in = level[0]

    @always_comb
    def drive_root() -> None:
        root.next = root_in

    parts.append(drive_root)
    return parts


@block
def issue_control(
    clk: Any,
    rst: Any,
    enable: Any,
    serving: Any,
    index_valid: Any,
    index_ready: Any,
    index_last: Any,
    fire: Any,
    last_lookup: Any,
    position: Any,
    adder_latency: int,
) -> Any:
    """Count positions; accept a beat when a table serves, the pipeline moves and its partial sum is not under way."""
    HISTORY = adder_latency - 1
    accept = Signal(bool(0))

    @always_comb
    def drive() -> None:
        index_ready.next = accept
        fire.next = accept and index_valid
        last_lookup.next = accept and index_valid and index_last

    @always(clk.posedge)
    def count() -> None:
        if rst:
            position.next = 0
        elif fire:
            if index_last:
                position.next = 0
            else:
                position.next = position + 1

    if HISTORY == 0:

        @always_comb
        def accept_any() -> None:
            accept.next = serving and enable

        return drive, count, accept_any

    issued = [Signal(bool(0)) for _ in range(HISTORY)]
    issued_position = [Signal(modbv(0)[len(position) :]) for _ in range(HISTORY)]

    @always_comb
    def accept_others() -> None:
        hazard = modbv(0)[1:]
        for i in range(HISTORY):
            if issued[i] and issued_position[i] == position:
                hazard[:] = 1
        accept.next = serving and enable and hazard == 0

    @always(clk.posedge)
    def remember() -> None:
        if rst:
            for i in range(HISTORY):
                issued[i].next = 0
        elif enable:
            issued[0].next = fire
            for i in range(1, HISTORY):
                issued[i].next = issued[i - 1]
        if enable:
            issued_position[0].next = position
            for i in range(1, HISTORY):
                issued_position[i].next = issued_position[i - 1]

    return drive, count, accept_others, remember


@block
def accumulator(
    clk: Any,
    rst: Any,
    enable: Any,
    valid: Any,
    position: Any,
    init: Any,
    start: Any,
    double: Any,
    subtract: Any,
    emit: Any,
    tree: Any,
    out_valid: Any,
    out_data: Any,
    exponent_bits: int,
    fraction_bits: int,
    depth: int,
    adder_latency: int,
) -> Any:
    """Add a tree's sum to the partial sum of its position; the result is kept and sent `adder_latency` cycles later."""
    SIGN = exponent_bits + fraction_bits
    psum = [Signal(modbv(0)[SIGN + 1 :]) for _ in range(depth)]
    held, doubled, operand, addend, added = (Signal(modbv(0)[SIGN + 1 :]) for _ in range(5))
    result_valid, result_emit = (Signal(bool(0)) for _ in range(2))
    WAIT = adder_latency - 1

    @always_comb
    def read() -> None:
        held.next = psum[position]

    @always_comb
    def choose() -> None:
        operand.next = held
        if start:
            operand.next = init
        elif double:
            operand.next = doubled
        addend.next = tree
        if subtract:
            addend.next[SIGN] = not tree[SIGN]

    doubler = float_double(held, doubled, exponent_bits, fraction_bits)
    adder = float_adder(operand, addend, added, exponent_bits, fraction_bits)
    valid_wait = flag_line(clk, rst, enable, valid, result_valid, WAIT)
    emit_wait = flag_line(clk, rst, enable, emit, result_emit, WAIT)
    result_position, result = delayed(position, WAIT), delayed(added, WAIT)
    position_wait = delay_line(clk, enable, position, result_position, WAIT) if WAIT else ()
    result_wait = delay_line(clk, enable, added, result, WAIT) if WAIT else ()

    @always(clk.posedge)
    def keep() -> None:
        if enable:
            out_data.next = result
            if result_valid:
                psum[result_position].next = result

    @always(clk.posedge)
    def send() -> None:
        if rst:
            out_valid.next = 0
        elif enable:
            out_valid.next = result_valid and result_emit

    return read, choose, doubler, adder, valid_wait, emit_wait, position_wait, result_wait, keep, send


@block
def lut_row(
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
    k: int,
    lanes: int,
    value_exponent_bits: int,
    value_fraction_bits: int,
    sum_exponent_bits: int,
    sum_fraction_bits: int,
    depth: int,
    build_latency: int,
    adder_latency: int,
    tree_registers: int,
) -> Any:
    """One LUT row; ports and behaviour as `lut_row_unit` says.

    Output after a beat: adder_latency cycles, and with tree registers 1 + log2(lanes) more. While an output waits for
    out_ready the whole look-up pipeline stands still; loading and building go on.
    """
    value_width = 1 + value_exponent_bits + value_fraction_bits
    sum_width = 1 + sum_exponent_bits + sum_fraction_bits
    value_bits = (value_exponent_bits, value_fraction_bits)
    sum_bits = (sum_exponent_bits, sum_fraction_bits)
    tree_stages = lanes.bit_length() * tree_registers

    enable, serving, bank, other_bank, fire, last_lookup = (Signal(bool(0)) for _ in range(6))
    write, write_load = (Signal(bool(0)) for _ in range(2))
    rest, highest, write_entry = (Signal(modbv(0)[k:]) for _ in range(3))
    position = Signal(modbv(0)[max(1, (depth - 1).bit_length()) :])
    sent = Signal(bool(0))

    @always_comb
    def move() -> None:
        enable.next = out_ready or not sent
        out_valid.next = sent

    sequencer = build_sequencer(
        clk, rst, load_valid, load_ready, last_lookup, serving, bank, other_bank,
        rest, highest, write, write_load, write_entry, k, build_latency,
    )  # fmt: skip
    control = issue_control(
        clk, rst, enable, serving, index_valid, index_ready, index_last, fire, last_lookup, position, adder_latency
    )

    parts = []
    leaves = [Signal(modbv(0)[sum_width:]) for _ in range(lanes)]
    for lane in range(lanes):
        weight = load_data((lane + 1) * value_width, lane * value_width) if lanes > 1 else load_data
        index = index_index((lane + 1) * k, lane * k) if lanes > 1 else index_index
        found = Signal(modbv(0)[value_width:])
        parts.append(
            lut_lane(
                clk,
                bank,
                other_bank,
                rest,
                highest,
                write,
                write_load,
                write_entry,
                weight,
                index,
                found,
                k,
                *value_bits,
                build_latency,
            )
        )
        parts.append(float_widen(found, leaves[lane], *value_bits, *sum_bits))

    root = Signal(modbv(0)[sum_width:])
    tree = adder_tree(clk, enable, leaves, root, *sum_bits, tree_registers)

    # the beat's other fields travel beside its look-up through the tree
    valid_a, start_a, double_a, subtract_a, emit_a = (Signal(bool(0)) for _ in range(5))
    position_a, init_a = delayed(position, tree_stages), delayed(index_init, tree_stages)
    beside = [
        flag_line(clk, rst, enable, fire, valid_a, tree_stages),
        flag_line(clk, rst, enable, index_start, start_a, tree_stages),
        flag_line(clk, rst, enable, index_double, double_a, tree_stages),
        flag_line(clk, rst, enable, index_subtract, subtract_a, tree_stages),
        flag_line(clk, rst, enable, index_emit, emit_a, tree_stages),
    ]
    if tree_stages:
        beside.append(delay_line(clk, enable, position, position_a, tree_stages))
        beside.append(delay_line(clk, enable, index_init, init_a, tree_stages))
    accumulate = accumulator(
        clk, rst, enable, valid_a, position_a, init_a, start_a, double_a, subtract_a, emit_a, root,
        sent, out_data, *sum_bits, depth, adder_latency,
    )  # fmt: skip
    return move, sequencer, control, parts, tree, beside, accumulate
