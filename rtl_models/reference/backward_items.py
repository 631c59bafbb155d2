"""The backward unit as a function: the exact bits that `rtl_models.backward_unit` must send, and its stimulus.

Each sum is sequential from +0 over its item's gradients: the product is rounded to the sum format, then added. A NaN is
canonical.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtl_models.backward_unit import BackwardUnitGeometry
from rtl_models.errors import InputError
from rtl_models.formats import Bits, FloatFormat, decode, encode
from rtl_models.reference.rounding import Rounding, round_float, rounding
from rtl_models.reference.words import words_of_bytes
from rtl_models.units import Pattern, Response, Stimulus, Words

Counts = NDArray[np.int64]
_NOTHING: dict[str, Pattern] = {}


@dataclass(frozen=True)
class BackwardTask:
    """Groups of work items that run through one backward unit, one after the other.

    Raises InputError where shapes disagree, a group has no item, a mask is empty or a row is not in the table.
    """

    masks: NDArray[np.uint8]
    """[items, channels]: 1 where the sum is wanted."""
    group_items: Counts
    """[groups]: items of each group."""
    counts: Counts
    """[items]: gradients of each item, may be 0."""
    values: Bits
    """[elements], item after item: the gradients, patterns of the value format."""
    rows: Counts
    """[elements]: the weight row of each gradient."""
    weights: Bits
    """[rows, channels]: patterns of the value format."""

    def __post_init__(self) -> None:
        where = "backward task"
        items, elements = len(self.masks), int(np.sum(self.counts))
        shapes: dict[str, tuple[int, ...]] = {
            "masks": (items, *self.weights.shape[1:]),
            "counts": (items,),
            "values": (elements,),
            "rows": (elements,),
        }
        for name, shape in shapes.items():
            got = getattr(self, name).shape
            if got != shape:
                raise InputError(f"shape of {name}", where, list(got), str(list(shape)))
        if len(self.group_items) == 0 or np.min(self.group_items) < 1 or np.sum(self.group_items) != items:
            raise InputError("items of the groups", where, self.group_items.tolist(), f"1 or more each, {items} in all")
        if np.min(self.counts) < 0:
            raise InputError("gradients of an item", where, int(np.min(self.counts)), "0 or more")
        if not self.masks.any(axis=1).all():
            raise InputError("item without an active channel", where, int(np.argmin(self.masks.any(axis=1))))
        if elements and (np.min(self.rows) < 0 or np.max(self.rows) >= len(self.weights)):
            bad = self.rows[(self.rows < 0) | (self.rows >= len(self.weights))]
            raise InputError("weight row", where, int(bad[0]), f"0..{len(self.weights) - 1}")

    @property
    def active(self) -> Counts:
        """[items]: wanted sums of each item."""
        return np.asarray(np.count_nonzero(self.masks, axis=1), np.int64)


def backward_item_sums(task: BackwardTask, value_format: FloatFormat, sum_format: FloatFormat) -> Bits:
    """Return the wanted sums, item after item, channels ascending: bit patterns of `sum_format`."""
    active = task.active
    sums = np.zeros(int(active.sum()), np.float32)
    _sum_items(
        np.ascontiguousarray(task.masks),
        np.ascontiguousarray(task.counts, np.int64),
        decode(task.values, value_format),
        np.ascontiguousarray(task.rows, np.int64),
        np.ascontiguousarray(decode(task.weights, value_format)),
        rounding(sum_format),
        sums,
    )
    return encode(sums, sum_format)


@njit(nogil=True, cache=True)
def _sum_items(
    masks: NDArray[np.uint8],
    counts: Counts,
    values: NDArray[np.float32],
    rows: Counts,
    weights: NDArray[np.float32],
    total: Rounding,
    sums: NDArray[np.float32],
) -> None:
    """Add up `sums` [all wanted sums], which are +0."""
    items, channels = masks.shape
    wanted = np.empty(channels, np.int64)
    element = 0
    first = 0
    for item in range(items):
        active = 0
        for channel in range(channels):
            if masks[item, channel]:
                wanted[active] = channel
                active += 1
        for _ in range(counts[item]):
            for i in range(active):
                product = round_float(np.float32(values[element] * weights[rows[element], wanted[i]]), total)
                sums[first + i] = round_float(np.float32(sums[first + i] + product), total)
            element += 1
        first += active


def element_order(group_items: Counts, counts: Counts) -> tuple[Counts, Counts, NDArray[np.bool_]]:
    """Return the order in which the elements of items with `counts` elements enter a unit.

    The items of a group take turns, by slot; one that has run out drops out. Returns, for each element in that order:
    its number (item after item), its slot, and whether it is its slot's last.
    """
    elements = int(np.sum(counts))
    number, slot = np.empty(elements, np.int64), np.empty(elements, np.int64)
    last = np.empty(elements, np.bool_)
    _take_turns(np.ascontiguousarray(group_items, np.int64), np.ascontiguousarray(counts, np.int64), number, slot, last)
    return number, slot, last


@njit(nogil=True, cache=True)
def _take_turns(group_items: Counts, counts: Counts, number: Counts, slot: Counts, last: NDArray[np.bool_]) -> None:
    before = np.zeros(len(counts), np.int64)  # elements of all items before each one
    for item in range(1, len(counts)):
        before[item] = before[item - 1] + counts[item - 1]
    first = 0
    at = 0
    for items in group_items:
        turn = 0
        found = True
        while found:
            found = False
            for item in range(first, first + items):
                if turn < counts[item]:
                    number[at] = before[item] + turn
                    slot[at] = item - first
                    last[at] = turn == counts[item] - 1
                    at += 1
                    found = True
            turn += 1
        first += items


def backward_stimulus(
    geometry: BackwardUnitGeometry,
    task: BackwardTask,
    valid: dict[str, Pattern] = _NOTHING,
    ready: dict[str, Pattern] = _NOTHING,
) -> Stimulus:
    """Return `task` as beats of the unit's streams, with the patterns of its sources (item, gradient) and sink (sums).

    Raises InputError where the task does not fit the geometry.
    """
    items, channels = task.masks.shape
    if channels != geometry.channel_tile:
        raise InputError("channels of the task", "backward task", channels, f"{geometry.channel_tile} (channel tile)")
    largest = int(np.max(task.group_items))
    if largest > geometry.items_in_flight:
        allowed = f"1..{geometry.items_in_flight} (items in flight)"
        raise InputError("items of a group", "backward task", largest, allowed)
    number, slot, last = element_order(task.group_items, task.counts)
    group_ends = np.zeros(items, np.uint64)
    group_ends[np.cumsum(task.group_items) - 1] = 1
    table = words_of_bytes(task.weights.astype(geometry.value_format.bits_dtype).view(np.uint8))
    return Stimulus(
        beats={
            "item": {
                "mask": words_of_bytes(np.packbits(task.masks != 0, axis=1, bitorder="little")),
                "empty": (task.counts == 0).astype(np.uint64)[:, None],
                "last": group_ends[:, None],
            },
            "gradient": {
                "slot": slot.astype(np.uint64)[:, None],
                "value": task.values[number].astype(np.uint64)[:, None],
                "row": table[task.rows[number]],
                "last": last.astype(np.uint64)[:, None],
            },
        },
        outputs={"sums": int(np.sum(beats_per_item(task.active, geometry.lanes)))},
        valid=valid,
        ready=ready,
    )


def beats_per_item(active: Counts, lanes: int) -> Counts:
    """Return in how many beats the sums of items with `active` wanted channels leave."""
    return np.asarray(-(-active // lanes), np.int64)


def backward_payloads(geometry: BackwardUnitGeometry, task: BackwardTask, sums: Bits) -> dict[str, Words]:
    """Return what the stream `sums` must carry for `task`, by field, given its sums as `backward_item_sums` does."""
    lanes, active = geometry.lanes, task.active
    beats = beats_per_item(active, lanes)
    total = int(beats.sum())
    first_beat = np.cumsum(beats) - beats
    # position of every sum among all lanes of all beats: its item's first beat, then lane after lane
    within = np.arange(len(sums)) - np.repeat(np.cumsum(active) - active, active)
    data = np.zeros(total * lanes, geometry.sum_format.bits_dtype)
    data[np.repeat(first_beat * lanes, active) + within] = sums
    last = np.zeros(total, np.uint64)
    last[first_beat + beats - 1] = 1
    count = np.full(total, lanes, np.uint64)
    count[first_beat + beats - 1] = active - (beats - 1) * lanes
    return {
        "data": words_of_bytes(data.reshape(total, lanes).view(np.uint8)),
        "count": count[:, None],
        "last": last[:, None],
    }


def backward_outputs(geometry: BackwardUnitGeometry, response: Response) -> Bits:
    """Return the sums of a response as bit patterns of the sum format, as `backward_item_sums` returns them."""
    payload = response.payloads["sums"]
    width = geometry.sum_format.width_bytes
    data = np.ascontiguousarray(payload["data"]).view(np.uint8)[:, : geometry.lanes * width]
    lanes = np.ascontiguousarray(data).view(geometry.sum_format.bits_dtype)
    bits: Bits = lanes[np.arange(geometry.lanes) < payload["count"].astype(np.int64)]
    return bits
