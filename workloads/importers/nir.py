"""A NIR graph as a network of ours and its weights (docs/import.md)."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtl_models.errors import InputError
from workloads.importers.chain import ZERO, Flattening, Imported, Stage, build_chain
from workloads.importers.nir_graph import chain_of, read_graph
from workloads.importers.nir_nodes import RESETS, Dynamics, stages_of
from workloads.network import DEFAULT_INITIAL_GAIN, DIRECT, SPIKES, InputSpec, NeuronParameters, parse_network

METADATA = "h2learn"
"""Key of a graph's metadata for what NIR has no place for: a network file without its layers, as JSON."""
_ANY_LAYERS = {"layers": [{"linear": 1}, {"linear": 1}]}
DEFAULT_TIMESTEPS = 6
DEFAULT_EXPONENT = 8  # bytes over 0..1
DEFAULT_DT = 1e-4  # seconds: what snnTorch and SpikingJelly take


@dataclass(frozen=True)
class NirOptions:
    """What a NIR graph does not say. None stands for what the graph's metadata has, or else for a default.

    `shape` is [height, width, channels] of the input (the graph's own), `exponent` and `signed` belong to direct
    coding. `reset`: zero, subtract, subtract-delayed (workloads/importers/nir_nodes.py). `fires_at_threshold` is for
    frameworks whose neurons fire at the threshold too. `interval` and `beta` are the surrogate's.
    """

    name: str | None = None
    timesteps: int | None = None
    shape: tuple[int, int, int] | None = None
    coding: str | None = None
    exponent: int | None = None
    signed: bool | None = None
    dt: float = DEFAULT_DT
    reset: str | None = None
    reset_gradient: bool | None = None
    fires_at_threshold: bool = False
    interval: float | None = None
    beta: float | None = None


def import_nir(graph: Any, options: NirOptions | None = None) -> Imported:
    """Map a NIR file, or a ``nir.NIRGraph``, to a network and its weights.

    Raises InputError naming the file or node: what cannot be read, what is no chain of layers with shortcuts, what the
    machine lacks.
    """
    options = options or NirOptions()
    where, name = "graph", "imported"
    if isinstance(graph, str | Path):
        where, name = str(graph), Path(graph).stem
        graph = read_graph(graph)
    told = _told(graph, where)
    source_node, links = chain_of(graph, where)
    source, flattened = _input(source_node, options, told.get("input", {}), f"{where}: input")
    neuron = told.get("neuron", {})
    stages: list[Stage] = [Flattening("input")] if flattened else []
    stages += stages_of(links, _dynamics(options, neuron, where))
    return build_chain(
        options.name or told.get("name", name),
        source,
        _chosen(options.timesteps, told, "timesteps", DEFAULT_TIMESTEPS),
        stages,
        _chosen(options.interval, neuron, "interval", NeuronParameters.interval),
        _chosen(options.beta, neuron, "beta", NeuronParameters.beta),
        told.get("initial_gain", DEFAULT_INITIAL_GAIN),
    )


def _chosen(option: Any, told: dict[str, Any], key: str, default: Any) -> Any:
    """Return what the user asks for, or what the graph tells, or the default."""
    return told.get(key, default) if option is None else option


def _told(graph: Any, where: str) -> dict[str, Any]:
    """Return what the graph's metadata says of a network that was exported by this program."""
    text = (graph.metadata or {}).get(METADATA)
    if text is None:
        return {}
    here = f"{where}: metadata {METADATA}"
    try:
        told = json.loads(text)
    except (ValueError, TypeError) as error:
        raise InputError(f"not valid JSON ({error})", here) from error
    parse_network(told | _ANY_LAYERS if isinstance(told, dict) else told, here)
    return dict(told)


def _input(node: Any, options: NirOptions, told: dict[str, Any], where: str) -> tuple[InputSpec, bool]:
    """Return the input, and whether it enters as a vector although it is maps."""
    shape, vector = _shape(node, options.shape, where)
    coding = _chosen(options.coding, told, "coding", DIRECT)
    if coding == SPIKES:
        for name, value in (("exponent", options.exponent), ("signed", options.signed)):
            if value is not None:
                raise InputError(f"{name} belongs to bytes", where, coding, DIRECT)
        return InputSpec(*shape, SPIKES, constant=told.get("constant", 0)), vector
    exponent = _chosen(options.exponent, told, "exponent", DEFAULT_EXPONENT)
    signed = _chosen(options.signed, told, "signed", False)
    return InputSpec(*shape, coding, exponent, signed, told.get("constant", 0)), vector


def _shape(node: Any, given: tuple[int, int, int] | None, where: str) -> tuple[tuple[int, int, int], bool]:
    """Return [H, W, C] of an input, and whether the graph has it as a vector of H W C elements."""
    known = next(iter((node.input_type or {}).values()), None)
    axes = [] if known is None else [int(axis) for axis in np.asarray(known).ravel()]
    if len(axes) not in (1, 3) or min(axes) < 1:
        if given is None:
            what = "the input's shape is not [C, H, W] or [N]"
            raise InputError(what, where, axes or "none", "such a shape, or --shape HEIGHT WIDTH CHANNELS")
        return given, False
    if len(axes) == 1:
        shape = given or (1, 1, axes[0])
        fits = math.prod(shape) == axes[0]
    else:
        shape = (axes[1], axes[2], axes[0])
        fits = given in (None, shape)
    if not fits:
        raise InputError("the input of the graph has another shape", where, list(given or ()), str(axes))
    return shape, len(axes) == 1 and shape[:2] != (1, 1)


def _dynamics(options: NirOptions, told: dict[str, Any], where: str) -> Dynamics:
    reset_gradient = _chosen(options.reset_gradient, told, "reset_gradient", True)
    if not options.dt > 0.0:
        raise InputError("wrong value", f"{where}: dt", options.dt, "seconds > 0")
    if options.reset is None:
        reset, reset_by = told.get("reset", ZERO), told.get("reset_by")
        return Dynamics(options.dt, reset, reset_by, reset_gradient, options.fires_at_threshold)
    if options.reset not in RESETS:
        raise InputError("unknown reset", f"{where}: reset", options.reset, ", ".join(RESETS))
    return Dynamics(options.dt, options.reset, None, reset_gradient, options.fires_at_threshold)
