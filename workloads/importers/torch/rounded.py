"""A captured step in the machine's formats, under its loss scale, as a trace."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rtl_models.formats import FloatFormat, round_to
from rtl_models.reference.lut import LutTables
from rtl_models.reference.optimiser import sgd
from rtl_models.reference.packing import forward_operands
from rtl_models.reference.rounding import count_special, rounding
from workloads.backward import LayerUpdate, weight_gradients
from workloads.forward import Activity
from workloads.layer import Layer
from workloads.record import Arithmetic, Floats, LayerRecord, StepRecord
from workloads.trace_file import write_trace


@dataclass(frozen=True)
class Written:
    """The trace at `path`: its digest, its loss scale, and what the value format does to gradients.

    By layer of the network, of the gradients du that are not zero: the shares that became zero, and subnormal.
    """

    path: Path
    digest: str
    scale_log2: int
    underflowed: tuple[float, ...]
    subnormal: tuple[float, ...]

    def __str__(self) -> str:
        shares = ", ".join(f"{share:.2%}" for share in self.underflowed)
        return f"{self.path}: loss scale 2^{self.scale_log2}, gradients that underflow by layer {shares}"


def write_rounded(
    record: StepRecord, faded: frozenset[int], path: str | Path, arithmetic: Arithmetic, scale_log2: int
) -> Written:
    """Round `record` and write it as a trace; gradients of the layers `faded` lose what lies outside their masks."""
    rounded, underflowed, subnormal = rounded_record(record, faded, arithmetic, scale_log2)
    return Written(Path(path), write_trace(rounded, path), scale_log2, underflowed, subnormal)


def rounded_record(
    record: StepRecord, faded: frozenset[int], arithmetic: Arithmetic, scale_log2: int
) -> tuple[StepRecord, tuple[float, ...], tuple[float, ...]]:
    """Return `record` in the machine's formats, and the shares of underflown and subnormal gradients by layer.

    Weight gradients are PyTorch's, rounded to the sum format; d16 is summed as the machine sums it; new weights and
    momentum are the machine's optimiser step. A value that is not finite makes the step a skipped one.
    """
    network, value = record.network, arithmetic.value
    scale = np.float32(2.0**scale_log2)
    wanted = [layer.gradients for layer in record.layers]
    for number in faded:
        wanted[number] = _dropped(record, number)
    with np.errstate(over="ignore", under="ignore"):
        du = tuple(round_to(gradients * scale, value) for gradients in wanted)
        weights = tuple(round_to(layer.weights, value) for layer in record.layers)
        activity = {number: _activity(record.layers[number], value) for number in network.hidden}
        updates = weight_gradients(network, arithmetic, record.inputs, activity, du)
        layers = [
            _layer(record, number, arithmetic, scale_log2, weights[number], du[number], updates[number])
            for number in range(len(network.layers))
        ]
    skipped = any(any(layer.nonfinite.values()) for layer in layers)
    if skipped:
        layers = [_unchanged(layer) for layer in layers]
    shares = [_shares(before, after, value) for before, after in zip(wanted, du, strict=True)]
    optimiser = replace(record.optimiser, scale_log2=scale_log2)
    rounded = replace(record, arithmetic=arithmetic, optimiser=optimiser, skipped=skipped, layers=tuple(layers))
    return rounded, tuple(share[0] for share in shares), tuple(share[1] for share in shares)


def _dropped(record: StepRecord, number: int) -> Floats:
    """Return a layer's gradients without what its surrogate passes outside the masks, carried on through time."""
    layer, neuron = record.layers[number], record.network.neuron
    du, masks = layer.gradients, layer.masks
    if masks is None or layer.spikes is None:
        return du
    left = np.empty_like(du)
    following = dropped_following = np.zeros_like(du[0])
    for t in range(len(du) - 1, -1, -1):
        kept = np.float32(neuron.alpha) * (np.float32(1.0) if neuron.subtracts else np.float32(1.0) - layer.spikes[t])
        own = np.where(masks[t], du[t] - kept * following, np.float32(0.0))
        left[t] = own + kept * dropped_following
        following, dropped_following = du[t], left[t]
    return left


def _activity(layer: LayerRecord, value: FloatFormat) -> Activity:
    if layer.potentials is None or layer.spikes is None or layer.masks is None:
        raise ValueError("a layer without neurons has no activity")
    return Activity(round_to(layer.potentials, value), layer.spikes, layer.masks)


def _layer(
    record: StepRecord,
    number: int,
    arithmetic: Arithmetic,
    scale_log2: int,
    weights: Floats,
    du: Floats,
    update: LayerUpdate,
) -> LayerRecord:
    """Return one layer in the machine's formats, after the machine's optimiser step."""
    layer, optimiser = record.layers[number], record.optimiser
    gradient = round_to(layer.weight_gradient * np.float32(2.0**scale_log2), arithmetic.sum)
    constants = (optimiser.learning_rate, optimiser.momentum, optimiser.weight_decay)
    master, velocity, stepped = sgd(layer.master, layer.momentum, gradient, constants, scale_log2, arithmetic.value)
    potentials = None if layer.potentials is None else round_to(layer.potentials, arithmetic.value)
    stored: dict[str, Floats | None] = {"u": potentials}
    stored["du"] = du if record.network.joined(number) == number else None
    stored |= {"d16": update.gradient_sums, "dW": gradient, "W16": stepped}
    counts = {"forward_tables": _forward_tables(record.network.layers[number], arithmetic, weights)}
    counts["update_tables"] = update.tables
    for name, tensor in stored.items():
        if tensor is not None:
            fmt = arithmetic.sum if name == "dW" else arithmetic.value
            counts[name] = special(tensor, fmt)
    return replace(
        layer,
        weights=weights,
        weight_gradient=gradient,
        new_weights=stepped,
        new_master=master,
        new_momentum=velocity,
        potentials=potentials,
        gradients=du,
        gradient_sums=update.gradient_sums,
        nonfinite={name: count[0] for name, count in counts.items()},
        subnormal={name: count[1] for name, count in counts.items()},
    )


def _forward_tables(layer: Layer, arithmetic: Arithmetic, weights: Floats) -> tuple[int, int]:
    """Count the (non-finite, subnormal) entries of the forward engine's tables of a layer."""
    operands = forward_operands(layer, weights, arithmetic.k, arithmetic.lanes)
    tables = LutTables(operands, arithmetic.lanes, arithmetic.value, arithmetic.sum)
    tables.accumulate(np.zeros((1, len(operands)), np.uint8), np.zeros((1, layer.out_channels), np.float32))
    return tables.nonfinite, tables.subnormal


def special(values: Floats, fmt: FloatFormat) -> tuple[int, int]:
    """Count the values that are not finite, and those that are subnormal in `fmt`."""
    nonfinite, subnormal = count_special(np.ascontiguousarray(values).reshape(-1), rounding(fmt))
    return int(nonfinite), int(subnormal)


def _unchanged(layer: LayerRecord) -> LayerRecord:
    """Return a layer whose optimiser step was skipped."""
    return replace(layer, new_weights=layer.weights, new_master=layer.master, new_momentum=layer.momentum)


def _shares(before: Floats, after: Floats, fmt: FloatFormat) -> tuple[float, float]:
    """Return the shares of the numbers before that became zero and subnormal; of none where all were zero."""
    there, left = int(np.count_nonzero(before)), int(np.count_nonzero(after))
    return (there - left) / max(1, there), special(after, fmt)[1] / max(1, there)
