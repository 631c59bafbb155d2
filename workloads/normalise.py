"""Normalisation folded into the starting weights: scale and shift of every hidden layer, by a batch's statistics.

A network file with ``normalise: true`` starts from weights under which every channel's sums have mean 0 and the
threshold as their deviation over a batch, as threshold-dependent batch normalisation makes them (Zheng et al., AAAI
2021, with its factor 1/sqrt(n) for a layer that adds n branches). The statistics are taken once, before the first
step, and folded into weights and biases, like the data-dependent starts of Salimans and Kingma (NeurIPS 2016).
"""

from __future__ import annotations

import numpy as np

from rtl_models.formats import round_to
from workloads.forward import Activity, Inputs, check_inputs, layer_activity, part_sums
from workloads.network import Network
from workloads.record import Arithmetic, Floats

STATISTICS_IMAGES = 16  # of the first batch; every position and timestep of them counts


def normalised_weights(
    network: Network, arithmetic: Arithmetic, weights: tuple[Floats, ...], inputs: Inputs
) -> tuple[Floats, ...]:
    """Return `weights` (binary32, [M, R, S, C]) scaled by row, and biases set, by the sums that `inputs` give.

    Layer by layer, in the machine's arithmetic: the statistics of a layer are those behind normalised ones. A row is
    divided by its deviation, or where the layer has no bias to take the mean away by the root of its mean square; one
    whose sums are all equal stays as it is. The last layer stays too. Raises InputError where `inputs` do not fit.
    """
    check_inputs(network, inputs)
    scaled = list(weights)
    stored = [round_to(matrix, arithmetic.value) for matrix in weights]
    activity: dict[int, Activity] = {}
    for number in network.hidden:
        layer, bias = network.layers[number], network.bias(number)
        branches = [part for part in network.parts(number) if part != bias]
        target = network.neuron.threshold / np.sqrt(len(branches) + (layer.identity is not None))
        shift = np.zeros(layer.out_channels)
        for part in branches:
            sums = part_sums(network, arithmetic, stored[part], part, inputs, activity).astype(np.float64)
            over = tuple(range(sums.ndim - 1))
            mean = sums.mean(over)
            spread = sums.std(over) if bias is not None else np.sqrt(np.square(sums).mean(over))
            factor = np.divide(target, spread, out=np.ones_like(spread), where=spread > 0.0)
            scaled[part] = (scaled[part] * factor[:, np.newaxis, np.newaxis, np.newaxis]).astype(np.float32)
            shift -= mean * factor
        if bias is not None:
            scaled[bias] = shift.astype(np.float32).reshape(network.layers[bias].weights_shape)
        for part in network.parts(number):
            stored[part] = round_to(scaled[part], arithmetic.value)
        activity[number] = layer_activity(network, arithmetic, stored, number, inputs, activity, {})
    return tuple(scaled)
