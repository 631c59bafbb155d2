"""H2Learn as a transaction-level model. These names are what scripts and notebooks need (docs/python.md).

Each is imported when it is first used, so that ``import tlm`` and the command line stay fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtl_models.errors import InputError
    from tlm.api import chip_area, cosimulate, gpu_step, simulate, step_energy, train
    from tlm.config import Config, list_presets, load_config
    from tlm.simulated_step import SimulatedStep
    from workloads.network import Network, list_networks, load_network
    from workloads.trace_file import Trace, open_trace

__all__ = [
    "Config",
    "InputError",
    "Network",
    "SimulatedStep",
    "Trace",
    "chip_area",
    "cosimulate",
    "gpu_step",
    "list_networks",
    "list_presets",
    "load_config",
    "load_network",
    "open_trace",
    "simulate",
    "step_energy",
    "train",
]

_MODULES = {
    "rtl_models.errors": ("InputError",),
    "tlm.api": ("chip_area", "cosimulate", "gpu_step", "simulate", "step_energy", "train"),
    "tlm.config": ("Config", "list_presets", "load_config"),
    "tlm.simulated_step": ("SimulatedStep",),
    "workloads.network": ("Network", "list_networks", "load_network"),
    "workloads.trace_file": ("Trace", "open_trace"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
