"""Tiles of a trace one by one, for whoever wants to run them through hardware of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rtl_models.errors import InputError
from tlm.config import Config
from tlm.cosim.cases import make_case
from tlm.cosim.tile_file import Tile
from tlm.cosim.units import open_engines
from tlm.rtl_geometry import check_has_rtl
from tlm.trace_config import check_fits, config_for_trace
from workloads.trace_file import open_trace


def read_tiles(trace: str | Path, engine: str, layer: int = 0, config: Config | None = None) -> Iterator[Tile]:
    """Yield what `engine` has to do on a layer, stream by stream, free-running, with its results and cycles.

    Without `config` the preset h2learn is used with the trace's arithmetic. Raises InputError for a file that is not a
    trace, a configuration of another arithmetic, an engine that is unknown or has no work on the layer.
    """
    with open_trace(trace) as opened:
        config = config_for_trace(opened.arithmetic) if config is None else config
        check_fits(config, opened)
        check_has_rtl(config)
        engines = open_engines(opened, config)
        if engine not in engines:
            raise InputError("unknown engine", "tiles", engine, ", ".join(engines))
        chosen = engines[engine]
        if layer not in chosen.layers:
            layers = ", ".join(map(str, chosen.layers)) or "none"
            raise InputError("the engine has no work on the layer", f"tiles: {engine}", layer, layers)
        geometry = chosen.geometry
        for key in chosen.keys(layer):
            for entry in chosen.expect(key):
                case = make_case(entry.name, chosen.hardware, geometry, entry.task, results=entry.results)
                yield Tile(geometry, case)
