"""A Verilated unit by hand, through PyVerilator: poke, peek, clock, and look at the waveform."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from rtl_models.errors import InputError
from rtl_models.simulators.build import build_unit
from rtl_models.simulators.interface import RESET_CYCLES
from rtl_models.simulators.ports import port_widths
from rtl_models.simulators.wrapper import Variant, import_pyverilator
from rtl_models.units import Unit


class InteractiveUnit:
    """One unit under a user's hands; a context manager that closes the waveform.

    Values settle before they are peeked; a clock cycle is `clock()`. A poke is masked to the port's width, which
    PyVerilator itself does not do. `library` is an interactive shared object with the unit's ports; ours by default.
    """

    def __init__(self, unit: Unit, vcd: Path | None = None, library: Path | None = None) -> None:
        library = library or build_unit(unit, Variant(interactive=True, traced=vcd is not None))
        self.simulation: Any = import_pyverilator("pyverilator").PyVerilator(str(library), auto_eval=False)
        """PyVerilator's own object, for everything else that it can do."""
        self.unit = unit
        self.ports = {"clk": 1, "rst": 1, **port_widths(unit)}
        """Every port with its width in bits."""
        self._inputs = {name for name, _ in self.simulation.inputs}
        self._traced = vcd is not None
        if vcd is not None:
            self.simulation.start_vcd_trace(str(vcd), auto_tracing=False)

    def poke(self, port: str, value: int) -> None:
        """Drive an input port; raises InputError for a name that is no input."""
        if port not in self._inputs:
            raise InputError("not an input port", self.unit.name, port, ", ".join(sorted(self._inputs)))
        self.simulation[port] = value & ((1 << self.ports[port]) - 1)

    def peek(self, port: str) -> int:
        """Return a port's value once everything has settled; raises InputError for a name that is no port."""
        if port not in self.ports:
            raise InputError("not a port", self.unit.name, port, ", ".join(self.ports))
        self.simulation.eval()
        return int(self.simulation[port])

    def clock(self, cycles: int = 1) -> None:
        """Run clock cycles: low, then the rising edge."""
        for _ in range(cycles):
            for level in (0, 1):
                self.simulation["clk"] = level
                self.simulation.eval()
                if self._traced:
                    self.simulation.add_to_vcd_trace()

    def reset(self) -> None:
        """Reset the unit; every input is 0 afterwards."""
        for name in self._inputs:
            self.simulation[name] = 0
        self.simulation["rst"] = 1
        self.clock(RESET_CYCLES)
        self.simulation["rst"] = 0

    def close(self) -> None:
        """Finish the waveform, where there is one."""
        if self._traced:
            self.simulation.stop_vcd_trace()
            self._traced = False

    def __enter__(self) -> InteractiveUnit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_interactive(unit: Unit, vcd: Path | None = None, library: Path | None = None) -> InteractiveUnit:
    """Return `unit`, reset, for poking and peeking; `vcd` is where its waveform goes; `library` as `InteractiveUnit`.

    Raises InputError where Verilator is not installed.
    """
    interactive = InteractiveUnit(unit, vcd, library)
    interactive.reset()
    return interactive
