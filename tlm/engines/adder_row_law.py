"""When a row of adders does what: the two baselines of the LUT row, as cycle laws only (docs/timing.md).

The lanes, the tree and the accumulator are those of a LUT row; a lane has one adder of the value format instead of a
table, holds the k operands of its group, and adds those whose spike is 1, one a cycle. Dense adders take k cycles a
position; zero-skipping ones only the ones, and the tree waits for the lane with the most.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from tlm.engines.lut_row_law import LutRowTiming


@dataclass(frozen=True)
class AdderRowTiming(LutRowTiming):
    """The cycle law of a row of `lanes` adders; a lane's adder has the latency of a table builder's."""

    @cached_property
    def build_cycles(self) -> int:
        """Operands come as a table's do, one a cycle and lane, and there is nothing to build."""
        return self.k

    @property
    def output_latency_cycles(self) -> int:
        """Cycles from a position's last addition to its output being valid: the lane's adder, then as in a LUT row."""
        return self.build_latency_cycles + super().output_latency_cycles

    def look_up_cycles(self, positions: int) -> int:
        """Return the cycles of a tile when every operand is added, needed or not."""
        return self.adding_cycles(positions * self.k, self.k)

    def adding_cycles(self, additions: int, most: int) -> int:
        """Return the cycles of a tile whose lanes wait for `additions` in all, for `most` at one position.

        Positions take turns, so that the adder's latency only matters where there are few of them.
        """
        return max(additions, most * self.build_latency_cycles)
