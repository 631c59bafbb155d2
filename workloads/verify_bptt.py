"""Compares training steps with BPTT references: in binary64, and in machine arithmetic within running error bounds.

A spike or a mask flips where rounding carries u across a boundary, and one flip moves gradients by per cents. So u is
compared where no flip lies upstream; a flip there must be a near tie, or u's bound is exceeded. Gradients are compared
with the reference's in samples without a flip, and in the others with the binary64 gradients of the machine's own
spikes, masks, potentials and logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from workloads.bptt_bounds import Bounds, Errors
from workloads.bptt_reference import BpttReference, read_reference
from workloads.float_step import (
    FloatForward,
    FloatStep,
    Reals,
    cross_entropy,
    float_backward,
    float_step,
)
from workloads.record import Arithmetic, OptimiserConstants, StepRecord
from workloads.training_step import state_of, training_step

TOLERANCE = 1e-12  # of a tensor's largest magnitude, in binary64
SCALE_LOG2 = 12  # loss scale of the machine's step; docs/contract.md, "Optimiser"
_RATES = OptimiserConstants(np.float32(0.1), np.float32(0.9), np.float32(0.0), SCALE_LOG2, False)
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Deviation:
    """How far one tensor lies from the reference: the largest deviation over the largest magnitude, and over its bound.

    `used` <= 1 is inside; `compared` counts the elements compared.
    """

    relative: float
    used: float
    compared: int


@dataclass(frozen=True)
class LayerVerdict:
    """One layer of one mode; the last layer has no neurons to flip, and no potentials."""

    name: str
    flipped_spikes: int | None
    flipped_masks: int | None
    neurons: int
    potentials: Deviation | None
    gradients: Deviation | None
    weight_gradient: Deviation


@dataclass(frozen=True)
class ModeVerdict:
    """One reference in one mode, "binary64" or "machine"; `flips_allowed` says whether near ties may flip."""

    mode: str
    loss: Deviation
    logits: Deviation
    layers: tuple[LayerVerdict, ...]
    flips_allowed: bool
    flipped_samples: int = 0
    nonfinite: int = 0

    @property
    def good(self) -> bool:
        """Whether everything lies inside its bound."""
        deviations = [self.loss, self.logits]
        flips = 0
        for layer in self.layers:
            deviations += [d for d in (layer.potentials, layer.gradients, layer.weight_gradient) if d is not None]
            flips += (layer.flipped_spikes or 0) + (layer.flipped_masks or 0)
        inside = all(deviation.used <= 1.0 for deviation in deviations)
        return inside and self.nonfinite == 0 and (self.flips_allowed or flips == 0)


@dataclass(frozen=True)
class FileVerdict:
    """One reference file: the binary64 step, and the machine's where bytes or spikes enter."""

    name: str
    path: str
    encoding: str
    modes: tuple[ModeVerdict, ...]

    @property
    def good(self) -> bool:
        """Whether every mode is inside its bounds."""
        return all(mode.good for mode in self.modes)


def verify_file(path: Path, arithmetic: Arithmetic | None = None) -> FileVerdict:
    """Compare both modes with one reference file; raises InputError where the file is malformed."""
    reference = read_reference(path)
    exact = float_step(
        reference.network, tuple(layer.weights for layer in reference.layers), reference.inputs, reference.labels
    )
    modes = [verify_binary64(reference, exact)]
    if reference.machine_inputs is not None:
        modes.append(verify_machine(reference, exact, arithmetic or Arithmetic(), str(path)))
    return FileVerdict(reference.name, str(path), reference.encoding, tuple(modes))


