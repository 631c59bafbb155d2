"""The observed step as a record: the model's chain as a network, its tensors in the machine's layout."""

from __future__ import annotations

import math
from importlib import metadata
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rtl_models.errors import InputError
from rtl_models.formats import BINARY32
from rtl_models.reference.optimiser import sgd
from workloads.dataset import as_inputs
from workloads.float_step import real_inputs
from workloads.forward import Inputs
from workloads.importers.chain import Imported
from workloads.importers.torch.captured import Capture, CapturedLayer
from workloads.importers.torch.firing import Firing, firing
from workloads.importers.torch.inputs import EncodedInputs, encode_inputs
from workloads.importers.torch.layers import Mapping, correlated
from workloads.importers.torch.observed import ObservedStep
from workloads.importers.torch.optimisers import SgdState
from workloads.importers.torch.structure import Chain
from workloads.importers.torch.understood import check_understood
from workloads.layer import Layer
from workloads.network import CONSTANT, DIRECT, INPUT, InputSpec, Network
from workloads.record import Arithmetic, Floats, LayerRecord, OptimiserConstants, StepRecord

_SAME = 1e-6  # relative: gradients of the output at two timesteps that are the same, being binary32
_ALIKE = 1e-3  # relative: surrogates of two layers that are the same
_FRAMEWORKS = {"snntorch": "snnTorch", "spikingjelly": "SpikingJelly"}


def assembled(
    step: ObservedStep, target: Any, before: SgdState, mask_threshold: float, name: str, dataset: str
) -> Capture:
    """Return the capture of an observed step; raises InputError for what the machine or a trace cannot hold."""
    chain = step.chain
    labels = _labels(target, chain.batch)
    encoded = encode_inputs(_input(chain), chain.weights[0])
    found = {neurons: firing(chain, neurons, chain.neurons[0], mask_threshold) for neurons in chain.neurons}
    mapping = _mapping(chain, encoded, found[chain.neurons[0]], name or type(chain.observer.model).__name__.lower())
    imported = mapping.weights()
    network = imported.network
    states = {imported.layer_of[neurons]: firing for neurons, firing in found.items()}
    values = encoded.values if encoded.coding == DIRECT else np.moveaxis(encoded.values, 1, 0)
    tensors = _Tensors(network, as_inputs(values, network), states)  # type: ignore[arg-type]
    output_gradient, logits = _output(chain)
    du = {number: _in_layout(network.layers[number], state.gradients) for number, state in states.items()}
    du[len(network.layers) - 1] = output_gradient
    updates = mapping.gradients(step.gradients, network.layers)
    velocities = mapping.velocities(before.velocities)
    for number, layer in enumerate(network.layers):
        if number not in updates:
            above = du[network.joined(number)]
            timed = above[np.newaxis] if above.ndim == 4 else above
            updates[number] = correlated(layer, tensors.maps(number), timed, network.timesteps)
    rates = np.array(before.rates, np.float32)
    layers = []
    for number, weights in enumerate(imported.weights):
        velocity = velocities.get(number, np.zeros_like(weights))
        layers.append(tensors.record(number, weights, velocity, updates[number], du[network.joined(number)], rates))
    record = StepRecord(
        network=network,
        arithmetic=Arithmetic(value=BINARY32, sum=BINARY32),
        optimiser=OptimiserConstants(rates[0], rates[1], rates[2], scale_log2=0, dynamic_scale=False),
        step=0,
        seed=0,
        dataset=dataset,
        inputs=tensors.inputs,
        labels=labels,
        logits=logits,
        loss=step.loss,
        skipped=False,
        layers=tuple(layers),
        origin=_origin(chain),
    )
    slopes = {number: _in_layout(network.layers[number], state.slopes) for number, state in states.items()}
    check_understood(record, slopes, {imported.layer_of[name]: name for name in chain.neurons}, encoded.error > 0.0)
    notes = [
        *imported.notes,
        *_normalisation_notes(chain),
        *([encoded.note] if encoded.note else []),
        *_surrogate_notes(found),
    ]
    if any(before.rates):
        notes += _rate_notes(mapping, imported)
    described = tuple(
        _described(chain, name, imported.layer_of[name], state, mask_threshold) for name, state in found.items()
    )
    return Capture(record, tuple(notes), described)


