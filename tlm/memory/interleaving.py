"""Addresses that go to several channels in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from numba import njit


@njit(nogil=True)
def compiled_share(block: int, first: int, last: int, per_block: int, channels: int) -> tuple[int, int]:
    """Return the (first, end) of the bursts, in the channel's own numbers, of the channel that `block` lies on.

    `block` is the first of the channel's blocks that hold bursts of `first` to `last`.
    """
    last_block = last // per_block
    begin = block // channels * per_block
    if block == first // per_block:
        begin += first % per_block
    final = last_block - (last_block - block) % channels
    end = final // channels * per_block + (last % per_block + 1 if final == last_block else per_block)
    return begin, end


share_of: Callable[[int, int, int, int, int], tuple[int, int]] = compiled_share.py_func


@dataclass(frozen=True)
class Interleaving:
    """Consecutive blocks of `block_bytes` go to `channels` channels in turn; everything moves in whole bursts."""

    channels: int
    block_bytes: int
    burst_bytes: int

    def bursts(self, address: int, length: int) -> Iterator[tuple[int, int, int]]:
        """(channel, first burst, bursts) of every channel's share of [address, address + length).

        A channel's own addresses are those of its blocks, one after another, so that its share is contiguous.
        """
        per_block = self.block_bytes // self.burst_bytes
        first, last = address // self.burst_bytes, (address + length - 1) // self.burst_bytes
        for block in range(first // per_block, min(last // per_block, first // per_block + self.channels - 1) + 1):
            begin, end = share_of(block, first, last, per_block, self.channels)
            yield block % self.channels, begin, end - begin

    def moved_bytes(self, address: int, length: int) -> int:
        """Bytes of all bursts that [address, address + length) touches."""
        first, end = address // self.burst_bytes, -(-(address + length) // self.burst_bytes)
        return (end - first) * self.burst_bytes
