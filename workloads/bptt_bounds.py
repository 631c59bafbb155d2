"""How far a step in machine arithmetic may lie from one in binary64: running error bounds, element by element.

Every rounding of the contract adds its unit roundoff times the magnitude it rounds, and everything is carried along the
same convolutions with absolute values (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., sections 3.1
and 3.3). So a bound grows with depth, timesteps and magnitudes as the error itself may. docs/contract.md, "Distance
from binary64", says how much of the bounds steps use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl_models.formats import FloatFormat
from rtl_models.reference.shape import update_group_count
from workloads.bptt_reference import BpttReference
from workloads.float_step import FloatStep, Reals, convolve, convolve_back, correlate, cross_entropy, sums_from_above
from workloads.forward import BIT_PLANES
from workloads.network import CONSTANT, DIRECT, INPUT, Layer, Network
from workloads.record import Arithmetic


def roundoff(fmt: FloatFormat) -> float:
    """Unit roundoff: the largest relative error of one rounding of a normal number."""
    return 2.0 ** -(fmt.fraction_bits + 1)


def half_subnormal(fmt: FloatFormat) -> float:
    """The largest absolute error of rounding a subnormal number."""
    return 2.0 ** (-fmt.bias - fmt.fraction_bits)


@dataclass(frozen=True)
class Errors:
    """Unit roundoffs of one arithmetic, and the bounds of one layer's tensors built from them."""

    arithmetic: Arithmetic
    network: Network
    scale_log2: int

    @property
    def value(self) -> float:
        """Unit roundoff of stored values."""
        return roundoff(self.arithmetic.value)

    @property
    def sum(self) -> float:
        """Unit roundoff of sums, a little enlarged so that products of roundoffs need no terms of their own."""
        return 1.01 * roundoff(self.arithmetic.sum)

    @property
    def entry(self) -> float:
        """Relative error of a table entry: k - 1 additions."""
        steps = (self.arithmetic.k - 1) * self.value
        return steps / (1.0 - steps)

    def lut(self, tiles: int) -> float:
        """Error of a row sum, relative to the sum of its operands' magnitudes."""
        additions = tiles + int(np.log2(self.arithmetic.lanes)) + 2
        return self.entry + additions * self.sum * (1.0 + self.entry)

    def tiles(self, layer: Layer, planes: int) -> int:
        """Tiles that a row's sum runs through; `planes` bit planes take them that often."""
        return planes * layer.window * -(-layer.groups(self.arithmetic.k) // self.arithmetic.lanes)

    def potentials(self, sums: Reals, potentials: Reals, spikes: Reals) -> Reals:
        """Bound of u [T, ...], given the bound of x [T, ...]."""
        neuron = self.network.neuron
        alpha, drop = neuron.alpha, neuron.drop
        bounds = np.empty_like(potentials)
        carried = np.zeros(potentials.shape[1:])
        for t in range(potentials.shape[0]):
            before = sums[min(t, sums.shape[0] - 1)] + carried
            bounds[t] = self._stored(potentials[t], before, half_subnormal(self.arithmetic.value))
            carried = alpha * (bounds[t] + 2 * self.sum * (np.abs(potentials[t]) + bounds[t]))
            if neuron.subtracts:  # the drop is rounded twice, the difference once
                difference = alpha * np.abs(potentials[t]) + carried + drop
                carried = carried + spikes[t] * self.sum * (2 * drop + difference)
            else:
                carried = (1 - spikes[t]) * carried
        return bounds

    def output_gradient(self, logits: Reals, softmax: Reals, gradient: Reals) -> Reals:
        """Bound of the last layer's gradient [B, classes], given the bound of the logits."""
        worst = logits.max(axis=1, keepdims=True) + 2.0**-40  # the exponential and its sum are rounded in binary64
        divisor = gradient.shape[0] * self.network.timesteps
        return self._stored(gradient, softmax * np.expm1(2 * worst) / divisor, self._subnormal)

    def added_up(self, gradients: Reals, bounds: Reals, additions: int) -> Reals:
        """Bound of gradients, given their own, that go through so many additions and the product before them."""
        return bounds + 2 * additions * self.sum * (np.abs(gradients) + bounds)

    def gradients(
        self, sums: Reals, sum_bounds: Reals, activity: tuple[Reals, Reals, Reals, Reals], du: Reals
    ) -> Reals:
        """Bound of du [T, ...]; `activity` are u, the bound of u, s and f."""
        potentials, potential_bounds, spikes, masks = activity
        neuron = self.network.neuron
        alpha, beta = neuron.alpha, abs(neuron.beta)
        bounds = np.empty_like(potentials)
        after, after_bound = np.zeros(potentials.shape[1:]), np.zeros(potentials.shape[1:])
        for t in range(potentials.shape[0] - 1, -1, -1):
            at = min(t, sums.shape[0] - 1)
            u, u_bound = np.abs(potentials[t]), potential_bounds[t]
            factor, factor_bound = (neuron.drop, 0.0) if neuron.subtracts else (alpha * u, alpha * u_bound)
            if not neuron.reset_gradient:
                factor, factor_bound = 0.0, 0.0
            leak = factor * after_bound + factor_bound * (np.abs(after) + after_bound)
            leak = leak + 3 * self.sum * factor * (np.abs(after) + after_bound)
            ds = sum_bounds[at] + leak
            ds = ds + 3 * self.sum * (np.abs(sums[at]) + factor * np.abs(after) + ds)
            kept = alpha * (after_bound + 2 * self.sum * (np.abs(after) + after_bound))
            kept = kept if neuron.subtracts else (1 - spikes[t]) * kept
            bounds[t] = self._stored(du[t], masks[t] * beta * ds + kept, self._subnormal)
            after, after_bound = du[t], bounds[t]
        return bounds

    def weight_gradients(self, layer: Layer, maps: Reals, du: Reals, bounds: Reals, tiles: int) -> Reals:
        """Bound of dW, given gradients, their bound, and the tiles that a row's sum runs through."""
        carried = bounds + self.lut(tiles) * (np.abs(du) + bounds)
        return correlate(layer, maps, carried)

    def sums_over_time(self, du: Reals, bounds: Reals) -> Reals:
        """Bound of d16 [1, B, ...]."""
        additions = self.network.timesteps * self.sum * (np.abs(du) + bounds)
        before = (bounds + additions).sum(axis=0, keepdims=True)
        return self._stored(du.sum(axis=0, keepdims=True), before, self._subnormal)

    @property
    def _subnormal(self) -> float:
        """Largest error of a subnormal gradient, without the loss scale."""
        return half_subnormal(self.arithmetic.value) * 2.0**-self.scale_log2

    def _stored(self, exact: Reals, before: Reals, subnormal: float) -> Reals:
        """Bound after a rounding to the sum format and one to the value format."""
        return np.asarray(before + (self.value + 2 * self.sum) * (np.abs(exact) + before) + subnormal)


class Bounds:
    """Running error bounds of every tensor, along the forward and the backward pass of `target`.

    Forward bounds are against the reference's binary64 step. `clean` says which samples of `target` are the
    reference's; in the others its forward pass is the machine's own, which is then exact.
    """

    def __init__(
        self, reference: BpttReference, exact: FloatStep, target: FloatStep, errors: Errors, clean: NDArray[np.bool_]
    ) -> None:
        self._reference, self._errors = reference, errors
        self._network = reference.network
        self._layers = reference.network.layers
        self._weights = tuple(layer.weights for layer in reference.layers)
        self.potentials: dict[int, Reals] = {}
        self.gradients: dict[int, Reals] = {}
        self.logits = self._forward(exact)
        self._backward(target, clean)
        self.weight_gradients = [self._weight_gradient(number, target) for number in range(len(self._layers))]

    def _planes(self, number: int) -> int:
        return BIT_PLANES if number == 0 and self._reference.network.input.coding == DIRECT else 1

    def _inputs(self, number: int, step: FloatStep) -> Reals:
        """What enters layer `number`, [T, B, H, W, C]."""
        layer, source = self._layers[number], self._layers[number].source
        if source == CONSTANT:
            return np.ones((*self._reference.inputs.shape[:2], layer.in_height, layer.in_width, 1))
        spikes = None if source == INPUT else step.layers[source].spikes
        return self._reference.inputs if spikes is None else spikes.astype(np.float64)

    def _forward(self, exact: FloatStep) -> Reals:
        for number in self._network.main:
            seen = exact.layers[number]
            sums = self._forward_sums(number, exact)
            if seen.potentials is not None and seen.spikes is not None:
                self.potentials[number] = self._errors.potentials(sums, seen.potentials, seen.spikes)
        return np.asarray(sums.mean(axis=0)[:, 0, 0, :])

    def _forward_sums(self, number: int, exact: FloatStep) -> Reals:
        """Bound of x: whatever a sum holds runs through the tiles of all its parts."""
        parts = self._network.parts(number)
        magnitudes = [
            convolve(self._layers[part], self._inputs(part, exact), np.abs(self._weights[part])) for part in parts
        ]
        identity = self._layers[number].identity
        spikes = None if identity is None else exact.layers[identity].spikes
        if spikes is not None:
            magnitudes.append(spikes.astype(np.float64))
        tiles = sum(self._errors.tiles(self._layers[part], self._planes(part)) for part in parts)
        return np.asarray(self._errors.lut(tiles) * sum(magnitudes))

    def _backward(self, target: FloatStep, clean: NDArray[np.bool_]) -> None:
        above = target.layers[-1].gradients
        softmax = cross_entropy(target.logits, self._reference.labels)[1]
        softmax[np.arange(softmax.shape[0]), self._reference.labels] += 1
        logits = np.where(clean[:, np.newaxis], self.logits, 0.0)
        output = self._errors.output_gradient(logits, softmax, above[0, :, 0, 0, :])
        gradients = {number: layer.gradients for number, layer in enumerate(target.layers)}
        self.gradients[len(self._layers) - 1] = output[np.newaxis, :, np.newaxis, np.newaxis]
        for number in reversed(self._network.hidden):
            sum_bounds = self._sums_from_above(number, gradients)
            sums = sums_from_above(self._network, self._weights, gradients, number, np.float64)
            here = target.layers[number]
            potentials = np.where(clean[:, np.newaxis, np.newaxis, np.newaxis], self.potentials[number], 0.0)
            activity: Any = (here.potentials, potentials, here.spikes, here.masks)
            self.gradients[number] = self._errors.gradients(sums, sum_bounds, activity, here.gradients)
        for number in range(len(self._layers)):
            self.gradients[number] = self.gradients[self._network.joined(number)]

    def _sums_from_above(self, number: int, gradients: dict[int, Reals]) -> Reals:
        """Bound of the backward sums: one sum runs on over all that take a layer's spikes."""
        consumers, identities = self._network.consumers(number), self._network.identities(number)
        additions = sum(self._layers[n].weights_count // self._layers[n].in_channels for n in consumers)
        additions += len(identities)
        bounds = {
            n: self._errors.added_up(gradients[n], self.gradients[self._network.joined(n)], additions)
            for n in (*consumers, *identities)
        }
        total = sum(convolve_back(self._layers[n], bounds[n], np.abs(self._weights[n])) for n in consumers)
        return np.asarray(total + sum(bounds[n] for n in identities))

    def _weight_gradient(self, number: int, target: FloatStep) -> Reals:
        layer, timesteps = self._layers[number], self._reference.network.timesteps
        shape = (timesteps, *target.layers[number].gradients.shape[1:])
        du = np.broadcast_to(target.layers[number].gradients, shape)
        bound = np.broadcast_to(self.gradients[number], shape)
        maps = self._inputs(number, target)
        if self._planes(number) > 1:
            maps, bound = maps[:1], self._errors.sums_over_time(du, bound)
            du = du.sum(axis=0, keepdims=True)
        return self._errors.weight_gradients(layer, maps, du, bound, self._update_tiles(number))

    def _update_tiles(self, number: int) -> int:
        """Additions that one row's sum runs through in a step: its tiles, and two a micro-batch."""
        layer, arithmetic, batch = self._layers[number], self._errors.arithmetic, self._reference.labels.size
        planes = self._planes(number)
        tiles = 0
        for first in range(0, batch, arithmetic.micro_batch):
            size = min(arithmetic.micro_batch, batch - first)
            maps = size * (1 if planes > 1 else self._reference.network.timesteps)
            tiles += update_group_count(layer, maps, arithmetic.k, arithmetic.lanes) // arithmetic.lanes * planes + 2
        return tiles
