"""The bit-exact contract once more, as nested loops over exact fractions: slow, and plain enough to be read as right.

Shares no code with the reference model. Numbers are Python floats (binary64), each one a value of its format.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from rtl_models.formats import BINARY32, FloatFormat
from workloads.network import Layer, Network
from workloads.record import Arithmetic, OptimiserConstants
from workloads.training_state import TrainingState


def round_exact(x: Fraction, fmt: FloatFormat) -> float:
    """Round a number that is not zero to nearest even, with subnormals and overflow to infinity."""
    size = abs(x)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if size < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** (max(exponent, 1 - fmt.bias) - fmt.fraction_bits)
    rounded = round(size / unit) * unit  # Python rounds a Fraction half to even
    limit = Fraction(2) ** (fmt.bias + 1)
    return math.copysign(math.inf if rounded >= limit else float(rounded), x)


def add(a: float, b: float, fmt: FloatFormat) -> float:
    if not (math.isfinite(a) and math.isfinite(b)):
        return a + b
    exact = Fraction(a) + Fraction(b)
    return round_exact(exact, fmt) if exact else a + b


def multiply(a: float, b: float, fmt: FloatFormat) -> float:
    if not (math.isfinite(a) and math.isfinite(b)):
        return a * b
    exact = Fraction(a) * Fraction(b)
    return round_exact(exact, fmt) if exact else a * b


def to_format(a: float, fmt: FloatFormat) -> float:
    return round_exact(Fraction(a), fmt) if math.isfinite(a) and a != 0 else a


def table_entry(weights: list[float], index: int, value: FloatFormat) -> float:
    if index == 0:
        return 0.0
    highest = index.bit_length() - 1
    rest = index - (1 << highest)
    if rest == 0:
        return weights[highest]
    return add(table_entry(weights, rest, value), weights[highest], value)


def tree(terms: list[float], total: FloatFormat) -> float:
    while len(terms) > 1:
        terms = [add(terms[i], terms[i + 1], total) for i in range(0, len(terms), 2)]
    return terms[0]


def row_sum(
    groups: list[list[float]], indices: list[int], psum: float, arithmetic: Arithmetic, subtract: bool = False
) -> float:
    """Continue `psum` through the tiles of one row; groups and indices are padded to whole tiles here."""
    k, lanes = arithmetic.k, arithmetic.lanes
    missing = -len(groups) % lanes
    groups = groups + [[0.0] * k] * missing
    indices = indices + [0] * missing
    for first in range(0, len(groups), lanes):
        entries = [table_entry(groups[first + i], indices[first + i], arithmetic.value) for i in range(lanes)]
        summed = tree(entries, arithmetic.sum)
        psum = add(psum, -summed if subtract else summed, arithmetic.sum)
    return psum


def forward_position(
    layer: Layer, k: int, weights: Any, m: int, bit: Callable[[int, int, int], int], y: int, x: int
) -> tuple[list[list[float]], list[int]]:
    """Groups of weights and their indices for output (y, x, m); `bit(y, x, c)` is the spike there."""
    groups, indices = [], []
    for r in range(layer.kernel_height):
        for s in range(layer.kernel_width):
            for c0 in range(0, layer.in_channels, k):
                group, index = [0.0] * k, 0
                for j in range(min(k, layer.in_channels - c0)):
                    group[j] = float(weights[m, r, s, c0 + j])
                    iy, ix = y * layer.stride + r - layer.padding, x * layer.stride + s - layer.padding
                    if 0 <= iy < layer.in_height and 0 <= ix < layer.in_width and bit(iy, ix, c0 + j):
                        index |= 1 << j
                groups.append(group)
                indices.append(index)
    return groups, indices


def plane_bit(pixel: int, plane: int) -> int:
    return ((int(pixel) & 0xFF) >> (7 - plane)) & 1


class OracleStep:
    """One training step; attributes carry the names of `LayerRecord`, one entry a layer."""

    def __init__(
        self,
        network: Network,
        arithmetic: Arithmetic,
        state: TrainingState,
        inputs: Any,
        labels: Any,
        optimiser: OptimiserConstants,
    ) -> None:
        self.network, self.arithmetic, self.inputs = network, arithmetic, inputs
        self.direct = network.input.coding == "direct"
        self.batch = inputs.shape[0] if self.direct else inputs.shape[1]
        self.weights = state.weights
        self.spikes: dict[int, Any] = {}
        self.masks: dict[int, Any] = {}
        self.potentials: dict[int, Any] = {}
        self.forward()
        self.backward(labels, state.scale_log2)
        self.gradient_sums: Any = None
        self.weight_gradient = [self.update(number) for number in range(len(network.layers))]
        self.optimise(state, optimiser)

    def bit(self, number: int, t: int, b: int) -> Callable[[int, int, int], int]:
        source = self.network.layers[number].source
        if source == -2:
            return lambda y, x, c: 1
        spikes = self.inputs if number == 0 else self.spikes[source]
        return lambda y, x, c: int(spikes[t, b, y, x, c])

    def forward(self) -> None:
        T, total, value = self.network.timesteps, self.arithmetic.sum, self.arithmetic.value
        constants = self.network.constants
        for number, layer in enumerate(self.network.layers):
            if layer.joins is not None:
                continue  # its tiles are the first ones of the next layer
            shape = (T, self.batch, layer.out_height, layer.out_width, layer.out_channels)
            sums, u = np.zeros(shape), np.zeros(shape)
            s, f = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
            for here in np.ndindex(shape):
                once = here[0] > 0 and number == 0 and self.direct
                sums[here] = sums[(0, *here[1:])] if once else self.sum_at(number, layer, here)
                before = (here[0] - 1, *here[1:])
                p = 0.0
                if here[0] > 0 and (constants.reset.subtract or not s[before]):
                    p = multiply(float(constants.alpha), float(u[before]), total)
                if here[0] > 0 and constants.reset.subtract and s[before]:
                    p = add(p, -to_format(float(constants.reset.drop), total), total)
                u[here] = to_format(add(p, float(sums[here]), total), value)
                s[here] = u[here] > constants.threshold
                f[here] = constants.low < u[here] < constants.high
            if layer.spiking:
                self.potentials[number], self.spikes[number], self.masks[number] = u, s, f
        totals = np.zeros((self.batch, self.network.classes))
        for t in range(T):
            totals = totals + sums[t, :, 0, 0, :]
        self.logits = totals / T

    def sum_at(self, number: int, layer: Layer, here: tuple[int, ...]) -> float:
        t, b, y, x, m = here
        k, weights, p, psum = self.arithmetic.k, self.weights[number], layer.pool, 0.0
        window = [(p * y + dy, p * x + dx) for dy in range(p) for dx in range(p)]
        if number or not self.direct:
            psum = 0.0 if layer.identity is None else float(self.spikes[layer.identity][here])
            for part, shape in enumerate(self.network.layers):
                if shape.joins == number:
                    groups, indices = forward_position(shape, k, self.weights[part], m, self.bit(part, t, b), y, x)
                    psum = row_sum(groups, indices, psum, self.arithmetic)
            for position in window:
                groups, indices = forward_position(layer, k, weights, m, self.bit(number, t, b), *position)
                psum = row_sum(groups, indices, psum, self.arithmetic)
            return psum
        for plane in range(8):
            psum = add(psum, psum, self.arithmetic.sum)

            def bit(iy: int, ix: int, c: int, plane: int = plane) -> int:
                return plane_bit(self.inputs[b, iy, ix, c], plane)

            for position in window:
                groups, indices = forward_position(layer, k, weights, m, bit, *position)
                psum = row_sum(groups, indices, psum, self.arithmetic, self.network.input.signed and plane == 0)
            assert psum != 0 or math.copysign(1.0, psum) > 0, "a psum is never -0"
        return multiply(psum, 2.0**-self.network.input.exponent, self.arithmetic.sum)

    def backward(self, labels: Any, scale_log2: int) -> None:
        T, total, value = self.network.timesteps, self.arithmetic.sum, self.arithmetic.value
        constants, reset = self.network.constants, self.network.constants.reset
        alpha, beta = float(constants.alpha), float(constants.beta)
        exponentials = np.exp(self.logits - self.logits.max(axis=1, keepdims=True))
        softmax = exponentials / exponentials.sum(axis=1, keepdims=True)
        onehot = np.eye(self.network.classes)[labels]
        self.loss = float(np.mean(-np.log(softmax[np.arange(self.batch), labels])))
        scaled = 2.0**scale_log2 * (softmax - onehot) / (self.batch * T)
        g16 = np.vectorize(lambda v: to_format(to_format(float(v), total), value))(scaled)
        last = len(self.network.layers) - 1
        self.gradients: dict[int, Any] = {last: g16.reshape(self.batch, 1, 1, -1)}
        self.du_at = {last: np.broadcast_to(self.gradients[last], (T, self.batch, 1, 1, self.network.classes))}
        for number in range(last - 1, -1, -1):
            layer = self.network.layers[number]
            if layer.joins is not None:
                self.gradients[number] = self.gradients[layer.joins]
                self.du_at[number] = self.du_at[layer.joins]
                continue
            u, s, f = self.potentials[number], self.spikes[number], self.masks[number]
            du = np.zeros(u.shape)
            for t in range(T - 1, -1, -1):
                for place in np.ndindex(u.shape[1:]):
                    here = (t, *place)
                    following = float(du[(t + 1, *place)]) if t < T - 1 else 0.0
                    summed = self.sum_from_above(number, here)
                    c = (
                        to_format(float(reset.drop), total)
                        if reset.subtract
                        else multiply(alpha, float(u[here]), total)
                    )
                    ds = summed if reset.detached else add(summed, -multiply(c, following, total), total)
                    g_term = multiply(beta, ds, total) if f[here] else 0.0
                    h = 0.0 if s[here] and not reset.subtract else multiply(alpha, following, total)
                    du[here] = to_format(add(g_term, h, total), value)
            self.gradients[number] = self.du_at[number] = du

    def sum_from_above(self, number: int, here: tuple[int, ...]) -> float:
        """Over the convolutions that take the layer's spikes, then over the layers to which they are added."""
        acc = 0.0
        for upper, layer in enumerate(self.network.layers):
            if layer.source == number:
                acc = self.backward_sum(layer, self.weights[upper], self.du_at[upper], here, acc)
        for upper, layer in enumerate(self.network.layers):
            if layer.identity == number:
                acc = add(acc, float(self.du_at[upper][here]), self.arithmetic.sum)
        return acc

    def backward_sum(self, layer: Layer, weights: Any, above: Any, here: tuple[int, ...], acc: float) -> float:
        t, b, y, x, c = here
        total = self.arithmetic.sum
        for r in range(layer.kernel_height):
            for s in range(layer.kernel_width):
                oy, ox = y + layer.padding - r, x + layer.padding - s
                if oy % layer.stride or ox % layer.stride:
                    continue
                oy, ox = oy // layer.stride, ox // layer.stride
                if not (0 <= oy < layer.out_height * layer.pool and 0 <= ox < layer.out_width * layer.pool):
                    continue
                oy, ox = oy // layer.pool, ox // layer.pool
                for m in range(layer.out_channels):
                    acc = add(acc, multiply(float(weights[m, r, s, c]), float(above[t, b, oy, ox, m]), total), total)
        return acc

    def points(self, layer: Layer, timesteps: int, first: int) -> list[tuple[int, int, int, int] | None]:
        """The points of the micro-batch that starts at sample `first`; None is a padding point."""
        k = self.arithmetic.k
        points: list[tuple[int, int, int, int] | None] = []
        for t in range(timesteps - 1, -1, -1):
            for b in range(first, min(first + self.arithmetic.micro_batch, self.batch)):
                height, width = layer.out_height * layer.pool, layer.out_width * layer.pool
                points += [(t, b, y, x) for y in range(height) for x in range(width)]
                if not layer.fully_connected:
                    points += [None] * (-len(points) % k)
        return points + [None] * (-len(points) % k)

    def update(self, number: int) -> Any:
        layer, direct = self.network.layers[number], self.direct and number == 0
        du = self.gradients[number]
        if len(self.network.layers) - 1 in (number, layer.joins):
            du = np.broadcast_to(du, (self.network.timesteps, *du.shape))
        if direct:
            du = self.sums_over_time(du)[np.newaxis]
            self.gradient_sums = du[0]
        dW = np.zeros(layer.weights_shape)
        for first in range(0, self.batch, self.arithmetic.micro_batch):
            points = self.points(layer, du.shape[0], first)
            for here in np.ndindex(dW.shape):
                groups, held = self.point_groups(layer, du, points, here, number)
                if direct:
                    h = self.direct_sum(groups, held)
                    dW[here] = add(float(dW[here]), h, self.arithmetic.sum)
                else:
                    indices = [sum((bit & 1) << j for j, bit in enumerate(group)) for group in held]
                    dW[here] = row_sum(groups, indices, float(dW[here]), self.arithmetic)
        return dW

    def direct_sum(self, groups: list[list[float]], pixels: list[list[int]]) -> float:
        h = 0.0
        for plane in range(8):
            h = add(h, h, self.arithmetic.sum) if plane else h
            indices = [sum(plane_bit(pixel, plane) << j for j, pixel in enumerate(group)) for group in pixels]
            h = row_sum(groups, indices, h, self.arithmetic, self.network.input.signed and plane == 0)
        return multiply(h, 2.0**-self.network.input.exponent, self.arithmetic.sum)

    def sums_over_time(self, du: Any) -> Any:
        sums = np.zeros(du.shape[1:])
        for here in np.ndindex(sums.shape):
            a = 0.0
            for t in range(du.shape[0] - 1, -1, -1):
                a = add(a, float(du[(t, *here)]), self.arithmetic.sum)
            sums[here] = to_format(a, self.arithmetic.value)
        return sums

    def point_groups(
        self, layer: Layer, du: Any, points: list[Any], here: tuple[int, ...], number: int
    ) -> tuple[list[list[float]], list[list[int]]]:
        """Groups of k gradients, and what the input holds under each point (a spike, or a byte of a direct layer)."""
        m, r, s, c = here
        gradients, inputs = [], []
        for point in points:
            gradient, held = 0.0, 0
            if point is not None:
                t, b, y, x = point
                gradient = float(du[t, b, y // layer.pool, x // layer.pool, m])
                iy, ix = y * layer.stride + r - layer.padding, x * layer.stride + s - layer.padding
                if 0 <= iy < layer.in_height and 0 <= ix < layer.in_width:
                    picture = self.direct and number == 0
                    held = int(self.inputs[b, iy, ix, c]) if picture else self.bit(number, t, b)(iy, ix, c)
            gradients.append(gradient)
            inputs.append(held)
        k = self.arithmetic.k
        cut = range(0, len(points), k)
        return [gradients[i : i + k] for i in cut], [inputs[i : i + k] for i in cut]

    def optimise(self, state: TrainingState, optimiser: OptimiserConstants) -> None:
        one = np.float32
        self.new_master: list[Any] = []
        self.new_momentum: list[Any] = []
        for number, dW in enumerate(self.weight_gradient):
            w, v = state.master[number].copy(), state.momentum[number].copy()
            for here in np.ndindex(dW.shape):
                g = one(multiply(float(dW[here]), 2.0**-state.scale_log2, BINARY32))
                g = one(g + one(optimiser.weight_decay * w[here])) if optimiser.weight_decay else g
                v[here] = one(one(optimiser.momentum * v[here]) + g)
                w[here] = one(w[here] - one(optimiser.learning_rate * v[here]))
            self.new_master.append(w)
            self.new_momentum.append(v)
        store = np.vectorize(lambda a: to_format(float(a), self.arithmetic.value))
        self.new_weights = [store(w) for w in self.new_master]