class _Tensors:
    """The tensors of the network's layers, [T, B, OH, OW, M] as views of PyTorch's."""

    def __init__(self, network: Network, inputs: Inputs, states: dict[int, Firing]) -> None:
        self.network, self.inputs, self._states = network, inputs, states
        self._spikes = {n: _in_layout(network.layers[n], state.spikes) for n, state in states.items()}

    def maps(self, number: int) -> Floats:
        """Return what a layer's weights meet, [T, B, H, W, C], or [1, ...] where it is always the same."""
        layer = self.network.layers[number]
        if layer.source == CONSTANT:
            batch = self.inputs.shape[0 if self.inputs.ndim == 4 else 1]
            return np.ones((1, batch, layer.in_height, layer.in_width, 1), np.float32)
        if layer.source == INPUT:
            return real_inputs(self.network, self.inputs, np.float32)
        return self._spikes[layer.source].astype(np.float32)

    def record(
        self,
        number: int,
        weights: Floats,
        velocity: Floats,
        update: Floats,
        du: Floats,
        rates: Floats,
    ) -> LayerRecord:
        """Return the record of a layer after the machine's optimiser step in binary32."""
        state = self._states.get(number)
        stepped, velocity_after, _ = sgd(weights, velocity, update, (rates[0], rates[1], rates[2]), 0, BINARY32)
        layer = self.network.layers[number]
        summed = number == 0 and self.network.input.coding == DIRECT
        return LayerRecord(
            weights=weights,
            master=weights,
            momentum=velocity,
            weight_gradient=update,
            new_weights=stepped,
            new_master=stepped,
            new_momentum=velocity_after,
            spikes=self._spikes.get(number),
            masks=None if state is None else _in_layout(layer, state.masks),
            potentials=None if state is None else _in_layout(layer, state.potentials),
            gradients=du,
            gradient_sums=du.sum(axis=0) if summed else None,
            nonfinite={},
            subnormal={},
        )


def _in_layout(layer: Layer, tensor: Tensor) -> NDArray[Any]:
    """Return a layer's tensor, [T, B, M, OH, OW] or flattened behind it, as [T, B, OH, OW, M] in host memory."""
    plane = (layer.out_channels, layer.out_height, layer.out_width)
    return np.moveaxis(tensor.cpu().numpy().reshape(*tensor.shape[:2], *plane), 2, -1)


def _labels(target: Any, batch: int) -> NDArray[np.int64]:
    """Return class numbers [B] of class numbers or one-hot rows."""
    labels = torch.as_tensor(target).detach().cpu()
    if labels.ndim == 2 and len(labels) == batch:
        labels = labels.argmax(1)
    if labels.shape != (batch,) or labels.is_floating_point():
        got = f"{labels.dtype} {list(labels.shape)}"
        raise InputError("a trace needs the class of every sample", "target", got, f"[{batch}] or one-hot rows")
    return np.asarray(labels.numpy(), np.int64)


def _input(chain: Chain) -> NDArray[np.float32]:
    """Return what the first weights see, [T, B, H, W, C], or [1, ...] where every timestep has the same tensor."""
    name = chain.weights[0]
    calls = chain.observer.calls[name]
    whole = chain.joined(name, "input")
    same = all(call.input is calls[0].input for call in calls)
    numbers = np.asarray((whole[:1] if same else whole).cpu().numpy(), np.float32)
    return np.moveaxis(numbers, 2, -1) if numbers.ndim == 5 else numbers[:, :, np.newaxis, np.newaxis, :]


def _mapping(chain: Chain, encoded: EncodedInputs, first: Firing, name: str) -> Mapping:
    height, width, channels = encoded.values.shape[-3:]
    source = InputSpec(height, width, channels, encoded.coding, encoded.exponent, encoded.signed)
    interval = first.support.reach
    if math.isinf(interval):  # a mask without an end: an interval that holds every potential
        interval = 2.0 ** math.ceil(math.log2(max(first.farthest, 2.0**-20) * 1.01))
    constants = chain.observer.rules[chain.neurons[0]].constants
    if constants.fires_at_threshold:  # the network's threshold is the number before: keep the lower end of the mask
        interval -= constants.threshold - float(str(np.nextafter(np.float32(constants.threshold), np.float32(-np.inf))))
    surrogate = (interval, float(f"{first.support.largest:.6g}"))
    return Mapping(chain, name, source, encoded.factor, surrogate)


