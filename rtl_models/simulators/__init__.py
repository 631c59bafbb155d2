"""RTL simulators behind one interface: MyHDL's own, and Verilator through PyVerilator."""

from __future__ import annotations

from rtl_models.errors import InputError
from rtl_models.simulators.build import require_verilator, verilator_path
from rtl_models.simulators.interactive import InteractiveUnit, open_interactive
from rtl_models.simulators.interface import Simulator, SimulatorError
from rtl_models.simulators.myhdl_simulator import MyhdlSimulator
from rtl_models.simulators.verilated import VerilatorSimulator

__all__ = [
    "InteractiveUnit",
    "MyhdlSimulator",
    "Simulator",
    "SimulatorError",
    "VerilatorSimulator",
    "available_simulators",
    "open_interactive",
    "simulator_by_name",
]


def available_simulators() -> tuple[str, ...]:
    """Return the names of the simulators that can run here, the fastest first."""
    return ("verilator", "myhdl") if verilator_path() else ("myhdl",)


def simulator_by_name(name: str) -> Simulator:
    """Return the simulator `name`; ``auto`` is Verilator where it is installed, else MyHDL.

    Raises InputError for an unknown name, and for Verilator where it is not installed.
    """
    if name == "auto":
        name = available_simulators()[0]
    if name == "myhdl":
        return MyhdlSimulator()
    if name == "verilator":
        require_verilator()
        return VerilatorSimulator()
    raise InputError("unknown simulator", "simulator", name, "auto, verilator, myhdl")
