"""The MyHDL simulator: slow, exact, and every signal of the Python source can be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rtl_models.simulators.interface import SimulatorError, check_stimuli
from rtl_models.simulators.process import call_worker
from rtl_models.units import Response, Stimulus, Unit


class MyhdlSimulator:
    """Runs units in MyHDL, each call in a process of its own: MyHDL allows one simulation per process."""

    name = "myhdl"

    def __init__(self, watchdog_cycles: int = 2_000) -> None:
        self.watchdog_cycles = watchdog_cycles
        """Cycles without any transfer, beyond all patterns, after which a unit counts as hung."""

    def run(self, unit: Unit, stimuli: Sequence[Stimulus], vcd: Path | None = None) -> list[Response]:
        """Run all stimuli one after the other; see `Simulator.run`."""
        check_stimuli(unit, stimuli, vcd)
        if not stimuli:
            return []
        request = (unit, list(stimuli), vcd, self.watchdog_cycles)
        answer: list[Response] | str = call_worker("rtl_models.simulators.myhdl_worker", request, unit.name)
        if isinstance(answer, str):
            raise SimulatorError(unit.name, answer)
        return answer
