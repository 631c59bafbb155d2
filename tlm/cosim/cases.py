"""One stream ready to run: what the unit is fed, and the bits and cycles that must come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rtl_models.units import Response, Stimulus
from tlm.cosim.hardware import Hardware, Results, Transfers
from tlm.cosim.stalls import Stalls


@dataclass(frozen=True)
class Case:
    """A task of a kind of hardware under stalls, its expected results and the cycle of every transfer by the law."""

    name: str
    hardware: Hardware[Any, Any]
    task: Any
    stalls: Stalls
    results: Results
    transfers: Transfers

    @property
    def law_cycles(self) -> int:
        """Cycles by the law: the last transfer's cycle plus one."""
        return 1 + max(int(cycles[-1]) for cycles in self.transfers.values() if len(cycles))

    @property
    def values(self) -> int:
        """Number of results, all fields together."""
        return sum(len(values) for values in self.results.values())

    @property
    def beats(self) -> int:
        """Number of transfers, all streams together."""
        return sum(len(cycles) for cycles in self.transfers.values())

    def stimulus(self, geometry: Any) -> Stimulus:
        """What a unit of this geometry is fed."""
        return self.hardware.stimulus(geometry, self.task, self.stalls)


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
        values = f"expected {self.expected:#x}, got {self.got:#x}"
        return f"result {self.beat} ({self.stream}): {values}, in cycle {self.cycle}"


def make_case(
    name: str,
    hardware: Hardware[Any, Any],
    geometry: Any,
    task: Any,
    stalls: Stalls | None = None,
    results: Results | None = None,
) -> Case:
    """Apply the cycle law to a task under stalls, and the reference where its `results` are not known yet."""
    stalls = stalls or Stalls()
    known = hardware.reference(geometry, task) if results is None else results
    return Case(name, hardware, task, stalls, known, hardware.law(geometry, task, stalls))


def count_differences(case: Case, geometry: Any, response: Response) -> tuple[int, int, int]:
    """Return the numbers of wrong results, wrong bits in them, and transfers in another cycle than the law's."""
    results = bits = transfers = 0
    outputs = case.hardware.outputs(geometry, response)
    for field, expected in case.results.items():
        got = outputs[field]
        shared = min(len(got), len(expected))
        wrong = got[:shared] ^ expected[:shared].astype(got.dtype)
        results += int(np.count_nonzero(wrong)) + abs(len(got) - len(expected))
        bits += int(np.bitwise_count(wrong).sum())
    for stream, law in case.transfers.items():
        measured = response.transfers[stream]
        shared = min(len(law), len(measured))
        transfers += int(np.count_nonzero(law[:shared] != measured[:shared])) + abs(len(law) - len(measured))
    return results, bits, transfers


def first_difference(case: Case, geometry: Any, response: Response) -> Difference | None:
    """Return the first wrong result, else the earliest transfer in another cycle than the law's, else None."""
    return _first_wrong_result(case, geometry, response) or _first_late_transfer(case, response)


def _first_wrong_result(case: Case, geometry: Any, response: Response) -> Difference | None:
    sent = response.transfers[case.hardware.sink]
    outputs = case.hardware.outputs(geometry, response)
    found = []
    for field, expected in case.results.items():
        got = outputs[field]
        if len(got) != len(expected):
            return Difference("behaviour", text=f"{len(got)} results ({field}), expected {len(expected)}")
        wrong = np.flatnonzero(got != expected)
        if len(wrong):
            number = int(wrong[0])
            cycle = int(sent[case.hardware.beat(geometry, case.task, field, number)])
            found.append(Difference("result", field, number, int(expected[number]), int(got[number]), cycle))
    return min(found, key=lambda difference: difference.cycle) if found else None


def _first_late_transfer(case: Case, response: Response) -> Difference | None:
    found = []
    for stream, law in case.transfers.items():
        measured = response.transfers[stream]
        late = np.flatnonzero(law != measured)
        if len(late):
            beat = int(late[0])
            cycles = int(law[beat]), int(measured[beat])
            found.append((min(cycles), Difference("transfer", stream, beat, *cycles, cycles[1])))
    return min(found, key=lambda entry: entry[0])[1] if found else None
