"""The points of a scaling study: how many chips, over which links, and which images of the trace each of them has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm

from rtl_models.errors import InputError
from tlm.analysis.cluster.chip_step import Share
from tlm.schedule.geometry import MicroBatch

STRONG, WEAK = "strong", "weak"
SCALINGS = (STRONG, WEAK)


@dataclass(frozen=True)
class Captured:
    """What a trace offers to the chips: `count` micro-batches of `size` images."""

    size: int
    count: int

    @classmethod
    def of(cls, images: int, micro_batch: int) -> Captured:
        """Return the micro-batches of a trace; InputError where the last of several is not whole."""
        if images <= micro_batch:
            return cls(images, 1)
        if images % micro_batch:
            what = "chips cannot share a trace whose last micro-batch is not whole"
            raise InputError(what, "images of the trace", images, f"a multiple of {micro_batch}, or at most that")
        return cls(micro_batch, images // micro_batch)

    def share(self, first: int, count: int) -> Share:
        """Return the images of a chip that works on `count` micro-batches of the trace from number `first` on."""
        return tuple(MicroBatch(i, (first + i) * self.size, self.size) for i in range(count))

    def shares(self, chips: int, count: int) -> list[tuple[int, int]]:
        """(first, count) of what different chips have; chip i has that of number i modulo their number."""
        return [(number * count, count) for number in range(min(chips, self.count // count))]


@dataclass(frozen=True)
class Point:
    """One cluster; every chip works on `micro_batches` micro-batches of the trace's size."""

    scaling: str
    topology: str
    chips: int
    micro_batches: int


@dataclass(frozen=True)
class Batches:
    """Images of the whole cluster's step in strong scaling, and of each chip's in weak scaling."""

    cluster: int
    chip: int


def choose_batches(captured: Captured, chips: Sequence[int], cluster: int | None, chip: int | None) -> Batches:
    """Return the batches asked for; by default the least that all numbers of chips divide, and the trace's images.

    Raises InputError for one that is not of whole micro-batches.
    """
    size = captured.size
    cluster = lcm(*chips) * size if cluster is None else cluster
    batches = Batches(cluster, captured.count * size if chip is None else chip)
    for option, images in (("--batch", batches.cluster), ("--batch-per-chip", batches.chip)):
        if images < 1 or images % size:
            raise InputError("must be whole micro-batches", option, images, f"a multiple of {size}")
    return batches


def choose_scalings(captured: Captured, asked: Sequence[str] | None, notes: list[str]) -> tuple[str, ...]:
    """Return the scalings asked for, or all that the trace allows; what is left out is said in `notes`.

    Raises InputError where strong scaling is asked for and the trace has one micro-batch only.
    """
    if captured.count > 1:
        return tuple(asked or SCALINGS)
    what = "a step of several micro-batches cannot be told from a trace of one"
    if asked is not None and STRONG in asked:
        raise InputError(what, "--scaling", STRONG, f"{WEAK}, or a trace of 2 or more micro-batches")
    if asked is None:
        notes.append(f"strong scaling is left out: {what}")
    return (WEAK,)


def make_points(
    captured: Captured,
    scalings: Sequence[str],
    topologies: Sequence[str],
    chips: Sequence[int],
    batches: Batches,
    notes: list[str],
) -> list[Point]:
    """Return the grid, chips fastest; with too few images for so many chips a point is left out, as `notes` say.

    Raises InputError where a batch cannot be divided among the chips, and where no number of chips is left.
    """
    found = []
    for scaling in scalings:
        counts = list(chips)
        if scaling == STRONG:
            counts = [n for n in chips if n * captured.size <= batches.cluster]
            if len(counts) < len(chips):
                few = f"{len(chips) - len(counts)} of {len(chips)} numbers of chips are left out"
                notes.append(f"strong scaling: {few}, a batch of {batches.cluster} has no micro-batch for each chip")
        for n in counts:
            if scaling == STRONG and batches.cluster % (n * captured.size):
                what = f"the batch cannot be divided among {n} chips"
                raise InputError(what, "--batch", batches.cluster, f"a multiple of {n} x {captured.size}")
        found += [
            Point(scaling, topology, n, (batches.cluster // n if scaling == STRONG else batches.chip) // captured.size)
            for topology in topologies
            for n in counts
        ]
    if not found:
        raise InputError(
            "no number of chips is left", "--chips", list(chips), f"at most {batches.cluster // captured.size}"
        )
    for point in found:
        _check_can_be_told(point, captured)
    return found


def _check_can_be_told(point: Point, captured: Captured) -> None:
    if point.micro_batches > captured.count == 1:
        option = "--batch" if point.scaling == STRONG else "--batch-per-chip"
        images = point.micro_batches * captured.size
        what = "a step of several micro-batches cannot be told from a trace of one"
        raise InputError(what, option, images, f"{captured.size}, or a trace of 2 or more micro-batches")
