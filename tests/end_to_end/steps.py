"""Tiny training steps, each really computed, and a tiny accelerator on which every layer is cut into several jobs."""

from __future__ import annotations

import tempfile
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.workloads.residual import conv
from tlm.config import Config, load_config
from tlm.schedule.placement import place
from workloads.network import Network, parse_network
from workloads.record import Arithmetic, OptimiserConstants, StepRecord
from workloads.trace_file import Trace, open_trace, write_trace
from workloads.training_step import initial_state, training_step

ARITHMETIC = Arithmetic(k=3, lanes=2, micro_batch=2)
RATES = OptimiserConstants(np.float32(0.1), np.float32(0.9), np.float32(0.0), 12, False)
BATCH = 5  # three micro-batches, the last one shorter
CONVS = [
    {"conv": {"channels": 4, "kernel": [3, 2], "padding": 1}},
    {"conv": {"channels": 5, "kernel": [3, 3], "stride": 2, "padding": 1}},
]
POOLED = [
    {"conv": {"channels": 4, "kernel": [3, 2], "padding": 1, "pool": 2}},
    {"conv": {"channels": 5, "kernel": [2, 2], "padding": 1, "pool": 3}},
    {"conv": {"channels": 3, "kernel": [2, 2], "padding": 1, "pool": 2}},
]
DEEP = [{"conv": {"channels": 2 + i % 3, "kernel": [2, 2], "padding": i % 2}} for i in range(8)]
RESIDUAL = [
    conv(3, padding=0),
    conv(3, shortcut=1),
    conv(5, stride=2),
    conv(5, shortcut=2, projection=True),
    conv(5, shortcut=3, bias=True),
    {"linear": {"channels": 3, "bias": True}},
]
"""On a 4 x 4 plane: an identity, a projection with a stride, an identity into the layer after that; biases."""
LAYERS: dict[str, list[dict[str, Any]]] = {
    "conv": [*CONVS, {"linear": 6}, {"linear": 3}],
    "linear": [{"linear": 7}, {"linear": 3}],
    "wide": [{"conv": {"channels": 3, "kernel": [1, 1]}}, {"linear": 16}, {"linear": 3}],
    "pool": POOLED,
    "deep": [*DEEP, {"linear": 3}],
    "residual": RESIDUAL,
}
SOURCES: dict[str, dict[str, Any]] = {
    "direct": {"coding": "direct", "exponent": 7},
    "signed": {"coding": "direct", "exponent": 6, "signed": True},
    "spikes": {"coding": "spikes"},
}
STEPS = [
    ("direct", "conv", 3),
    ("signed", "conv", 2),
    ("spikes", "conv", 3),
    ("spikes", "conv", 1),
    ("signed", "pool", 2),
    ("spikes", "pool", 3),
    ("direct", "linear", 3),
    ("spikes", "linear", 2),
    ("direct", "deep", 2),
    ("direct", "residual", 3),
    ("spikes", "residual", 2),
]
"""(input coding, layers, timesteps) of the steps that every whole-step test runs."""
LONG_STEPS = [
    ("direct", "conv", 9),
    ("signed", "conv", 8),
    ("spikes", "conv", 9),
    ("spikes", "linear", 9),
    ("spikes", "pool", 9),
    ("direct", "deep", 4),
    ("direct", "residual", 12),
]
"""Steps of so many timesteps that staging some of them takes less room than all tensors."""
BANKED = ("dram={model: banked, channels: 2, interleave_bytes: 64}",)
ONE_ARRAY = (
    "forward_engine={arrays: 1, rows: 2, accumulator_depth: 4}",
    "weight_update_engine={arrays: 1, rows: 2, accumulator_depth: 8}",
)
"""Less to stage, where only one micro-batch is in flight."""

TINY = (
    "arithmetic.micro_batch=2",
    "lut={k: 3, lanes: 2}",
    "forward_engine={arrays: 2, rows: 2, accumulator_depth: 16}",
    "weight_update_engine={arrays: 3, rows: 2, accumulator_depth: 8}",
    "backward_engine={units: 3, lanes: 2, items_in_flight: 2, channel_tile: 2}",
    "neuron_unit={width: 4, latency_cycles: 3}",
    "gradient_unit={width: 4, latency_cycles: 5}",
    "optimiser_unit={width: 4, latency_cycles: 5}",
    "transposition_unit={width: 16, latency_cycles: 2}",
    "dma={chunk_bytes: 48, outstanding: 2, width_bytes: 8, part_bytes: 48}",
    "dram={model: flat, channels: 2, channel_bytes_per_us: 3000, latency_ps: 7001, interleave_bytes: 16}",
    "host.round_trip_ps=50000",
    "buffers={output_bytes: 1024, backward_sums_bytes: 1024}",
)
BUFFERS = ("spikes", "potentials", "gradients", "partial_sums", "weights")


def tiny_config(*overrides: str) -> Config:
    """The tiny accelerator, with overrides."""
    return load_config("h2learn", TINY + overrides)


def small_buffers(step: tuple[str, str, int], *names: str, overrides: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Overrides, after `overrides`, that leave some buffers room for staging and not for a byte of any tensor."""
    config = tiny_config(*overrides)
    placement = place(make_network(*step), BATCH, config)
    room = Counter({window.buffer: 0 for window in placement.windows.values()})
    for window in placement.windows.values():
        room[window.buffer] += window.total_bytes
    return (*overrides, *(f"buffers.{name}_bytes={room[name]}" for name in names))


def make_network(coding: str = "direct", layers: str = "conv", timesteps: int = 3) -> Network:
    """A network on a 4 x 3 x 2 input; those with shortcuts on 6 x 6 x 2."""
    shape = [6, 6, 2] if layers == "residual" else [4, 3, 2]
    raw = {"input": {"shape": shape} | SOURCES[coding], "timesteps": timesteps, "layers": LAYERS[layers]}
    return parse_network(raw, f"{coding}-{layers}")


@cache
def make_record(coding: str = "direct", layers: str = "conv", timesteps: int = 3, seed: int = 0) -> StepRecord:
    """One training step from random weights and inputs, bit for bit as the machine computes it."""
    network = make_network(coding, layers, timesteps)
    rng = np.random.default_rng(seed)
    shape = (network.input.height, network.input.width, network.input.channels)
    inputs: Any = rng.integers(0, 256, (BATCH, *shape)).astype(np.uint8)
    if coding == "spikes":
        inputs = (rng.random((timesteps, BATCH, *shape)) < 0.4).astype(np.uint8)
    if coding == "signed":
        inputs = inputs.view(np.int8)
    labels = rng.integers(0, network.classes, BATCH)
    state = initial_state(network, ARITHMETIC, seed)
    return training_step(network, ARITHMETIC, state, inputs, labels, RATES, 7, seed, "random")


@cache
def make_trace(coding: str = "direct", layers: str = "conv", timesteps: int = 3, seed: int = 0) -> Trace:
    """The step's trace, open; its file is gone from the folder already and vanishes with the process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "step.h5"
        write_trace(make_record(coding, layers, timesteps, seed), path)
        return open_trace(path)
