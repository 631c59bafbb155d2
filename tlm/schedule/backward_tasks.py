"""What every backward unit is fed in one step of one channel tile, with real gradients, weights, masks and sums."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtl_models.formats import Bits, encode
from rtl_models.reference.backward import backward_sums
from rtl_models.reference.backward_items import BackwardTask
from tlm.config import Config
from tlm.schedule.backward_items import BackwardItems, backward_items, block_positions
from workloads.network import Layer
from workloads.record import Flags, Floats

Counts = NDArray[np.int64]
LARGEST_TASK = 1 << 17  # elements after which a unit's sequence is cut: 16 MiB of weight rows of 64 binary16 values


@dataclass(frozen=True)
class UnitTask:
    """Groups that one unit runs one after the other.

    `positions` [items] are the items' places among the micro-batch's (b, y, x); `sums` [wanted sums] what the reference
    gives, as bit patterns of the sum format, item after item, channels ascending.
    """

    unit: int
    task: BackwardTask
    positions: Counts
    sums: Bits


def backward_tasks(
    upper: Layer,
    gradients: Floats,
    masks: Flags,
    weights: Floats,
    config: Config,
    tile: int,
    units: Counts | None = None,
    largest_task: int = LARGEST_TASK,
) -> Iterator[UnitTask]:
    """Yield the work of every unit in the sums W^T du of one channel tile, unit after unit.

    gradients: [B, OH, OW, M] of the layer `upper`; masks: [B, H, W, C] of the layer below; weights: [M, R, S, C] of
    `upper`. units: [groups], which unit runs each group in the order of the queue (tlm.engines.backward_law.deal_groups
    gives it); by default one unit runs all. A unit's sequence is cut into tasks of about `largest_task` elements.
    """
    engine = config.backward_engine
    wanted = masks if engine.skip_inactive_outputs else np.ones_like(masks)
    items = backward_items(upper, gradients, masks, engine)
    channels = slice(tile * engine.channel_tile, (tile + 1) * engine.channel_tile)
    size = block_positions(upper.in_height * upper.in_width, wanted[..., channels].shape[-1], config)
    queue = queue_groups(items, tile, size, engine.items_in_flight)
    if units is None:
        units = np.zeros(len(queue.group_items), np.int64)
    packer = _Packer(upper, gradients, wanted[..., channels], weights[..., channels], config)
    ends = np.cumsum(queue.group_items)
    elements = np.diff(np.cumsum(queue.gradients)[ends - 1], prepend=0)
    for unit in np.unique(units):
        groups = np.flatnonzero(units == unit)
        part = (np.cumsum(elements[groups]) - elements[groups]) // largest_task
        for number in np.unique(part):
            chosen = groups[part == number]
            places = np.concatenate([np.arange(ends[g] - queue.group_items[g], ends[g]) for g in chosen])
            yield packer.pack(int(unit), queue, places, queue.group_items[chosen])


class GroupTasks:
    """The groups of one step and channel tile, to be taken one by one; arguments as `backward_tasks`."""

    def __init__(
        self, upper: Layer, gradients: Floats, masks: Flags, weights: Floats, config: Config, tile: int
    ) -> None:
        engine = config.backward_engine
        wanted = masks if engine.skip_inactive_outputs else np.ones_like(masks)
        channels = slice(tile * engine.channel_tile, (tile + 1) * engine.channel_tile)
        size = block_positions(upper.in_height * upper.in_width, wanted[..., channels].shape[-1], config)
        items = backward_items(upper, gradients, masks, engine)
        self.queue = queue_groups(items, tile, size, engine.items_in_flight)
        self._ends = np.cumsum(self.queue.group_items)
        self._packer = _Packer(upper, gradients, wanted[..., channels], weights[..., channels], config)

    def task(self, group: int) -> UnitTask:
        """Return the task of one group of the queue."""
        count = self.queue.group_items[group : group + 1]
        places = np.arange(self._ends[group] - count[0], self._ends[group])
        return self._packer.pack(0, self.queue, places, count)


@dataclass(frozen=True)
class GroupQueue:
    """Work items and groups in the order in which units take them; empty masks are left out."""

    positions: Counts
    """[items]: the item's place among the (b, y, x) of its micro-batch."""
    gradients: Counts
    """[items]: non-zero gradients of each item."""
    active: Counts
    """[items]: wanted sums of each item."""
    group_items: Counts
    """[groups]: consecutive items that make a group."""
    block_items: Counts
    """[blocks]: consecutive items that make a block of positions; groups do not reach across."""


