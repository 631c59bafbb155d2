"""All-reduces in closed form: how long links take until every chip has the sum of all chips' gradients.

Ring: the gradient is cut into as many chunks as there are chips; n - 1 steps add them up on their way round, n - 1 more
bring the sums to every chip (Patarasuk and Yuan, J. Parallel Distrib. Comput. 69(2), 2009, who prove that no all-reduce
moves fewer bytes; Thakur, Rabenseifner and Gropp, Int. J. High Perform. Comput. Appl. 19(1), 2005). Tree: segments are
added up to the root of a binary tree and sent down again, one behind the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rtl_models.formats import FloatFormat

PS_PER_US = 10**6
RING, TREE = "ring", "tree"


@dataclass(frozen=True)
class LinkTiming:
    """One direction of a link: a message takes its bytes' time, and its last byte arrives `latency_ps` later."""

    bytes_per_us: int
    latency_ps: int

    def serial_ps(self, size_bytes: int) -> int:
        """Time for which a message occupies the link."""
        return -(-size_bytes * PS_PER_US // self.bytes_per_us)


@dataclass(frozen=True)
class Gradient:
    """What is added up over the chips: the weight gradients of one layer, in the sum format `total`."""

    elements: int
    total: FloatFormat

    @property
    def width_bytes(self) -> int:
        """Bytes of one sum."""
        return self.total.width_bytes

    @property
    def size_bytes(self) -> int:
        """Bytes of the sums."""
        return self.elements * self.width_bytes


@dataclass(frozen=True)
class Links:
    """What joins the chips: `topology`, the timing of every link, and the tree's largest message."""

    topology: str
    timing: LinkTiming
    segment_bytes: int

    def all_reduce_ps(self, chips: int, gradient: Gradient) -> int:
        """Time from when all of `chips` chips begin until the last of them has every sum."""
        return TOPOLOGIES[self.topology](self, chips, gradient) if chips > 1 else 0

    def segments(self, gradient: Gradient) -> list[tuple[int, int]]:
        """(first, count) of the sums in the messages that a tree sends one behind the other, the last one shorter."""
        most = max(1, self.segment_bytes // gradient.width_bytes)
        return [(first, min(most, gradient.elements - first)) for first in range(0, gradient.elements, most)]


def ring_chunks(elements: int, chips: int) -> list[int]:
    """Elements of the chunk that each chip is the first to send; the first ones have one more where it must be."""
    return [elements // chips + (chip < elements % chips) for chip in range(chips)]


def parent(chip: int) -> int:
    """The chip above in the binary tree, whose levels are filled one after the other; chip 0 is the root."""
    return (chip - 1) // 2


def children(chip: int, chips: int) -> list[int]:
    """The chips below."""
    return [below for below in (2 * chip + 1, 2 * chip + 2) if below < chips]


def tree_depth(chips: int) -> int:
    """Links between the root and the chips furthest from it."""
    return chips.bit_length() - 1


def _ring_ps(links: Links, chips: int, gradient: Gradient) -> int:
    largest = ring_chunks(gradient.elements, chips)[0] * gradient.width_bytes
    return 2 * (chips - 1) * (links.timing.latency_ps + links.timing.serial_ps(largest))


def _tree_ps(links: Links, chips: int, gradient: Gradient) -> int:
    """Messages that pass one station after the other, all stations alike: a proportionate flow shop."""
    hops = 2 * tree_depth(chips)
    times = [links.timing.serial_ps(size * gradient.width_bytes) for _, size in links.segments(gradient)]
    return hops * links.timing.latency_ps + sum(times) + (hops - 1) * times[0]


TOPOLOGIES: dict[str, Callable[[Links, int, Gradient], int]] = {RING: _ring_ps, TREE: _tree_ps}
