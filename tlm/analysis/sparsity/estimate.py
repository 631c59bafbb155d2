"""What a model that knows sparsity as one number a layer says: dense work times density."""

from __future__ import annotations

from typing import Any

from tlm.analysis.bandwidth.layer_work import peak_operations_per_cycle
from tlm.analysis.simulations import Measurement
from tlm.config import LUT, Config
from tlm.engines.streams import BACKWARD, FORWARD

Row = dict[str, Any]


def peaks(config: Config) -> dict[str, int]:
    """Return the most operations an engine does in a cycle: k a look-up, 1 an adder or a multiply-accumulate lane."""
    found = peak_operations_per_cycle(config)
    for name, engine in (("forward", config.forward_engine), ("weight_update", config.weight_update_engine)):
        if engine.element != LUT:
            found[name] //= config.lut.k
    return found


def estimates(config: Config, dense: Measurement, structure: list[Row]) -> list[Row]:
    """Return what is told for each engine and layer of `config`, as {engine, layer, density, scaled, ideal}.

    dense: the step on the same machine with no zero left out. The density is that of the layer's input bits, or of the
    gradients that meet it times that of its masks; tables without skipping serve zeros as fast as ones, so theirs is 1.
    scaled: busy cycles of the dense step x density; ideal: dense operations x density / the most a cycle.
    """
    most = peaks(config)
    rows = []
    for entry in dense["layers"]:
        engine, layer = entry["engine"], entry["layer"]
        density = _density(config, engine, structure[layer])
        operations = entry["dense_operations"]
        rows.append(
            {
                "engine": engine,
                "layer": layer,
                "density": density,
                "scaled_cycles": entry["busy_cycles"] * density,
                "ideal_cycles": operations * density / most[engine],
            }
        )
    return rows


def engine_energy(dense: Measurement, rows: list[Row], groups: dict[str, str]) -> dict[str, float]:
    """Return each engine's energy in pJ: that of the dense step times the density of all its operations.

    groups: the group of each engine in the energy of a step.
    """
    found = {}
    for engine, group in groups.items():
        work = {entry["layer"]: entry["dense_operations"] for entry in dense["layers"] if entry["engine"] == engine}
        densities = {row["layer"]: row["density"] for row in rows if row["engine"] == engine}
        share = sum(work[layer] * densities[layer] for layer in work) / sum(work.values())
        found[engine] = dense["energy_pj"][group] * share
    return found


def _density(config: Config, engine: str, layer: Row) -> float:
    if engine == BACKWARD:
        return float(layer["gradient_density"] * layer["mask_density"])
    element = (config.forward_engine if engine == FORWARD else config.weight_update_engine).element
    if element == LUT and not config.lut.skip_zero_tiles:
        return 1.0
    return float(layer["input_bits"])