def verify_binary64(reference: BpttReference, step: FloatStep) -> ModeVerdict:
    """Compare a binary64 step with the reference: spikes equal, the rest within TOLERANCE."""
    layers = []
    for wanted, seen, layer in zip(reference.layers, step.layers, reference.network.layers, strict=True):
        dW = _within(seen.weight_gradient, wanted.weight_gradient)
        if seen.potentials is None or wanted.potentials is None or wanted.gradients is None:
            layers.append(LayerVerdict(layer.name, None, None, 0, None, None, dW))
            continue
        spikes = np.asarray(seen.spikes != wanted.spikes)
        masks = np.asarray(seen.masks != _masks(reference, wanted.potentials))
        u, du = _within(seen.potentials, wanted.potentials), _within(seen.gradients, wanted.gradients)
        layers.append(LayerVerdict(layer.name, int(spikes.sum()), int(masks.sum()), spikes.size, u, du, dW))
    loss = _within(np.array(step.loss), np.array(reference.loss))
    return ModeVerdict("binary64", loss, _within(step.logits, reference.logits), tuple(layers), False)


def verify_machine(reference: BpttReference, exact: FloatStep, arithmetic: Arithmetic, where: str) -> ModeVerdict:
    """Compare a step in machine arithmetic with the reference; `exact` is the binary64 step of the same reference."""
    record = _machine_step(reference, arithmetic, where)
    flips = _Flips(reference, record)
    target = _target(reference, exact, record, flips.clean_samples)
    bounds = Bounds(reference, exact, target, Errors(arithmetic, reference.network, SCALE_LOG2), flips.clean_samples)
    layers = []
    for number, layer in enumerate(reference.network.layers):
        seen, wanted = record.layers[number], target.layers[number]
        update = _inside(_unscaled(seen.weight_gradient), wanted.weight_gradient, bounds.weight_gradients[number])
        gradients = _inside(_unscaled(seen.gradients), wanted.gradients, bounds.gradients[number])
        potentials = reference.layers[number].potentials
        if potentials is None or seen.potentials is None:
            layers.append(LayerVerdict(layer.name, None, None, 0, None, gradients, update))
            continue
        u = _inside(seen.potentials, potentials, bounds.potentials[number], flips.clean_past[number])
        counts = (int(flips.spikes[number].sum()), int(flips.masks[number].sum()))
        layers.append(LayerVerdict(layer.name, *counts, flips.spikes[number].size, u, gradients, update))
    clean = np.broadcast_to(flips.clean_samples[:, np.newaxis], reference.logits.shape)
    logits = _inside(record.logits, reference.logits, bounds.logits, clean)
    loss = _loss(reference, record, bounds.logits, flips.clean_samples)
    nonfinite = sum(sum(layer.nonfinite.values()) for layer in record.layers)
    flipped_samples = int((~flips.clean_samples).sum())
    return ModeVerdict("machine", loss, logits, tuple(layers), True, flipped_samples, nonfinite)


def _target(reference: BpttReference, exact: FloatStep, record: StepRecord, clean: Booleans) -> FloatStep:
    """Return the binary64 gradients of the reference's forward pass, and of the machine's in samples with a flip."""
    here = clean[:, np.newaxis, np.newaxis, np.newaxis]
    activity = {}
    for number, (seen, wanted) in enumerate(zip(record.layers, exact.layers, strict=True)):
        if wanted.potentials is not None and wanted.spikes is not None and wanted.masks is not None:
            u = np.where(here, wanted.potentials, np.asarray(seen.potentials, np.float64))
            activity[number] = u, _choose(here, wanted.spikes, seen.spikes), _choose(here, wanted.masks, seen.masks)
    logits = np.where(clean[:, np.newaxis], exact.logits, record.logits)
    weights = tuple(layer.weights for layer in reference.layers)
    forward = FloatForward(activity, logits)
    return float_backward(reference.network, weights, reference.inputs, forward, reference.labels)


