"""Small traces for the tests of the co-simulation: odd shapes, a shorter last micro-batch, hostile magnitudes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rtl_models.formats import BFLOAT16
from workloads.network import Network, parse_network
from workloads.record import Arithmetic, OptimiserConstants, StepRecord
from workloads.trace_file import write_trace
from workloads.training_step import initial_state, state_of, training_step

# bfloat16 holds exponents far enough apart for binary32 sums to round, so that the order of additions shows
ARITHMETIC = Arithmetic(value=BFLOAT16, k=3, lanes=4, micro_batch=2)
RATES = OptimiserConstants(np.float32(0.1), np.float32(0.9), np.float32(0.0), 12, False)
BATCH = 5
POOLED = [
    {"conv": {"channels": 3, "kernel": [2, 3], "padding": 1, "pool": 2}},
    {"conv": {"channels": 4, "kernel": [2, 1], "padding": 1, "pool": 2}},
    {"conv": {"channels": 3, "kernel": [2, 2], "padding": 1, "pool": 3}},
]
"""Planes of 6 x 4, 4 x 4 and 3 x 3."""
CONV = {"conv": {"channels": 3, "kernel": [3, 3], "stride": 2, "padding": 1}}


def small_network(coding: str = "direct", first: str = "conv", **source: Any) -> Network:
    """A network of two or three layers on a 5 x 4 x 2 input; `first` is "conv", "linear" or "pool"."""
    layers: list[dict[str, Any]] = [{"linear": 5}, {"linear": 3}]
    if first == "pool":
        layers = POOLED
    if first == "conv":
        layers.insert(0, CONV)
    raw = {
        "input": {"shape": [5, 4, 2], "coding": coding} | source,
        "timesteps": 3,
        "neuron": {"alpha": 0.3, "threshold": 0.25, "interval": 0.4, "beta": 1.5},
        "layers": layers,
    }
    return parse_network(raw, "small")


def make_step(network: Network, arithmetic: Arithmetic = ARITHMETIC, seed: int = 0, spread: int = 0) -> StepRecord:
    """One training step on random inputs; `spread` scales each weight by a random power of two up to 2^-spread."""
    rng = np.random.default_rng(seed)
    state = initial_state(network, arithmetic, seed)
    if spread:
        master = [w if w.any() else rng.normal(0.0, 0.2, w.shape).astype(np.float32) for w in state.master]  # biases
        master = [w * np.exp2(-rng.integers(0, spread, w.shape)).astype(np.float32) for w in master]
        state = state_of(network, arithmetic, tuple(master))
    labels = rng.integers(0, network.classes, BATCH)
    return training_step(network, arithmetic, state, _inputs(network, rng), labels, RATES, 7, seed, "random")


def write_small_trace(path: Path, **changes: Any) -> Path:
    """Write the trace of a step of the signed, directly coded network; `changes` replace parts of its record."""
    record = make_step(small_network(signed=True, exponent=6), spread=40)
    write_trace(replace(record, **changes), path)
    return path


def _inputs(network: Network, rng: np.random.Generator) -> Any:
    source = network.input
    shape = (source.height, source.width, source.channels)
    if source.coding == "spikes":
        return (rng.random((network.timesteps, BATCH, *shape)) < 0.4).astype(np.uint8)
    if source.signed:
        return rng.integers(-128, 128, (BATCH, *shape)).astype(np.int8)
    return rng.integers(0, 256, (BATCH, *shape)).astype(np.uint8)
