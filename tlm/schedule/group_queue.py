"""The order in which the backward units take one channel tile's work items, and the groups and blocks they come in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tlm.schedule.backward_items import BackwardItems, Counts


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


def queue_groups(
    items: BackwardItems,
    tile: int,
    block_size: int,
    items_in_flight: int,
    parts: Sequence[tuple[int, int]] | None = None,
) -> GroupQueue:
    """Return the groups of one channel tile: part by part, sample by sample in blocks of `block_size` positions."""
    samples, height, width = items.gradients.shape
    plane = height * width
    active = items.active.reshape(-1, items.active.shape[-1])[:, tile]
    positions = np.flatnonzero(active)
    begins, ends = np.array(parts or ((0, plane),)).T
    blocks = -(-(ends - begins) // block_size)  # of a sample, in each part
    sample, place = np.divmod(positions, plane)
    part = np.searchsorted(ends, place, side="right")
    before = samples * (np.cumsum(blocks) - blocks)
    block = before[part] + sample * blocks[part] + (place - begins[part]) // block_size
    positions = positions[np.argsort(block, kind="stable")]
    block_items = np.bincount(block, minlength=samples * int(blocks.sum()))
    sizes = [np.full(-(-count // items_in_flight), items_in_flight, np.int64) for count in block_items]
    for count, size in zip(block_items, sizes, strict=True):
        if count % items_in_flight:
            size[-1] = count % items_in_flight
    gradients = items.elements(tile)[positions]
    return GroupQueue(positions, gradients, active[positions], np.concatenate(sizes), block_items.astype(np.int64))
