"""One training step in the machine's arithmetic, bit for bit (docs/contract.md)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from rtl_models.formats import FloatFormat
from rtl_models.reference.gradient import output_gradient
from rtl_models.reference.optimiser import next_scale, sgd
from rtl_models.reference.rounding import count_special, rounding
from workloads.backward import LayerUpdate, backward_pass, weight_gradients
from workloads.forward import ForwardResult, Inputs, forward_logits, forward_pass
from workloads.network import Network
from workloads.record import Arithmetic, Floats, LayerRecord, OptimiserConstants, StepRecord
from workloads.training_state import TrainingState, initial_state, state_after, state_of

__all__ = [
    "BackwardResult",
    "StepResult",
    "TrainingState",
    "forward_logits",
    "initial_state",
    "state_after",
    "state_of",
    "step_backward",
    "train_step",
    "training_step",
]

Counts = tuple[dict[str, int], dict[str, int]]  # (non-finite, subnormal) by stored tensor


@dataclass(frozen=True)
class StepResult:
    """What plain training needs of a step; counts are by layer and stored tensor, as in `LayerRecord`."""

    state: TrainingState
    loss: float
    logits: NDArray[np.float64]
    skipped: bool
    nonfinite: tuple[dict[str, int], ...]
    subnormal: tuple[dict[str, int], ...]


@dataclass(frozen=True)
class BackwardResult:
    """Gradients and weight gradients by layer, and counts of what the step stored up to there; W16 counts as 0."""

    gradients: tuple[Floats, ...]
    updates: tuple[LayerUpdate, ...]
    counts: tuple[Counts, ...]

    @property
    def finite(self) -> bool:
        """Whether every stored value is; if not, the step's bits are unspecified and the optimiser is to skip it."""
        return not any(any(nonfinite.values()) for nonfinite, _ in self.counts)


@dataclass(frozen=True)
class _Step:
    """Everything one step computed, before it is told apart what the caller wants of it."""

    forward: ForwardResult
    backward: BackwardResult
    loss: float
    skipped: bool
    after: TrainingState


def training_step(
    network: Network,
    arithmetic: Arithmetic,
    state: TrainingState,
    inputs: Inputs,
    labels: NDArray[np.int64],
    optimiser: OptimiserConstants,
    step: int = 0,
    seed: int = 0,
    dataset: str = "",
) -> StepRecord:
    """Run one step and return everything that went in and came out; `state_after` gives the state it leaves.

    `inputs` are bytes [B, H, W, C] or spikes [T, B, H, W, C], `labels` [B]. The loss scale is the state's: the record's
    optimiser constants carry it. Raises InputError where inputs or labels do not fit the network.
    """
    result = _run(network, arithmetic, state, inputs, labels, optimiser)
    records = tuple(_layer_record(number, state, result) for number in range(len(network.layers)))
    return StepRecord(
        network=network,
        arithmetic=arithmetic,
        optimiser=replace(optimiser, scale_log2=state.scale_log2),
        step=step,
        seed=seed,
        dataset=dataset,
        inputs=inputs,
        labels=labels,
        logits=result.forward.logits,
        loss=result.loss,
        skipped=result.skipped,
        layers=records,
    )


def train_step(
    network: Network,
    arithmetic: Arithmetic,
    state: TrainingState,
    inputs: Inputs,
    labels: NDArray[np.int64],
    optimiser: OptimiserConstants,
) -> StepResult:
    """Run one step, as `training_step` does, and keep only what training goes on with."""
    result = _run(network, arithmetic, state, inputs, labels, optimiser)
    nonfinite = tuple(counts[0] for counts in result.backward.counts)
    subnormal = tuple(counts[1] for counts in result.backward.counts)
    return StepResult(result.after, result.loss, result.forward.logits, result.skipped, nonfinite, subnormal)


def step_backward(
    network: Network,
    arithmetic: Arithmetic,
    weights: tuple[Floats, ...],
    inputs: Inputs,
    forward: ForwardResult,
    output_gradient: Floats,
) -> BackwardResult:
    """Run the half of a step behind its forward pass, from g16 [B, classes] to dW."""
    gradients = backward_pass(network, arithmetic, weights, forward.activity, output_gradient)
    updates = weight_gradients(network, arithmetic, inputs, forward.activity, gradients)
    counts = tuple(
        _count(network, number, arithmetic, forward, gradients[number], updates[number])
        for number in range(len(network.layers))
    )
    return BackwardResult(gradients, updates, counts)


