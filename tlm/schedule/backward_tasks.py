"""What every backward unit is fed in one step of one channel tile, with real gradients, weights, masks and sums."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtl_models.formats import Bits, encode
from rtl_models.reference.backward import Consumer, consumer_sums
from rtl_models.reference.backward_items import BackwardTask
from tlm.config import Config
from tlm.schedule.backward_items import add_reach, backward_items, block_positions
from tlm.schedule.group_queue import GroupQueue, queue_groups
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
    consumers: Sequence[Consumer],
    masks: Flags,
    config: Config,
    tile: int,
    units: Counts | None = None,
    largest_task: int = LARGEST_TASK,
) -> Iterator[UnitTask]:
    """Yield the work of every unit in the sums W^T du of one channel tile, unit after unit.

    consumers: who takes the layer's spikes, with gradients [B, OH, OW, M] and weights [M, R, S, C]; masks: [B, H, W, C]
    of the layer. units: [groups], which unit runs each group in the order of the queue, as
    tlm.engines.backward_law.deal_groups gives it; by default one unit runs all. A unit's sequence is cut into tasks of
    about `largest_task` elements.
    """
    engine = config.backward_engine
    wanted = masks if engine.skip_inactive_outputs else np.ones_like(masks)
    items = backward_items(consumers, masks, engine)
    channels = slice(tile * engine.channel_tile, (tile + 1) * engine.channel_tile)
    size = block_positions(masks.shape[1] * masks.shape[2], wanted[..., channels].shape[-1], config)
    queue = queue_groups(items, tile, size, engine.items_in_flight)
    if units is None:
        units = np.zeros(len(queue.group_items), np.int64)
    packer = _Packer(consumers, wanted[..., channels], channels, config)
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
    """The groups of one step and channel tile, to be taken one by one; arguments as `backward_tasks`.

    parts: (first, end) of the positions of a sample that are worked on one part after the other.
    """

    def __init__(
        self,
        consumers: Sequence[Consumer],
        masks: Flags,
        config: Config,
        tile: int,
        parts: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        engine = config.backward_engine
        wanted = masks if engine.skip_inactive_outputs else np.ones_like(masks)
        channels = slice(tile * engine.channel_tile, (tile + 1) * engine.channel_tile)
        size = block_positions(masks.shape[1] * masks.shape[2], wanted[..., channels].shape[-1], config)
        items = backward_items(consumers, masks, engine)
        self.queue = queue_groups(items, tile, size, engine.items_in_flight, parts)
        self._ends = np.cumsum(self.queue.group_items)
        self._packer = _Packer(consumers, wanted[..., channels], channels, config)

    def task(self, group: int) -> UnitTask:
        """Return the task of one group of the queue."""
        count = self.queue.group_items[group : group + 1]
        places = np.arange(self._ends[group] - count[0], self._ends[group])
        return self._packer.pack(0, self.queue, places, count)


class _Packer:
    """One step's operands of a channel tile, padded to the unit's channels, and the reference's sums.

    The gradients of all consumers lie one after the other, and so do their weight rows; an identity shortcut has those
    of the unit matrix.
    """

    def __init__(self, consumers: Sequence[Consumer], wanted: Flags, channels: slice, config: Config) -> None:
        engine, contract = config.backward_engine, config.contract
        width = wanted.shape[-1]
        padding = ((0, 0), (0, engine.channel_tile - width))
        self._skip = engine.skip_zero_gradients
        self._plane = wanted.shape[:3]
        self._parts = [_part(consumer, channels, width) for consumer in consumers]
        self._bits = encode(np.concatenate([part.gradients.reshape(-1) for part in self._parts]), contract.value)
        self._masks = np.pad(wanted.reshape(-1, width), padding)
        rows = np.concatenate([weights_of(part).transpose(1, 2, 0, 3).reshape(-1, width) for part in self._parts])
        self._weights: Bits = encode(np.pad(rows, padding), contract.value)
        self._wanted = wanted.reshape(-1, width) != 0
        self._reach = [np.zeros(self._plane, np.int64) for _ in self._parts]
        for part, reach in zip(self._parts, self._reach, strict=True):
            add_reach(part.layer, part.gradients, self._skip, reach)
        self._sums = encode(consumer_sums(self._parts, contract.sum).reshape(-1, width), contract.sum)

    def pack(self, unit: int, queue: GroupQueue, places: Counts, group_items: Counts) -> UnitTask:
        """Return the task of the items at `places` of the queue."""
        positions, counts = queue.positions[places], queue.gradients[places]
        at = np.empty(int(counts.sum()), np.int64)
        rows = np.empty(len(at), np.int64)
        starts = np.cumsum(counts) - counts
        first_gradient = first_row = 0
        for part, reach in zip(self._parts, self._reach, strict=True):
            upper = part.layer
            kernel = (upper.kernel_height, upper.kernel_width, upper.stride, upper.padding, upper.pool)
            shape = (*self._plane[1:], *kernel)
            _list_elements(part.gradients, positions, shape, self._skip, starts, first_gradient, first_row, at, rows)
            starts = starts + reach.reshape(-1)[positions]
            first_gradient += part.gradients.size
            first_row += weights_of(part).shape[0] * upper.kernel_height * upper.kernel_width
        weights = self._weights
        if len(rows) < len(weights):  # a short task carries its own rows only
            rows, weights = np.arange(len(rows)), weights[rows]
        task = BackwardTask(self._masks[positions], group_items, counts, self._bits[at], rows, weights)
        return UnitTask(unit, task, positions, self._sums[positions][self._wanted[positions]])


@dataclass(frozen=True)
class _UnitShape:
    """The 1x1 convolution that an identity shortcut is, of one channel tile."""

    in_height: int
    in_width: int
    in_channels: int
    kernel_height: int = 1
    kernel_width: int = 1
    stride: int = 1
    padding: int = 0
    pool: int = 1
    fully_connected: bool = False

    @property
    def conv_height(self) -> int:
        return self.in_height

    @property
    def conv_width(self) -> int:
        return self.in_width

    @property
    def out_height(self) -> int:
        return self.in_height

    @property
    def out_width(self) -> int:
        return self.in_width

    @property
    def out_channels(self) -> int:
        return self.in_channels


def _part(consumer: Consumer, channels: slice, width: int) -> Consumer:
    """Return what a consumer adds to the sums of a channel tile, as a convolution with weights [M, R, S, width]."""
    if not consumer.identity:
        return replace(
            consumer,
            gradients=np.ascontiguousarray(consumer.gradients),
            weights=weights_of(consumer)[..., channels],
        )
    gradients = np.ascontiguousarray(consumer.gradients[..., channels])
    unit = np.eye(width, dtype=np.float32)[:, np.newaxis, np.newaxis]
    return Consumer(_UnitShape(*gradients.shape[1:]), gradients, unit)


def weights_of(consumer: Consumer) -> Floats:
    """Return a convolution's weights; raises ValueError where they have not been read."""
    if consumer.weights is None:
        raise ValueError("the weights of a consumer have not been read")
    return consumer.weights


@njit(nogil=True, cache=True)
def _list_elements(
    gradients: Floats,
    positions: Counts,
    shape: tuple[int, int, int, int, int, int, int],
    skip_zero: bool,
    starts: Counts,
    first_gradient: int,
    first_row: int,
    at: Counts,
    rows: Counts,
) -> None:
    """Write where the gradients of each of `positions` stand, over (r, s, m), m fastest, and their weight rows.

    The elements of position i go to `starts[i]` and on; gradients and rows count from `first_gradient` and `first_row`.
    """
    height, width, kernel_height, kernel_width, stride, padding, pool = shape
    _, out_height, out_width, channels = gradients.shape
    for i in range(len(positions)):
        position, element = positions[i], starts[i]
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
                        at[element] = first_gradient + first + m
                        rows[element] = first_row + (r * kernel_width + s) * channels + m
                        element += 1
