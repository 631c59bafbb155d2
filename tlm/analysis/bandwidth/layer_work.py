"""What each engine did on each layer: operations, time, DRAM bytes; rooflines and `result.json` are made of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from tlm.analysis.bandwidth.attribution import Attribution
from tlm.config import Config
from tlm.kernel.payload import Command
from tlm.schedule.placement import activation_bits
from tlm.simulation import SimulationResult
from workloads.network import Network

_FED_BY = {"forward": ("neuron",), "backward": ("gradient",)}
"""Units that work on an engine's results while it is at a layer."""


def traffic_by_layer(result: SimulationResult, network: Network) -> list[dict[str, Any]]:
    """DRAM bytes by engine, layer and stream."""
    attribution = Attribution(result.placement, network)
    read: Counter[tuple[str, int, str]] = Counter()
    written: Counter[tuple[str, int, str]] = Counter()
    for transfer in result.transfers:
        key = (*attribution.of(transfer), transfer.stream)
        (read if transfer.command is Command.READ else written)[key] += transfer.length_bytes
    return [
        {"engine": engine, "layer": layer, "stream": stream, "read_bytes": read[key], "written_bytes": written[key]}
        for key in sorted(read.keys() | written.keys())
        for engine, layer, stream in [key]
    ]


def work_by_layer(
    result: SimulationResult, network: Network, batch: int, traffic: list[dict[str, Any]], config: Config
) -> list[dict[str, Any]]:
    """Operations of every engine and layer, its time there, its DRAM bytes, and the most the engine could do."""
    peaks = peak_operations_per_cycle(config)
    moved: Counter[tuple[str, int]] = Counter()
    for entry in traffic:
        moved[entry["engine"], entry["layer"]] += entry["read_bytes"] + entry["written_bytes"]
    times = _times(result, network)
    operations_of = result.operations | _element_operations(network, batch, result.placement.recomputed)
    return [
        {
            "engine": engine,
            "layer": layer,
            "operations": operations,
            "time_ps": _union_ps(times[engine, layer]),
            "dram_bytes": moved[engine, layer],
            "peak_operations_per_us": peaks[engine] * 1e6 / config.clock_period_ps,
        }
        for (engine, layer), operations in operations_of.items()
    ]


def _element_operations(network: Network, batch: int, recomputed: frozenset[int]) -> dict[tuple[str, int], int]:
    """What the vector units do: a neuron or a gradient of one timestep, or a weight, is one operation."""
    found = {}
    for layer, shape in enumerate(network.layers):
        if layer in network.hidden:
            found["gradient", layer] = activation_bits(network, layer, batch)
            found["neuron", layer] = found["gradient", layer] * (2 if layer in recomputed else 1)
        found["optimiser", layer] = shape.weights_count
    return found


def _times(result: SimulationResult, network: Network) -> defaultdict[tuple[str, int], list[tuple[int, int]]]:
    """When each engine was at each layer; the optimiser from its first transfer of the layer to its last."""
    times: defaultdict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    for span in result.spans:
        for engine in (span.stream.engine, *_FED_BY.get(span.stream.engine, ())):
            times[engine, span.stream.layer].append((span.start_ps, span.end_ps))
    attribution = Attribution(result.placement, network)
    for transfer in result.transfers:
        engine, layer = attribution.of(transfer)
        if engine == "optimiser":
            first, last = times[engine, layer][0] if times[engine, layer] else (transfer.start_ps, transfer.end_ps)
            times[engine, layer] = [(min(first, transfer.start_ps), max(last, transfer.end_ps))]
    return times


def peak_operations_per_cycle(config: Config) -> dict[str, int]:
    """Return the most operations that each engine does in a cycle.

    Synaptic operations of the three large engines (a look-up stands for k of them), elements of the vector units.
    """
    lut = config.lut.k * config.lut.lanes
    forward, update, backward = config.forward_engine, config.weight_update_engine, config.backward_engine
    return {
        "forward": forward.arrays * forward.rows * lut,
        "backward": backward.units * backward.lanes,
        "weight_update": update.arrays * update.rows * lut,
        "neuron": config.neuron_unit.width,
        "gradient": config.gradient_unit.width,
        "optimiser": config.optimiser_unit.width,
    }


def _union_ps(intervals: Iterable[tuple[int, int]]) -> int:
    """Return the time in which at least one of the intervals lasts."""
    total, reached = 0, 0
    for start, end in sorted(intervals):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total
