"""What a backward unit must do, said once more and slowly: its sums in NumPy scalars, its cycles as a state machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from rtl_models.backward_unit import BackwardUnitGeometry
from rtl_models.formats import FloatFormat, decode, encode
from rtl_models.reference.backward_items import BackwardTask
from rtl_models.units import Pattern
from tests.units.row_oracle import Number, add, rounded

Step = Callable[[Number, Number, Number, FloatFormat], Number]


def multiply_then_add(total: Number, gradient: Number, weight: Number, fmt: FloatFormat) -> Number:
    """Round the product, then the sum; the product of two of our numbers is exact in binary64."""
    with np.errstate(all="ignore"):
        return add(total, rounded(gradient * weight, fmt), fmt)


def sums(task: BackwardTask, value: FloatFormat, total: FloatFormat, step: Step = multiply_then_add) -> list[int]:
    """Return the bit patterns of the wanted sums, item after item, channels ascending."""
    with np.errstate(invalid="ignore"):  # a signalling NaN is quieted
        values = decode(task.values, value).astype(np.float64)
        weights = decode(task.weights, value).astype(np.float64)
    found: list[int] = []
    first = 0
    for mask, count in zip(task.masks, task.counts, strict=True):
        for channel in np.flatnonzero(mask):
            accumulator = Number(0.0)
            for element in range(first, first + count):
                accumulator = step(accumulator, values[element], weights[task.rows[element], channel], total)
            found.append(int(encode(np.array([accumulator]), total)[0]))
        first += count
    return found


def elements(task: BackwardTask) -> list[tuple[int, int, bool]]:
    """Return (group, item, last of its item) of every element, in the order of the stream: the items take turns."""
    order: list[tuple[int, int, bool]] = []
    first = 0
    for group, items in enumerate(task.group_items):
        left = {item: int(task.counts[item]) for item in range(first, first + items)}
        while any(left.values()):
            for item, count in left.items():
                if count:
                    left[item] -= 1
                    order.append((group, item, count == 1))
        first += items
    return order


def transfers(
    geometry: BackwardUnitGeometry, task: BackwardTask, valid: Mapping[str, Pattern], ready: Mapping[str, Pattern]
) -> dict[str, list[int]]:
    """Return the cycle of every transfer, from a state machine that is stepped cycle by cycle."""

    def flag(pattern: Pattern | None, cycle: int) -> bool:
        return pattern is None or cycle >= len(pattern) or bool(pattern[cycle])

    adder = geometry.adder_latency_cycles
    active = [int(a) for a in task.active]
    beats = [-(-a // geometry.lanes) for a in active]
    ends = np.cumsum(task.group_items).tolist()
    members = [range(end - n, end) for end, n in zip(ends, task.group_items, strict=True)]
    stream = elements(task)
    log: dict[str, list[int]] = {"item": [], "gradient": [], "sums": []}
    item_offered = gradient_offered = False
    pending, closed = 0, False  # channels still to list; the group's last item has come
    compacting = 0  # group
    computing: int | None = None
    left: set[int] = set()  # items of the computed group with elements to come
    started: dict[int, int] = {}  # when each item last started an element
    chunks, chunk_group = 0, -1  # left of the element in the lanes
    readable = [0] * len(members)  # cycle from which on a group's sums can be read
    draining: int | None = None
    to_send: list[int] = []
    out_full = False
    cycle = 0
    while len(log["sums"]) < sum(beats):
        item_offered |= len(log["item"]) < len(active) and flag(valid.get("item"), cycle)
        gradient_offered |= len(log["gradient"]) < len(stream) and flag(valid.get("gradient"), cycle)
        out_ready = flag(ready.get("sums"), cycle)
        listed = pending <= 1
        take_item = item_offered and listed and not closed
        take = False
        after = set(left)
        if gradient_offered and computing is not None and chunks <= 1:
            group, item, last = stream[len(log["gradient"])]
            take = group == computing and cycle - started.get(item, -adder) >= adder
            if take and last:
                after.discard(item)
        retire = computing is not None and not after and draining is None
        activate = closed and listed and (computing is None or retire)
        if chunks:
            readable[chunk_group] = cycle + adder + 2
        load = (
            draining is not None
            and cycle >= readable[draining]
            and not (chunks and chunk_group == draining)
            and (out_ready or not out_full)
        )
        if out_full and out_ready:
            log["sums"].append(cycle)

        out_full = load or (out_full and not out_ready)
        if load:
            to_send.pop(0)
            if not to_send:
                draining = None
        if retire:
            draining = computing
            to_send = [item for item in members[computing or 0] for _ in range(beats[item])]
            computing = None
        left = after
        chunks = max(0, chunks - 1)
        if take:
            started[item] = cycle
            chunks, chunk_group = beats[item], group
            log["gradient"].append(cycle)
            gradient_offered = False
        pending = max(0, pending - 1)
        if activate:
            computing, closed = compacting, False
            left = {i for i in members[compacting] if task.counts[i]}
            compacting += 1
        if take_item:
            item = len(log["item"])
            pending, closed = active[item], item + 1 in ends
            log["item"].append(cycle)
            item_offered = False
        cycle += 1
    return log