def _run(
    network: Network,
    arithmetic: Arithmetic,
    state: TrainingState,
    inputs: Inputs,
    labels: NDArray[np.int64],
    optimiser: OptimiserConstants,
) -> _Step:
    forward = forward_pass(network, arithmetic, state.weights, inputs)
    _check_labels(network, forward.logits.shape[0], labels)
    divisor = labels.size * network.timesteps
    formats = (arithmetic.sum, arithmetic.value)
    g16, loss = output_gradient(forward.logits, labels, divisor, state.scale_log2, formats)
    backward = step_backward(network, arithmetic, state.weights, inputs, forward, g16)
    skipped, after = not backward.finite, state
    if not skipped:
        after = _optimise(arithmetic, state, backward.updates, optimiser)
        for (nonfinite, subnormal), weights in zip(backward.counts, after.weights, strict=True):
            nonfinite["W16"], subnormal["W16"] = _special(weights, arithmetic.value)
            skipped = skipped or nonfinite["W16"] > 0
    if skipped:
        after = state
    if optimiser.dynamic_scale:
        scale_log2, finite_steps = next_scale(state.scale_log2, state.finite_steps, skipped)
        after = replace(after, scale_log2=scale_log2, finite_steps=finite_steps)
    return _Step(forward, backward, loss, skipped, after)


def _check_labels(network: Network, samples: int, labels: NDArray[np.int64]) -> None:
    if labels.shape != (samples,):
        raise InputError("wrong shape", f"{network.name}: labels", labels.shape, f"({samples},)")
    if labels.min() < 0 or labels.max() >= network.classes:
        worst = int(labels.max()) if labels.max() >= network.classes else int(labels.min())
        raise InputError("no such class", f"{network.name}: labels", worst, f"0..{network.classes - 1}")


def _optimise(
    arithmetic: Arithmetic, state: TrainingState, updates: tuple[LayerUpdate, ...], optimiser: OptimiserConstants
) -> TrainingState:
    """Return the state after SGD on every layer."""
    constants = (optimiser.learning_rate, optimiser.momentum, optimiser.weight_decay)
    layers = zip(state.master, state.momentum, updates, strict=True)
    stepped = [
        sgd(master, momentum, update.weight_gradient, constants, state.scale_log2, arithmetic.value)
        for master, momentum, update in layers
    ]
    master, velocity, weights = zip(*stepped, strict=True)
    return replace(state, master=tuple(master), momentum=tuple(velocity), weights=tuple(weights))


def _count(
    network: Network,
    number: int,
    arithmetic: Arithmetic,
    forward: ForwardResult,
    gradients: Floats,
    update: LayerUpdate,
) -> Counts:
    """Count the non-finite and subnormal values that layer `number` stored."""
    tensors: dict[str, tuple[int, int]] = {"forward_tables": forward.tables[number], "update_tables": update.tables}
    if number in forward.activity:
        tensors["u"] = _special(forward.activity[number].potentials, arithmetic.value)
    if network.joined(number) == number:
        tensors["du"] = _special(gradients, arithmetic.value)
    if update.gradient_sums is not None:
        tensors["d16"] = _special(update.gradient_sums, arithmetic.value)
    tensors["dW"] = _special(update.weight_gradient, arithmetic.sum)
    tensors["W16"] = (0, 0)
    nonfinite = {name: counts[0] for name, counts in tensors.items()}
    subnormal = {name: counts[1] for name, counts in tensors.items()}
    return nonfinite, subnormal


def _special(values: Floats, fmt: FloatFormat) -> tuple[int, int]:
    nonfinite, subnormal = count_special(np.ascontiguousarray(values).reshape(-1), rounding(fmt))
    return int(nonfinite), int(subnormal)


def _layer_record(number: int, state: TrainingState, result: _Step) -> LayerRecord:
    activity = result.forward.activity.get(number)
    update = result.backward.updates[number]
    nonfinite, subnormal = result.backward.counts[number]
    return LayerRecord(
        weights=state.weights[number],
        master=state.master[number],
        momentum=state.momentum[number],
        weight_gradient=update.weight_gradient,
        new_weights=result.after.weights[number],
        new_master=result.after.master[number],
        new_momentum=result.after.momentum[number],
        spikes=activity.spikes if activity else None,
        masks=activity.masks if activity else None,
        potentials=activity.potentials if activity else None,
        gradients=result.backward.gradients[number],
        gradient_sums=update.gradient_sums,
        nonfinite=nonfinite,
        subnormal=subnormal,
    )
