"""The hardware units that co-simulation knows, and the engines that they work in: one module a unit."""

from __future__ import annotations

from typing import Any

from rtl_models.errors import InputError
from tlm.config import Config
from tlm.cosim.engine import Engine
from tlm.cosim.hardware import Hardware
from tlm.cosim.units.backward_unit import Backward
from tlm.cosim.units.gradient_unit import Gradient
from tlm.cosim.units.lut_row import Forward, WeightUpdate
from tlm.cosim.units.neuron_unit import Neuron
from tlm.cosim.units.optimiser_unit import Optimiser
from tlm.cosim.units.transposition_unit import TranspositionEngine
from tlm.cosim.units.weight_gradient_unit import WeightGradient
from workloads.trace_file import Trace

ENGINES: tuple[type[Engine], ...] = (
    Forward,
    Neuron,
    Backward,
    Gradient,
    TranspositionEngine,
    WeightUpdate,
    WeightGradient,
    Optimiser,
)
"""In the order of a training step."""
HARDWARE: dict[str, Hardware[Any, Any]] = {engine.hardware.name: engine.hardware for engine in ENGINES}
"""By name."""


def open_engines(trace: Trace, config: Config) -> dict[str, Engine]:
    """Return every engine of a step by name.

    Raises InputError where a unit of this configuration cannot be built.
    """
    engines = {kind.name: kind(trace, config) for kind in ENGINES}
    for engine in engines.values():
        if engine.layers:
            engine.hardware.unit(engine.geometry)
    return engines


def hardware_by_name(name: str, where: str = "unit") -> Hardware[Any, Any]:
    """Return the hardware `name`; raises InputError for any other name."""
    if name not in HARDWARE:
        raise InputError("unknown unit", where, name, ", ".join(HARDWARE))
    return HARDWARE[name]
