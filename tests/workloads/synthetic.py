"""Training-step records filled with random numbers: every shape right, no arithmetic behind them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl_models.formats import decode
from workloads.network import Network, load_network, parse_network
from workloads.record import Arithmetic, LayerRecord, OptimiserConstants, StepRecord
from workloads.trace_schema import Storage, TensorSpec, layer_tensors, step_tensors

SMALL = {
    "name": "small",
    "input": {"shape": [4, 5, 3], "coding": "direct", "exponent": 4},
    "timesteps": 3,
    "layers": [{"conv": {"channels": 9, "kernel": [3, 3], "padding": 1}}, {"linear": 4}],
}


def small_network(**changes: Any) -> Network:
    """A network of two layers that every test can afford; `changes` replace keys of its file."""
    return parse_network(SMALL | changes, "small")


def random_record(network: Network, batch: int = 4, seed: int = 0, arithmetic: Arithmetic | None = None) -> StepRecord:
    """A record with random content for `network`."""
    rng = np.random.default_rng(seed)
    arithmetic = arithmetic or Arithmetic()
    layers = []
    for index in range(len(network.layers)):
        specs = layer_tensors(network, arithmetic.value, index, batch)
        arrays: dict[str, Any] = dict.fromkeys(("spikes", "masks", "potentials", "gradient_sums"))
        arrays |= {name: _random(spec, rng) for name, spec in specs.items()}
        layers.append(LayerRecord(**arrays, nonfinite={"u": index}, subnormal={"u": 3, "W16": int(rng.integers(9))}))
    whole: dict[str, Any] = {name: _random(spec, rng) for name, spec in step_tensors(network, batch).items()}
    return StepRecord(
        network=network,
        arithmetic=arithmetic,
        optimiser=OptimiserConstants(np.float32(0.1), np.float32(0.9), np.float32(0.0), 12, False),
        step=7,
        seed=seed,
        dataset="random",
        loss=float(rng.normal()),
        skipped=False,
        layers=tuple(layers),
        **whole,
    )


def digits_record(batch: int = 4) -> StepRecord:
    """A random record of digits-mlp."""
    return random_record(load_network("digits-mlp"), batch)


def _random(spec: TensorSpec, rng: np.random.Generator) -> NDArray[Any]:
    if spec.storage is Storage.BITS:
        return rng.integers(0, 2, spec.shape).astype(np.uint8)
    if spec.storage is Storage.PATTERN:  # every pattern but NaN, which has only one stored form
        bits = rng.integers(0, 1 << spec.value.width_bits, spec.shape).astype(spec.value.bits_dtype)
        numbers = decode(bits, spec.value)
        return np.where(np.isnan(numbers), np.float32(np.nan), numbers)
    if spec.storage is Storage.INT64:
        return rng.integers(0, 10, spec.shape)
    if spec.storage in (Storage.UINT8, Storage.INT8):
        return rng.integers(0, 256, spec.shape).astype(np.uint8).view(spec.dtype)
    return rng.normal(size=spec.shape).astype(spec.dtype)
