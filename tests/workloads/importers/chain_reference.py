"""A chain run as the framework that it came from runs it: maps [B, C, H, W], one stage after the other, binary64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workloads.importers.chain import (
    AVERAGE,
    SUBTRACT,
    Convolution,
    Dense,
    Neurons,
    Pooling,
    Scaling,
    Shortcut,
    Stage,
)

Numbers = NDArray[Any]


def run_chain(stages: Sequence[Stage], inputs: Numbers) -> tuple[dict[str, Numbers], Numbers]:
    """Return spikes [T, B, ...] by neurons' `where`, and the output averaged over time [B, classes].

    `inputs` are numbers [T, B, C, H, W] or [T, B, N].
    """
    kept: dict[str, tuple[Numbers, Numbers]] = {}
    fired: dict[str, list[Numbers]] = {}
    total = 0.0
    for frame in inputs:
        maps = np.asarray(frame, np.float64)
        for stage in stages:
            match stage:
                case Convolution():
                    maps = _convolve(maps, stage)
                case Dense():
                    maps = maps @ stage.weights.T + (0.0 if stage.bias is None else stage.bias)
                case Pooling(size=p):
                    batch, channels, height, width = maps.shape
                    windows = maps.reshape(batch, channels, height // p, p, width // p, p)
                    maps = windows.mean((3, 5)) if stage.kind == AVERAGE else windows.sum((3, 5))
                case Scaling():
                    shape = (1, -1, *(1,) * (maps.ndim - 2))
                    maps = maps * stage.factor.reshape(shape) + (
                        0.0 if stage.shift is None else stage.shift.reshape(shape)
                    )
                case Shortcut():
                    spikes = fired[stage.source][-1]
                    maps = maps + (spikes if stage.projection is None else _project(spikes, stage.projection))
                case Neurons():
                    maps = _neurons(maps, stage, kept)
                    fired.setdefault(stage.where, []).append(maps)
                case _:
                    maps = maps.reshape(len(maps), -1)
        total = total + maps.reshape(len(maps), -1)
    return {where: np.array(spikes) for where, spikes in fired.items()}, np.asarray(total / len(inputs))


def _convolve(maps: Numbers, stage: Convolution) -> Numbers:
    p, (rows, columns) = stage.padding, stage.weights.shape[2:]
    padded = np.pad(maps, ((0, 0), (0, 0), (p, p), (p, p)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (rows, columns), axis=(2, 3))
    sums = np.einsum("bcyxrs,mcrs->bmyx", windows[:, :, :: stage.stride, :: stage.stride], stage.weights)
    return np.asarray(sums if stage.bias is None else sums + stage.bias[:, np.newaxis, np.newaxis])


def _project(spikes: Numbers, stage: Convolution) -> Numbers:
    if spikes.ndim == 4:
        return _convolve(spikes, stage)
    return _convolve(spikes[:, :, np.newaxis, np.newaxis], stage)[:, :, 0, 0]


def _neurons(currents: Numbers, stage: Neurons, kept: dict[str, tuple[Numbers, Numbers]]) -> Numbers:
    u, s = kept.get(stage.where, (np.zeros_like(currents), np.zeros_like(currents)))
    if stage.reset == SUBTRACT:
        by = stage.threshold if stage.reset_by is None else stage.reset_by
        remains = stage.alpha * (u - by * s)
    else:
        remains = stage.alpha * u * (1 - s)
    u = stage.gain * currents + remains
    s = (u >= stage.threshold if stage.fires_at_threshold else u > stage.threshold).astype(np.float64)
    kept[stage.where] = u, s
    return s
