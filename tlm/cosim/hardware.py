"""What the co-simulation must know of a hardware unit: how it is fed, what must come out of it, and when."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from rtl_models.units import Response, Stimulus, Unit
from tlm.cosim.stalls import Stalls

Transfers = dict[str, NDArray[np.int64]]
"""By stream: the cycle of every transfer."""
Results = dict[str, NDArray[np.unsignedinteger]]
"""By output field: bit patterns, in the order in which they leave."""
UnitMaker = Callable[[Any], Unit]
"""What makes a unit of a geometry: ours, or a user's own."""

Geometry = TypeVar("Geometry")
Task = TypeVar("Task")


class Hardware(ABC, Generic[Geometry, Task]):
    """One kind of hardware unit with its reference function and its cycle law; it has no state."""

    name: str
    sources: ClassVar[tuple[str, ...]]
    """Input streams."""
    sink: ClassVar[str]
    """The output stream."""
    geometry_type: type[Geometry]
    task_type: type[Task]

    @abstractmethod
    def unit(self, geometry: Geometry) -> Unit:
        """Return our RTL of this geometry."""

    @abstractmethod
    def stimulus(self, geometry: Geometry, task: Task, stalls: Stalls) -> Stimulus:
        """Return what the unit is fed; raises InputError where the task does not fit the geometry."""

    @abstractmethod
    def reference(self, geometry: Geometry, task: Task) -> Results:
        """Return what the unit must send."""

    @abstractmethod
    def law(self, geometry: Geometry, task: Task, stalls: Stalls) -> Transfers:
        """Return the cycle of every transfer by the cycle law."""

    @abstractmethod
    def outputs(self, geometry: Geometry, response: Response) -> Results:
        """Return what the unit sent, in the form of `reference`."""

    @abstractmethod
    def tiles(self, task: Task) -> int:
        """Return how many tiles a task has, whatever a tile of this unit is."""

    def beat(self, geometry: Geometry, task: Task, field: str, number: int) -> int:
        """Return with which beat of the output stream the result `number` of a field leaves."""
        return number

    @abstractmethod
    def short_task(self, geometry: Geometry, task: Task, rng: np.random.Generator, at_plane: bool) -> Task:
        """Cut a short piece out of `task` for the slow MyHDL simulation; `at_plane`: across a bit plane, if any."""

    def short_geometry(self, geometry: Geometry) -> Geometry:
        """Return the geometry that runs short tasks: equal in bits and cycles, and quicker to simulate."""
        return geometry
