"""A chain of layers as other frameworks describe it, built into a network of ours and its weights.

The machine's layer is a convolution, sum pooling, a shortcut from an earlier layer, and neurons; everything else that a
chain may have between two layers of neurons is turned into weights (workloads/importers/chain_layers.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtl_models.errors import InputError
from workloads.importers.chain_layers import READ_OUT, SAME, Chain
from workloads.importers.stages import (
    AVERAGE,
    SUBTRACT,
    SUM,
    ZERO,
    Convolution,
    Dense,
    Flattening,
    Neurons,
    Pooling,
    Scaling,
    Shortcut,
    Stage,
    equal_sides,
)
from workloads.network import DEFAULT_INITIAL_GAIN, DIRECT, InputSpec, Network, parse_network
from workloads.record import Floats

__all__ = [
    "AVERAGE",
    "READ_OUT",
    "SUBTRACT",
    "SUM",
    "ZERO",
    "Convolution",
    "Dense",
    "Flattening",
    "Imported",
    "Neurons",
    "Pooling",
    "Scaling",
    "Shortcut",
    "Stage",
    "build_chain",
    "equal_sides",
]


@dataclass(frozen=True)
class Imported:
    """A network, its weights [M, R, S, C] by layer of `network.layers`, and what the mapping changed, in sentences.

    `layer_of` gives the layer of a stage with weights, neurons, pooling, a scale or a shortcut by its `where`. Where
    the first layer has a bias, the network's input has a constant channel (`network.input.constant`) behind those of
    the data.
    """

    network: Network
    weights: tuple[Floats, ...]
    notes: tuple[str, ...]
    layer_of: dict[str, int]


def build_chain(
    name: str,
    source: InputSpec,
    timesteps: int,
    stages: Sequence[Stage],
    interval: float,
    beta: float,
    initial_gain: float = DEFAULT_INITIAL_GAIN,
) -> Imported:
    """Build the network `name` from `stages`; `source` is the input as the data has it.

    `interval` and `beta` are the surrogate's, in units of the first neurons' potential. Raises InputError naming the
    stage (and the other one, where two do not fit) that the machine cannot have.
    """
    neurons = [stage for stage in stages if isinstance(stage, Neurons)]
    if not neurons:
        raise InputError("there are no neurons between the input and the output", name)
    for other in neurons[1:]:
        _check_alike(neurons[0], other)
    chain = Chain(source, neurons[0])
    for stage in stages:
        chain.add(stage)
    chain.finish()
    shape = [source.height, source.width, source.channels + chain.added]
    spec: dict[str, Any] = {"shape": shape, "coding": source.coding}
    if source.coding == DIRECT:
        spec |= {"exponent": source.exponent, "signed": source.signed}
    if chain.constant:
        spec |= {"constant": chain.constant}
    raw: dict[str, Any] = {
        "name": name,
        "input": spec,
        "timesteps": timesteps,
        "neuron": _neuron(neurons[0], chain.notes) | {"interval": interval, "beta": beta},
        "initial_gain": initial_gain,
        "layers": chain.entries,
    }
    network = parse_network(raw, name)
    numbers = {where: network.main[place] for where, place in chain.places.items()}
    projections = {where: network.projection(network.main[place]) for where, place in chain.projections.items()}
    numbers |= {where: number for where, number in projections.items() if number is not None}
    return Imported(network, tuple(chain.weights), tuple(chain.notes), numbers)


def _check_alike(first: Neurons, other: Neurons) -> None:
    """Raise InputError unless two layers' neurons have the same constants, apart from threshold and gain."""
    for what, mine, theirs in (
        ("decay", first.alpha, other.alpha),
        ("reset", first.reset, other.reset),
        ("gradient through the reset", first.reset_gradient, other.reset_gradient),
        ("comparison with the threshold", first.fires_at_threshold, other.fires_at_threshold),
    ):
        if mine != theirs:
            raise InputError(f"the {what} differs from that of {first.where}", other.where, theirs, f"{mine!r}")
    if not math.isclose(first.threshold, other.threshold, rel_tol=SAME):
        for stage in (first, other):
            if stage.threshold <= 0.0:
                what = "thresholds that differ by layer are scaled, and must be above 0"
                raise InputError(what, stage.where, stage.threshold)
    if first.reset == SUBTRACT and not math.isclose(_drop(first), _drop(other), rel_tol=SAME):
        what = f"the reset subtracts another multiple of the threshold than that of {first.where}"
        raise InputError(what, other.where, _drop(other), f"{_drop(first)!r}")


def _drop(stage: Neurons) -> float:
    """Return what a reset subtracts, as a multiple of the threshold."""
    return 1.0 if stage.reset_by is None else stage.reset_by / stage.threshold


def _neuron(stage: Neurons, notes: list[str]) -> dict[str, Any]:
    """Return the neuron of a network file without its surrogate."""
    threshold = stage.threshold
    if stage.fires_at_threshold:
        threshold = float(str(np.nextafter(np.float32(threshold), np.float32(-np.inf))))
        notes.append(
            f"neurons fire at the threshold and above: above {threshold}, the binary32 number before {stage.threshold}"
        )
    neuron: dict[str, Any] = {"alpha": stage.alpha, "threshold": threshold}
    if stage.reset == SUBTRACT:
        by = stage.threshold if stage.reset_by is None else stage.reset_by
        neuron |= {"reset": SUBTRACT} | ({} if by == threshold else {"reset_by": by})
    return neuron if stage.reset_gradient else neuron | {"reset_gradient": False}
