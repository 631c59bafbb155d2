"""Parts with hierarchical names: `Component` is anything named, `Module` a part that holds others."""

from __future__ import annotations

from typing import Protocol

from tlm.kernel.errors import ElaborationError
from tlm.kernel.process import Body, Process, process_name
from tlm.kernel.simulation import Simulation


class Parent(Protocol):
    """What can hold named parts: a `Simulation` or a `Module`."""

    @property
    def name(self) -> str: ...

    @property
    def simulation(self) -> Simulation: ...


def full_name(name: str, parent: Parent) -> str:
    """Return the hierarchical name; ElaborationError if `name` is empty or holds a dot or a space."""
    if "." in name or name.split() != [name]:
        raise ElaborationError("bad name", parent.name or "simulation", name, "not empty, no dots, no spaces")
    return f"{parent.name}.{name}" if parent.name else name


class Component:
    """A named part; `name` is the full name, unique in the simulation.

    Raises ElaborationError if the name is bad or taken.
    """

    def __init__(self, name: str, parent: Parent) -> None:
        self.simulation = parent.simulation
        self.env = self.simulation.env
        self.base_name = name
        self._name = self.simulation.register(full_name(name, parent), self)

    @property
    def name(self) -> str:
        """Full hierarchical name, such as ``chip.forward.buffer``."""
        return self._name


class Module(Component):
    """A part that holds other parts and processes (sc_module)."""

    def process(self, body: Body, name: str | None = None, *, daemon: bool = False) -> Process:
        """Start a process whose name stands below this module's; see `Simulation.process`."""
        base = process_name(body) if name is None else name
        return self.simulation.process(body, full_name(base, self), daemon=daemon)
