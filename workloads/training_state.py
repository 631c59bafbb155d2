"""What one training step hands to the next: weights, momentum and the loss scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from rtl_models.formats import round_to
from rtl_models.reference.optimiser import next_scale
from workloads.initialise import initial_weights
from workloads.network import Network
from workloads.record import Arithmetic, StepRecord

Floats = NDArray[np.float32]
DEFAULT_SCALE_LOG2 = 12  # docs/contract.md, "Optimiser"


@dataclass(frozen=True)
class TrainingState:
    """Per layer master weights w and momentum v (binary32) and stored weights W16 (value format), each [M, R, S, C].

    The loss scale is 2^`scale_log2`; `finite_steps` counts steps since it last changed (dynamic scale only).
    """

    master: tuple[Floats, ...]
    momentum: tuple[Floats, ...]
    weights: tuple[Floats, ...]
    scale_log2: int = DEFAULT_SCALE_LOG2
    finite_steps: int = 0


def initial_state(
    network: Network, arithmetic: Arithmetic, seed: int, scale_log2: int = DEFAULT_SCALE_LOG2
) -> TrainingState:
    """Return the state before the first step: seeded weights, no momentum."""
    return state_of(network, arithmetic, initial_weights(network, seed), scale_log2)


def state_of(
    network: Network, arithmetic: Arithmetic, master: tuple[Floats, ...], scale_log2: int = DEFAULT_SCALE_LOG2
) -> TrainingState:
    """Return the state that starts from given master weights; raises InputError where a shape is wrong."""
    if len(master) != len(network.layers):
        raise InputError("wrong number of weight arrays", network.name, len(master), str(len(network.layers)))
    for layer, weights in zip(network.layers, master, strict=True):
        if weights.shape != layer.weights_shape:
            raise InputError("wrong shape of weights", layer.name, weights.shape, str(layer.weights_shape))
    single = tuple(np.asarray(weights, np.float32) for weights in master)
    momentum = tuple(np.zeros(weights.shape, np.float32) for weights in single)
    rounded = tuple(round_to(weights, arithmetic.value) for weights in single)
    return TrainingState(single, momentum, rounded, scale_log2)


def state_after(record: StepRecord, before: TrainingState) -> TrainingState:
    """Return the state that the recorded step, started from `before`, leaves behind."""
    scale_log2, finite_steps = before.scale_log2, before.finite_steps
    if record.optimiser.dynamic_scale:
        scale_log2, finite_steps = next_scale(scale_log2, finite_steps, record.skipped)
    return TrainingState(
        master=tuple(layer.new_master for layer in record.layers),
        momentum=tuple(layer.new_momentum for layer in record.layers),
        weights=tuple(layer.new_weights for layer in record.layers),
        scale_log2=scale_log2,
        finite_steps=finite_steps,
    )
