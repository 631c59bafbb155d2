"""Sparsity counted by the trace equals a plain count, element by element."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workloads.trace_statistics
from tests.workloads.synthetic import random_record, small_network
from workloads.record import Arithmetic, Flags
from workloads.trace_file import open_trace, write_trace
from workloads.trace_statistics import count_zero_groups


def slow_zero_groups(bits: Flags, layer: Any, k: int) -> tuple[int, int]:
    zeros = total = 0
    planes = bits.shape[0]
    outputs = itertools.product(range(planes), range(layer.conv_height), range(layer.conv_width))
    for plane, y, x in outputs:
        for r, s in itertools.product(range(layer.kernel_height), range(layer.kernel_width)):
            row, column = y * layer.stride + r - layer.padding, x * layer.stride + s - layer.padding
            inside = 0 <= row < layer.in_height and 0 <= column < layer.in_width
            for c in range(0, layer.in_channels, k):
                total += 1
                zeros += not (inside and bits[plane, row, column, c : c + k].any())
    return zeros, total


@pytest.mark.parametrize("k", range(1, 9))
@pytest.mark.parametrize(("stride", "padding", "pool"), [(1, 0, 2), (1, 1, 2), (2, 1, 1), (3, 2, 1)])
def test_zero_groups(k: int, stride: int, padding: int, pool: int) -> None:
    conv = {"channels": 2, "kernel": [3, 2], "stride": stride, "padding": padding, "pool": pool}
    layer = small_network(layers=[{"conv": conv}, {"linear": 2}]).layers[0]
    bits = (np.random.default_rng(k).random((3, 4, 5, 3)) < 0.3).astype(np.uint8)
    assert count_zero_groups(bits, layer, k) == slow_zero_groups(bits, layer, k)


@pytest.mark.parametrize(
    "source",
    [
        {"shape": [4, 5, 3], "coding": "spikes"},
        {"shape": [4, 5, 3], "exponent": 4},
        {"shape": [4, 5, 3], "exponent": 4, "signed": True},
    ],
)
def test_sparsity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: dict[str, Any]) -> None:
    monkeypatch.setattr(workloads.trace_statistics, "_SLICE_BYTES", 2000)  # several slices
    record = random_record(small_network(input=source), 5, arithmetic=Arithmetic(k=2))
    write_trace(record, tmp_path / "step.h5")
    hidden, last = record.layers
    assert hidden.spikes is not None
    assert hidden.masks is not None
    if source.get("coding") == "spikes":
        bits = record.inputs.astype(np.uint8).reshape(-1, 4, 5, 3)
    else:
        bits = np.stack([record.inputs.view(np.uint8) >> p & 1 for p in range(8)]).reshape(-1, 4, 5, 3)
    with open_trace(tmp_path / "step.h5") as trace:
        first, second = trace.sparsity(0), trace.sparsity(1)
    assert first.firing_rate == hidden.spikes.mean()
    assert first.active_masks == hidden.masks.mean()
    assert first.nonzero_gradients == (hidden.gradients != 0).mean()
    zeros, total = slow_zero_groups(bits, record.network.layers[0], 2)
    assert first.zero_index_groups == zeros / total
    assert second.firing_rate is None
    assert second.active_masks is None
    assert second.nonzero_gradients == (last.gradients != 0).mean()
    zeros, total = slow_zero_groups(hidden.spikes.reshape(-1, 4, 5, 9), record.network.layers[1], 2)
    assert second.zero_index_groups == zeros / total
