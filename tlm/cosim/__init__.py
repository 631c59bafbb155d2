"""Co-simulation: every unit's share of a traced step through reference, RTL and cycle law (docs/cosim.md)."""

from __future__ import annotations

from tlm.cosim.locked.run import LockstepResult, lockstep
from tlm.cosim.replay import ReplayResult, TileResult, cosim, replay
from tlm.cosim.result import Comparison, CosimResult, Failure, UnitVerdict
from tlm.cosim.run import cosimulate
from tlm.cosim.tile_file import Tile, read_tile
from tlm.cosim.tiles import read_tiles
from tlm.trace_config import config_for_trace

__all__ = [
    "Comparison",
    "CosimResult",
    "Failure",
    "LockstepResult",
    "ReplayResult",
    "Tile",
    "TileResult",
    "UnitVerdict",
    "config_for_trace",
    "cosim",
    "cosimulate",
    "lockstep",
    "read_tile",
    "read_tiles",
    "replay",
]