def _choose(here: Booleans, wanted: NDArray[np.uint8], seen: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    return wanted if seen is None else np.where(here, wanted, seen)


def _unscaled(gradients: Reals) -> Reals:
    """Return gradients without the loss scale, those of the last layer with a timestep axis."""
    return np.ldexp(gradients.astype(np.float64), -SCALE_LOG2)


class _Flips:
    """Where spikes and masks differ from the reference, and what is not behind such a place."""

    def __init__(self, reference: BpttReference, record: StepRecord) -> None:
        self.spikes: dict[int, Booleans] = {}
        self.masks: dict[int, Booleans] = {}
        self.clean_past: dict[int, Booleans] = {}
        behind = np.zeros(reference.inputs.shape[:2], np.bool_)  # [T, B]: a spike flipped in a layer below, by then
        for number, (wanted, seen) in enumerate(zip(reference.layers, record.layers, strict=True)):
            if wanted.potentials is None:
                continue
            spikes = np.asarray(seen.spikes != wanted.spikes)
            masks = np.asarray(seen.masks != _masks(reference, wanted.potentials))
            before = np.zeros_like(spikes)
            before[1:] = np.logical_or.accumulate(spikes, axis=0)[:-1]  # the same neuron, earlier
            self.clean_past[number] = ~(before | behind[:, :, np.newaxis, np.newaxis, np.newaxis])
            self.spikes[number], self.masks[number] = spikes, masks
            behind = np.logical_or.accumulate(behind | spikes.any(axis=(2, 3, 4)), axis=0)
        flipped = [array.any(axis=(0, 2, 3, 4)) for array in (*self.spikes.values(), *self.masks.values())]
        self.clean_samples = ~np.logical_or.reduce(flipped)


def _machine_step(reference: BpttReference, arithmetic: Arithmetic, where: str) -> StepRecord:
    """Run the reference's step in machine arithmetic, in one micro-batch size as configured."""
    master = tuple(layer.weights.astype(np.float32) for layer in reference.layers)
    state = state_of(reference.network, arithmetic, master, SCALE_LOG2)
    for number, (stored, layer) in enumerate(zip(state.weights, reference.layers, strict=True)):
        if not np.array_equal(stored, layer.weights):
            raise InputError(f"not exact in {arithmetic.value.name}", f"{where}: W{number}")
    inputs = reference.machine_inputs
    if inputs is None:
        raise InputError("the machine takes bytes or spikes only", f"{where}: x", reference.encoding, "bytes, spikes")
    return training_step(reference.network, arithmetic, state, inputs, reference.labels, _RATES)


def _masks(reference: BpttReference, potentials: Reals) -> Booleans:
    neuron = reference.network.neuron
    return np.asarray(np.abs(potentials - neuron.threshold) < neuron.interval)


def _loss(reference: BpttReference, record: StepRecord, bounds: Reals, clean: Booleans) -> Deviation:
    """Compare the loss summed over samples without a flip; cross entropy moves by at most twice the logits' bound."""
    if not clean.any():
        return Deviation(0.0, 0.0, 0)
    labels = reference.labels[clean]
    wanted = np.array(cross_entropy(reference.logits[clean], labels)[0])
    seen = np.array(cross_entropy(record.logits[clean], labels)[0])
    bound = np.array(2 * bounds[clean].max(axis=1).mean() + TOLERANCE)
    return _inside(seen, wanted, bound)


def _within(seen: Reals, wanted: Reals) -> Deviation:
    """Compare with TOLERANCE of the largest magnitude."""
    return _inside(seen, wanted, np.full(wanted.shape, np.abs(wanted).max() * TOLERANCE))


def _inside(seen: Reals, wanted: Reals, bound: Reals, where: Booleans | None = None) -> Deviation:
    """Compare element by element with `bound`, everywhere or where that is asked for."""
    where = np.ones(wanted.shape, np.bool_) if where is None else where
    if not where.any():
        return Deviation(0.0, 0.0, 0)
    deviation = np.abs(seen.astype(np.float64) - wanted)[where]
    limit = np.broadcast_to(bound, wanted.shape)[where]
    largest = np.abs(wanted).max()
    with np.errstate(divide="ignore", invalid="ignore"):
        used = np.where(deviation == 0, 0.0, deviation / limit)
    relative = float(deviation.max() / largest) if largest else float(deviation.max())
    return Deviation(relative, float(np.nan_to_num(used, nan=np.inf).max()), int(where.sum()))
