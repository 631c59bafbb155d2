"""Co-simulation of the LUT row: a trace's row streams through reference, RTL and cycle law (docs/cosim.md)."""

from __future__ import annotations

from tlm.cosim.configuration import config_for_trace
from tlm.cosim.replay import ReplayResult, replay
from tlm.cosim.result import Comparison, CosimResult, Failure, UnitVerdict
from tlm.cosim.run import cosimulate

__all__ = [
    "Comparison",
    "CosimResult",
    "Failure",
    "ReplayResult",
    "UnitVerdict",
    "config_for_trace",
    "cosimulate",
    "replay",
]
