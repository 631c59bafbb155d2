"""Traces captured from a training step of PyTorch: models of snnTorch and SpikingJelly (docs/capture.md).

PyTorch, the extra ``torch``, is imported when `capture` is called, not before.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from workloads.extras import require
from workloads.importers.torch.captured import Capture, CapturedLayer
from workloads.importers.torch.rounded import Written

__all__ = ["Capture", "CapturedLayer", "Written", "capture"]

DEFAULT_MASK_THRESHOLD = 0.1  # drops derivatives that carry at most 1 % of the energy of the largest one's


def capture(
    model: Any,
    batch: Any,
    target: Any,
    loss: Callable[[Any, Any], Any],
    *,
    path: str | Path | None = None,
    forward: Callable[[Any, Any], Any] | None = None,
    timesteps: int | None = None,
    optimiser: Any = None,
    mask_threshold: float = DEFAULT_MASK_THRESHOLD,
    name: str = "",
    dataset: str = "captured batch",
) -> Capture:
    """Run one training step of `model` (forward, ``loss(output, target)``, backward) and capture it.

    The parameters' gradients are there afterwards, as without a capture, for the caller's optimiser to step by.

    Args:
        model: a ``torch.nn.Module`` in training mode, a chain of Conv2d, Linear, average pooling and neurons, with
            residual sums in front of neurons; BatchNorm modules in it are in evaluation mode.
        batch: what the model is called with.
        target: class numbers [B] or one-hot rows, handed to `loss` and kept as the trace's labels.
        loss: gives the scalar loss; it must see the mean or the sum of the outputs over time.
        path: where `Capture.write` writes the trace, with its defaults; without it nothing is written.
        forward: runs all timesteps, ``forward(model, batch)``; without it ``model(batch)`` does.
        timesteps: calls the model so many times with the same batch, and stacks the outputs (the first of a tuple).
        optimiser: a ``torch.optim.SGD``, whose rates and velocities the trace then holds; without it rates are 0.
        mask_threshold: where a surrogate's derivative is never cut off, the mask takes what is at least this share of
            its largest value.
        name: of the network; without it that of the model's class.
        dataset: what the batch is from.

    Raises InputError for whatever the machine or a trace cannot hold, naming the module.
    """
    require("torch", "torch")
    from workloads.importers.torch.assembled import assembled
    from workloads.importers.torch.observed import observed_step
    from workloads.importers.torch.optimisers import sgd_state

    if not 0.0 < mask_threshold < 1.0:
        raise InputError("wrong value", "mask_threshold", mask_threshold, "a number between 0 and 1")
    before = sgd_state(optimiser)
    step = observed_step(model, batch, target, loss, forward, timesteps)
    captured = assembled(step, target, before, mask_threshold, name, dataset)
    return captured if path is None else captured.written_to(path)
