"""Lines of an energy table: how often something happened, what one costs, what all of it took."""

from __future__ import annotations

from dataclasses import dataclass

from tlm.analysis.technology.range import Range


@dataclass(frozen=True)
class EnergyLine:
    """One line: `count` times `unit` in `group`; `each_pj` is what one takes."""

    group: str
    name: str
    count: int
    unit: str
    each_pj: Range

    @property
    def energy_pj(self) -> Range:
        """What all of them take."""
        return self.each_pj * self.count