def _output(chain: Chain) -> tuple[Floats, NDArray[np.float64]]:
    """Return the loss's gradient by the output of one timestep [B, 1, 1, M], and logits [B, M]: the mean output.

    Raises InputError where the gradient differs between timesteps.
    """
    name = chain.output
    output, gradient = chain.joined(name, "output").flatten(2), chain.joined(name, "output_gradient").flatten(2)
    if len(output) != chain.timesteps:
        raise InputError("the last layer was not called for every timestep", name, len(output), str(chain.timesteps))
    largest, spread = float(gradient.abs().max()), float((gradient - gradient[:1]).abs().max())
    if not spread <= _SAME * largest:
        what = "the gradient of the output differs between timesteps; the loss must see its mean or sum over time"
        raise InputError(what, f"loss at {name}", f"{spread:.3g} of {largest:.3g}", "1e-6 of the largest")
    logits = output.double().mean(0).cpu().numpy()
    return gradient[0, :, None, None].cpu().numpy(), logits


def _origin(chain: Chain) -> str:
    frameworks = sorted({rule.framework for rule in chain.observer.rules.values()})
    return " and ".join(f"{_FRAMEWORKS[name]} {metadata.version(name)}" for name in frameworks)


def _surrogate_notes(found: dict[str, Firing]) -> list[str]:
    """Say where a layer's surrogate is another one than that of the network file, which is the first layer's."""
    first, *others = found.items()
    notes = []
    for name, state in others:
        largest = state.support.largest / state.factor
        reach = state.support.reach * state.factor
        width = reach == first[1].support.reach or math.isclose(reach, first[1].support.reach, rel_tol=_ALIKE)
        if not (width and math.isclose(largest, first[1].support.largest, rel_tol=_ALIKE)):
            notes.append(f"{name}: another surrogate than {first[0]}, whose width and height stand in the network")
    return notes


def _normalisation_notes(chain: Chain) -> list[str]:
    """Say which modules have become part of weights and biases."""
    found = [name for section in chain.sections for name in section.modules if not chain.has_weights(name)]
    if not found:
        return []
    return [
        f"{', '.join(found)}: running statistics, scale and shift are in the weights and biases in front; the scale "
        "has no gradient of its own"
    ]


def _rate_notes(mapping: Mapping, imported: Imported) -> list[str]:
    """Say which weights the machine's optimiser moves by other steps than PyTorch's, being scaled."""
    scales, notes = mapping.scales(), []
    channels = mapping.source.channels
    for name in mapping.chain.weights:
        layer = imported.layer_of[name]
        scale = np.abs(scales[layer][..., :channels] if layer == 0 else scales[layer])  # without a bias's channel
        low, high = float(scale.min()), float(scale.max())
        if not math.isclose(low, high, rel_tol=_SAME):
            what = "by channel; the same rate moves them by the inverse squares of that"
            notes.append(f"{name}: weights are {low:g} to {high:g} x the model's, {what}")
        elif high != 1.0:
            what = f"weights are {high:g} x the model's; the same rate moves them {high**-2:g} x as far"
            notes.append(f"{name}: {what}")
    return notes


def _described(chain: Chain, name: str, layer: int, state: Firing, mask_threshold: float) -> CapturedLayer:
    surrogate = chain.observer.rules[name].surrogate
    kind = getattr(surrogate, "__qualname__", type(surrogate).__name__).partition(".")[0]
    count = state.spikes.numel()
    return CapturedLayer(
        name=name,
        layer=layer,
        surrogate=kind,
        exact=state.support.exact,
        mask_threshold=None if state.support.exact else mask_threshold,
        dropped_energy=state.dropped,
        firing_rate=int(state.spikes.count_nonzero()) / count,
        active_masks=int(state.masks.count_nonzero()) / count,
        nonzero_gradients=int(state.gradients.count_nonzero()) / count,
    )
