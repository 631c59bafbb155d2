"""What the weight update gives the transposition unit: the words of a tile, and the channel groups in them."""

from __future__ import annotations

from tlm.config import Config
from workloads.network import Layer


def channel_groups(layer: Layer, first: int, end: int, k: int) -> tuple[int, int]:
    """Return the first group (r, s, c div k) of k channels that the elements first..end lie in, and one past the last.

    A group holds channels of one tap; the last one of a tap may have fewer than k.
    """
    per_tap = -(-layer.in_channels // k)

    def group(element: int) -> int:
        tap, channel = divmod(element, layer.in_channels)
        return tap * per_tap + channel // k

    return group(first), group(end - 1) + 1


def words_per_tile(layer: Layer, first: int, end: int, config: Config) -> int:
    """Return how many words hold a tile's indices of the elements first..end: a block a lane and group of channels."""
    first_group, end_group = channel_groups(layer, first, end, config.lut.k)
    return -(-config.lut.lanes * (end_group - first_group) // config.transposition_blocks)