def queue_groups(items: BackwardItems, tile: int, block_size: int, items_in_flight: int) -> GroupQueue:
    """Return the groups of one channel tile: sample by sample in blocks of `block_size` positions."""
    samples, height, width = items.gradients.shape
    plane = height * width
    active = items.active.reshape(-1, items.active.shape[-1])[:, tile]
    positions = np.flatnonzero(active)
    blocks_per_plane = -(-plane // block_size)
    block = positions // plane * blocks_per_plane + positions % plane // block_size
    block_items = np.bincount(block, minlength=samples * blocks_per_plane)
    sizes = [np.full(-(-count // items_in_flight), items_in_flight, np.int64) for count in block_items]
    for count, size in zip(block_items, sizes, strict=True):
        if count % items_in_flight:
            size[-1] = count % items_in_flight
    gradients = items.gradients.reshape(-1)[positions]
    return GroupQueue(positions, gradients, active[positions], np.concatenate(sizes), block_items.astype(np.int64))


class _Packer:
    """One step's operands of a channel tile, padded to the unit's channels, and the reference's sums."""

    def __init__(self, upper: Layer, gradients: Floats, wanted: Flags, weights: Floats, config: Config) -> None:
        engine, contract = config.backward_engine, config.contract
        padding = ((0, 0), (0, engine.channel_tile - wanted.shape[-1]))
        self._upper = upper
        self._skip = engine.skip_zero_gradients
        self._gradients = np.ascontiguousarray(gradients)
        self._bits = encode(self._gradients, contract.value).reshape(-1)
        self._masks = np.pad(wanted.reshape(-1, wanted.shape[-1]), padding)
        rows = weights.transpose(1, 2, 0, 3).reshape(-1, weights.shape[-1])
        self._weights: Bits = encode(np.pad(rows, padding), contract.value)
        self._wanted = wanted.reshape(-1, wanted.shape[-1]) != 0
        sums = backward_sums(replace(upper, in_channels=wanted.shape[-1]), gradients, weights, contract.sum)
        self._sums = encode(sums.reshape(-1, wanted.shape[-1]), contract.sum)

    def pack(self, unit: int, queue: GroupQueue, places: Counts, group_items: Counts) -> UnitTask:
        """Return the task of the items at `places` of the queue."""
        positions, counts = queue.positions[places], queue.gradients[places]
        at = np.empty(int(counts.sum()), np.int64)
        rows = np.empty(len(at), np.int64)
        upper = self._upper
        kernel = (upper.kernel_height, upper.kernel_width, upper.stride, upper.padding, upper.pool)
        shape = (upper.in_height, upper.in_width, *kernel)
        _list_elements(self._gradients, positions, shape, self._skip, at, rows)
        weights = self._weights
        if len(rows) < len(weights):  # a short task carries its own rows only
            rows, weights = np.arange(len(rows)), weights[rows]
        task = BackwardTask(self._masks[positions], group_items, counts, self._bits[at], rows, weights)
        return UnitTask(unit, task, positions, self._sums[positions][self._wanted[positions]])


@njit(nogil=True, cache=True)
def _list_elements(
    gradients: Floats,
    positions: Counts,
    shape: tuple[int, int, int, int, int, int, int],
    skip_zero: bool,
    at: Counts,
    rows: Counts,
) -> None:
    """Write where the gradients of each of `positions` stand, over (r, s, m), m fastest, and their weight rows."""
    height, width, kernel_height, kernel_width, stride, padding, pool = shape
    _, out_height, out_width, channels = gradients.shape
    element = 0
    for position in positions:
        b, place = position // (height * width), position % (height * width)
        for r in range(kernel_height):
            y = place // width + padding - r
            if y < 0 or y % stride or y // stride // pool >= out_height:
                continue
            y = y // stride // pool
            for s in range(kernel_width):
                x = place % width + padding - s
                if x < 0 or x % stride or x // stride // pool >= out_width:
                    continue
                x = x // stride // pool
                first = ((b * out_height + y) * out_width + x) * channels
                for m in range(channels):
                    if not skip_zero or gradients[b, y, x, m] != 0:
                        at[element] = first + m
                        rows[element] = (r * kernel_width + s) * channels + m
                        element += 1
