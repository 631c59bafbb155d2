"""One row stream ready to run: what the unit is fed, and the bits and cycles that must come out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_models.formats import Bits
from rtl_models.lut_row import LutRowGeometry
from rtl_models.reference.row import RowTask, row_outputs, row_stimulus
from rtl_models.units import Response, Stimulus
from tlm.config import Config
from tlm.cosim.stalls import Stalls
from tlm.engines.lut_row_law import LutRowTiming

Transfers = dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Case:
    """A row task under stalls, its expected `sums` (patterns) and the cycle of every transfer by the law."""

    name: str
    task: RowTask
    stalls: Stalls
    sums: Bits
    transfers: Transfers

    @property
    def law_cycles(self) -> int:
        """Cycles by the law: the last transfer's cycle plus one."""
        return 1 + max(int(cycles[-1]) for cycles in self.transfers.values() if len(cycles))

    def stimulus(self, geometry: LutRowGeometry) -> Stimulus:
        """What a unit of this geometry is fed."""
        return row_stimulus(geometry, self.task, self.stalls.valid, self.stalls.ready)


@dataclass(frozen=True)
class Difference:
    """The first result or transfer that differs: which beat of which stream, and the cycle in which it was measured.

    `what` is "result" (values are bit patterns), "transfer" (values are cycles), "trace" (values are patterns of
    what the trace holds) or "behaviour" (the unit hangs or sends too much; `text` says what).
    """

    what: str
    stream: str = ""
    beat: int = 0
    expected: int = 0
    got: int = 0
    cycle: int = 0
    text: str = ""

    def __str__(self) -> str:
        if self.what == "behaviour":
            return self.text
        if self.what == "transfer":
            return f"beat {self.beat} of {self.stream}: cycle by the law {self.expected}, measured {self.got}"
        if self.what == "trace":
            return f"value {self.beat}: from the reference {self.expected:#x}, in the trace {self.got:#x}"
        return f"result {self.beat}: expected {self.expected:#x}, got {self.got:#x}, in cycle {self.cycle}"


def row_geometry(config: Config, depth: int) -> LutRowGeometry:
    """The LUT row of a configuration, with an accumulator memory of `depth` positions."""
    return LutRowGeometry(
        k=config.lut.k,
        lanes=config.lut.lanes,
        value_format=config.contract.value,
        sum_format=config.contract.sum,
        depth=depth,
        build_latency_cycles=config.lut.build_latency_cycles,
        adder_latency_cycles=config.lut.adder_latency_cycles,
        tree_registers=config.lut.tree_registers,
    )


def make_case(name: str, task: RowTask, stalls: Stalls, sums: Bits, timing: LutRowTiming) -> Case:
    """Apply the cycle law to a task under stalls."""
    return Case(name, task, stalls, sums, law_transfers(timing, task, stalls))


def law_transfers(timing: LutRowTiming, task: RowTask, stalls: Stalls) -> Transfers:
    """Cycle of every transfer on load, index and out by the law."""
    cycles = timing.transfers(task.positions, task.emit, stalls.valid, stalls.ready)
    return {"load": cycles.load, "index": cycles.index, "out": cycles.out}


def count_differences(case: Case, geometry: LutRowGeometry, response: Response) -> tuple[int, int, int]:
    """Return the numbers of wrong results, wrong bits in them, and transfers in another cycle than the law's."""
    got = row_outputs(geometry, response)
    shared = min(len(got), len(case.sums))
    wrong = got[:shared] ^ case.sums[:shared]
    results = int(np.count_nonzero(wrong)) + abs(len(got) - len(case.sums))
    bits = int(np.bitwise_count(wrong).sum())
    transfers = 0
    for stream, law in case.transfers.items():
        measured = response.transfers[stream]
        shared = min(len(law), len(measured))
        transfers += int(np.count_nonzero(law[:shared] != measured[:shared])) + abs(len(law) - len(measured))
    return results, bits, transfers


def first_difference(case: Case, geometry: LutRowGeometry, response: Response) -> Difference | None:
    """Return the first wrong result, else the earliest transfer in another cycle than the law's, else None."""
    got = row_outputs(geometry, response)
    sent = response.transfers["out"]
    wrong = np.flatnonzero(got != case.sums) if len(got) == len(case.sums) else np.zeros(1, np.int64)
    if len(got) != len(case.sums):
        return Difference("behaviour", text=f"{len(got)} results, expected {len(case.sums)}")
    if len(wrong):
        beat = int(wrong[0])
        return Difference("result", "out", beat, int(case.sums[beat]), int(got[beat]), int(sent[beat]))
    found = []
    for stream, law in case.transfers.items():
        measured = response.transfers[stream]
        late = np.flatnonzero(law != measured)
        if len(late):
            beat = int(late[0])
            cycles = int(law[beat]), int(measured[beat])
            found.append((min(cycles), Difference("transfer", stream, beat, *cycles, cycles[1])))
    return min(found, key=lambda entry: entry[0])[1] if found else None
