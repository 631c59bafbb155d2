"""What an engine asks of hardware that takes the place of its cycle law, for part of its work (docs/cosim.md).

A model without such hardware books the law's cycles; with it, it waits until the hardware has made the transfers.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from simpy.events import Event

from tlm.kernel.account import State
from tlm.kernel.module import Module
from tlm.kernel.process import Process, Steps
from tlm.kernel.time import Clock
from tlm.schedule.lut_jobs import LutJob

if TYPE_CHECKING:
    from tlm.engines.streams import Stream


class RowHardware(Protocol):
    """One row of a LUT array; the array's other rows run in step with it."""

    def takes(self, stream: Stream, job: LutJob) -> bool:
        """Whether the job runs in the hardware."""

    def build(self, process: Process, stream: Stream, job: LutJob, number: int) -> Steps:
        """Build the tables of the job's tile `number`, whose values are there from now on."""

    def look_up(
        self, process: Process, stream: Stream, job: LutJob, number: int, earliest_ps: int
    ) -> Generator[Event, Any, int]:
        """Look the tile up; its indices and room are there from now on, the adder's interlock ends at `earliest_ps`.

        Returns when the interlock of this tile's first position ends.
        """

    def drain(self, process: Process, stream: Stream, job: LutJob, end_ps: int) -> Steps:
        """Wait until the sums of the job, whose look-ups ended at `end_ps`, have left the hardware."""


class SumsOnTheirWay(Protocol):
    """A block's sums under way in the hardware."""

    def wait(self, state: State, reason: str) -> Steps:
        """Wait until the hardware has sent the last of them, booked as `state`."""


class BackwardHardware(Protocol):
    """The first unit of the backward engine."""

    def begin(self, stream: Stream, step: int, tile: int, parts: Sequence[tuple[int, int]]) -> None:
        """The blocks that follow are of this step and channel tile, part by part, in the order of the queue."""

    def run(self, units: NDArray[np.int64], start_cycle: int) -> SumsOnTheirWay | None:
        """Offer the first unit's groups of the next block; `units` [groups] tells which unit the law gives each to.

        Returns None where the block has none of them, or they are not for the hardware.
        """


class ChipHardware(Protocol):
    """Which units of a chip are hardware."""

    def row(
        self, engine: str, array: Module, clock: Clock, jobs: Sequence[tuple[Stream, LutJob]]
    ) -> RowHardware | None:
        """Return the row of an array that runs `jobs` in this order; None where the law stands for it."""

    def backward_unit(self, engine: Module, clock: Clock) -> BackwardHardware | None:
        """Return the backward engine's first unit; None where the law stands for it."""
