"""Sizes of one kind of block, told from those of its sizes that were synthesised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from rtl_models.formats import format_by_name
from rtl_models.transistors import BlockCount, transistor_counts
from tlm.analysis.area.fit import Fit, Sample, fit
from tlm.analysis.technology.range import Range

Geometry = TypeVar("Geometry")


@dataclass(frozen=True)
class SizeModel(Generic[Geometry]):
    """How the transistors of a kind of block grow with its geometry.

    `parts` are transistors known from parts counted by themselves, `features` what the rest grows with, in bits or
    pieces; those named in `memories` are memories, for which a real chip has no flip-flops. `flip_flops` are those
    known, `flip_flop_features` what the others grow with. Sizes with at least `held_out` of a key are in no fit.
    """

    block: str
    geometry: Callable[..., Geometry]
    parts: Callable[[Geometry], float]
    features: Callable[[Geometry], dict[str, float]]
    memories: tuple[str, ...]
    flip_flops: Callable[[Geometry], float]
    flip_flop_features: tuple[str, ...]
    held_out: tuple[str, int]

    def logic_transistors(self, size: Geometry) -> Range:
        """Return the transistors of one block without its memories, within the worst error on a size left out."""
        features = {name: value for name, value in self.features(size).items() if name not in self.memories}
        return Range.about(self.fit.count(self.parts(size), features), self.fit.error)

    def logic_flip_flops(self, size: Geometry) -> float:
        """Return the flip-flops of one block without its memories."""
        features = self.features(size)
        growing = {name: features[name] for name in self.flip_flop_features}
        return max(0.0, self.flip_flop_fit.count(self.flip_flops(size), growing))

    def geometry_of(self, record: BlockCount) -> Geometry:
        """Return the geometry of a synthesised size."""
        raw: dict[str, Any] = dict(record.geometry)
        formats = {key: format_by_name(raw.pop(key)) for key in ("value_format", "sum_format")}
        return self.geometry(**raw, **formats)

    def records(self, held_out: bool = False) -> list[BlockCount]:
        """Return the synthesised sizes that the fits use, or those that are kept out of them."""
        key, least = self.held_out
        blocks = (record for record in transistor_counts().blocks if record.block == self.block)
        return [record for record in blocks if (int(record.geometry[key]) >= least) == held_out]

    def samples(self, held_out: bool = False) -> list[Sample]:
        """Return `records` as samples of transistors."""
        return [
            Sample(str(record.geometry), self.parts(size), self.features(size), record.transistors)
            for record, size in ((record, self.geometry_of(record)) for record in self.records(held_out))
        ]

    @cached_property
    def fit(self) -> Fit:
        """The fit of transistors, memories included."""
        return fit(self.samples(), self.samples(held_out=True))

    @cached_property
    def flip_flop_fit(self) -> Fit:
        """The fit of flip-flops that are no memories."""
        samples = []
        for record in self.records():
            size = self.geometry_of(record)
            features = self.features(size)
            growing = {name: features[name] for name in self.flip_flop_features}
            memories = sum(features[name] for name in self.memories)
            samples.append(Sample(str(record.geometry), self.flip_flops(size), growing, record.flip_flops - memories))
        return fit(samples)
