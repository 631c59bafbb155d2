"""What a LUT row must do, said twice more and slowly: its sums in NumPy scalars, its cycles as a state machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from rtl_models.formats import FloatFormat, decode, encode
from rtl_models.lut_row import LutRowGeometry
from rtl_models.reference.row import RowTask
from rtl_models.units import Pattern

Number = np.float64
Tree = Callable[[list[Number], FloatFormat], Number]


def rounded(exact: Number, fmt: FloatFormat) -> Number:
    """Round a binary64 number once; every sum of two numbers of our formats is rounded as its exact value would be."""
    return Number(decode(encode(np.array([exact], np.float64), fmt), fmt)[0])


def add(a: Number, b: Number, fmt: FloatFormat) -> Number:
    """Return round(a + b). Innocuous double rounding: 53 >= 2 * 24 + 2 bits (Figueroa, 1995)."""
    with np.errstate(all="ignore"):
        return rounded(a + b, fmt)


def balanced_tree(leaves: list[Number], fmt: FloatFormat) -> Number:
    """Add neighbours first."""
    while len(leaves) > 1:
        leaves = [add(leaves[i], leaves[i + 1], fmt) for i in range(0, len(leaves), 2)]
    return leaves[0]


def sums(task: RowTask, value: FloatFormat, total: FloatFormat, tree: Tree = balanced_tree) -> list[int]:
    """Return the bit patterns that the row sends."""
    psum: dict[int, Number] = {}
    sent: list[int] = []
    beat = 0
    with np.errstate(invalid="ignore"):  # a signalling NaN is quieted
        weights = decode(task.weights, value).astype(np.float64)
    for tile, positions in enumerate(task.positions):
        tables = [table(list(lane), value) for lane in weights[tile]]
        for position in range(positions):
            found = tree([t[e] for t, e in zip(tables, task.indices[beat], strict=True)], total)
            if task.start[tile]:
                bits = np.zeros(1, np.uint32) if task.init is None else task.init[beat : beat + 1]
                operand = Number(decode(bits, total)[0])
            elif task.double[tile]:
                operand = add(psum[position], psum[position], total)
            else:
                operand = psum[position]
            psum[position] = add(operand, -found if task.subtract[tile] else found, total)
            if task.emit[tile]:
                sent.append(int(encode(np.array([psum[position]]), total)[0]))
            beat += 1
    return sent


def table(weights: list[Number], value: FloatFormat) -> list[Number]:
    """Return the entries of one lane: without its highest set bit, plus its highest set bit."""
    entries = [Number(0.0)]
    for weight in weights:
        entries += [weight, *(add(entry, weight, value) for entry in entries[1:])]
    return entries


def build_order(k: int, latency: int) -> list[int]:
    """Return, for each cycle of a build, the entry issued in it, or 0."""
    to_do = sorted(range(1, 1 << k), key=lambda e: (bin(e).count("1"), e))
    readable: dict[int, int] = {}
    order: list[int] = []
    while to_do or len(order) < max(readable.values()):
        cycle, entry = len(order), to_do[0] if to_do else 0
        parts = [1 << j for j in range(k) if entry >> j & 1]
        needs = [parts[-1], entry - parts[-1]] if len(parts) > 1 else []
        if to_do and all(readable[n] <= cycle for n in needs):
            readable[entry] = cycle + (latency if needs else 1)
            order.append(to_do.pop(0))
        else:
            order.append(0)
    return order


def transfers(
    geometry: LutRowGeometry, task: RowTask, valid: Mapping[str, Pattern], ready: Mapping[str, Pattern]
) -> dict[str, list[int]]:
    """Return the cycle of every transfer, from a state machine that is stepped cycle by cycle."""

    def flag(pattern: Pattern | None, cycle: int) -> bool:
        return pattern is None or cycle >= len(pattern) or bool(pattern[cycle])

    g, tiles = geometry, len(task.positions)
    length = len(build_order(g.k, g.build_latency_cycles))
    depth = g.adder_latency_cycles + (1 + int(np.log2(g.lanes)) if g.tree_registers else 0)
    # (emits, position) of each slot on its way, the youngest first; an output register behind the last
    pipe: list[tuple[bool, int] | None] = [None] * (depth - 1)
    out_full = False
    step, built, served, position = 0, 0, 0, 0  # tiles built and swapped in; tiles served to the end
    load_offered = index_offered = False
    log: dict[str, list[int]] = {"load": [], "index": [], "out": []}
    expected_out = int(task.positions[task.emit].sum())
    cycle = 0
    while len(log["out"]) < expected_out or served < tiles:
        load_offered |= len(log["load"]) < tiles * g.k and flag(valid.get("load"), cycle)
        index_offered |= served < tiles and flag(valid.get("index"), cycle)
        out_ready = flag(ready.get("out"), cycle)
        moving = out_ready or not out_full
        recent = pipe_positions(pipe, g.adder_latency_cycles - 1)
        look_up = index_offered and built > served and moving and position not in recent
        if out_full and out_ready:
            log["out"].append(cycle)
        last = look_up and position == task.positions[served] - 1
        # build
        if step < g.k:
            advance = load_offered
            if advance:
                log["load"].append(cycle)
                load_offered = False
        else:
            advance = step < length
        finished = step + advance == length
        # look-up pipeline
        if moving:
            oldest = pipe[-1] if pipe else ((bool(task.emit[served]), position) if look_up else None)
            if pipe:
                pipe = [(bool(task.emit[served]), position) if look_up else None, *pipe[:-1]]
            out_full = oldest is not None and oldest[0]
        free = built == served or last
        if look_up:
            log["index"].append(cycle)
            index_offered = False
            position = 0 if last else position + 1
            served += last
        if finished and free and built < tiles:
            built += 1
            step = 0
        else:
            step += advance
        cycle += 1
    return log


def pipe_positions(pipe: list[tuple[bool, int] | None], slots: int) -> list[int]:
    """Return the positions in the youngest `slots` slots."""
    return [entry[1] for entry in pipe[:slots] if entry is not None]
