"""Makes the references beside this file: a training step of a small network for each reset, by PyTorch's autograd.

    python tests/workloads/data/bptt_resets/make.py

Nothing here is shared with the project: the neuron is written as its equations say and differentiated by PyTorch, in
float64. The layout is that of the references in `data/bptt`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import conv2d, cross_entropy, linear

LAYERS: list[dict[str, Any]] = [
    {"kind": "conv", "out": 4, "k": 3, "s": 1, "p": 1},
    {"kind": "conv", "out": 3, "k": 3, "s": 2, "p": 1},
    {"kind": "fc", "out": 7},
    {"kind": "fc", "out": 4},
]
INPUT, TIMESTEPS, BATCH = (2, 5, 5), 5, 3
NEURON = {"alpha": 0.6, "threshold": 0.3, "interval": 0.45, "beta": 1.25}
RESETS: dict[str, dict[str, Any]] = {
    "subtract": {"reset": "subtract"},
    "subtract_by": {"reset": "subtract", "reset_by": 0.5},
    "subtract_detached": {"reset": "subtract", "reset_gradient": False},
    "zero_detached": {"reset": "zero", "reset_gradient": False},
}


class Spike(torch.autograd.Function):
    """1 where u > threshold; the derivative is beta where |u - threshold| < interval, else 0."""

    @staticmethod
    def forward(ctx: Any, u: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(u)
        return (u > NEURON["threshold"]).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (u,) = ctx.saved_tensors
        inside = (u - NEURON["threshold"]).abs() < NEURON["interval"]
        return gradient * NEURON["beta"] * inside.to(u.dtype)


def reset(u: torch.Tensor, s: torch.Tensor, kind: dict[str, Any]) -> torch.Tensor:
    """What is left of a potential after its spike."""
    gate = s if kind.get("reset_gradient", True) else s.detach()
    if kind["reset"] == "subtract":
        return u - kind.get("reset_by", NEURON["threshold"]) * gate
    return u * (1 - gate)


def step(kind: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return the arrays of one reference."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand((TIMESTEPS, BATCH, *INPUT), generator=generator, dtype=torch.float64) < 0.4).double()
    labels = torch.randint(0, LAYERS[-1]["out"], (BATCH,), generator=generator)
    arrays: dict[str, Any] = {"x": x, "y": labels}
    maps, shape = x, INPUT
    for number, layer in enumerate(LAYERS):
        fully = layer["kind"] == "fc"
        fan = (int(np.prod(shape)),) if fully else (shape[0], layer["k"], layer["k"])
        weights = torch.randn((layer["out"], *fan), generator=generator, dtype=torch.float64) / np.sqrt(np.prod(fan))
        weights = weights.half().double().requires_grad_()
        sums = [weighted(layer, maps[t], weights) for t in range(TIMESTEPS)]
        arrays[f"W{number}"] = weights
        if number < len(LAYERS) - 1:
            potentials, spikes = fire(sums, kind)
            arrays |= {f"u{number}": potentials, f"s{number}": spikes}
            maps, shape = torch.stack(spikes), tuple(spikes[0].shape[1:])
    arrays["logits"] = torch.stack(sums).mean(dim=0)
    arrays["loss"] = cross_entropy(arrays["logits"], labels)
    arrays["loss"].backward()
    return {"meta": np.array(json.dumps(meta(kind)))} | described(arrays)


def weighted(layer: dict[str, Any], maps: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the sums of one timestep."""
    if layer["kind"] == "fc":
        return linear(maps.reshape(BATCH, -1), weights)
    return conv2d(maps, weights, stride=layer["s"], padding=layer["p"])


def fire(sums: list[torch.Tensor], kind: dict[str, Any]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return potentials before the reset and spikes, by timestep."""
    potentials: list[torch.Tensor] = []
    spikes: list[torch.Tensor] = []
    for x in sums:
        u = x if not potentials else x + NEURON["alpha"] * reset(potentials[-1], spikes[-1], kind)
        u.retain_grad()
        potentials.append(u)
        spikes.append(Spike.apply(u))
    return potentials, spikes


def described(arrays: dict[str, Any]) -> dict[str, Any]:
    """Return tensors as arrays, with the gradients of weights and potentials under names of their own."""
    found: dict[str, Any] = {}
    for name, value in arrays.items():
        if name[0] == "u":
            found[f"d{name}"] = torch.stack([u.grad for u in value]).numpy()
        if name[0] == "W":
            found[f"d{name}"] = value.grad.numpy()
        tensor = torch.stack(value) if isinstance(value, list) else value
        array = tensor.detach().numpy()
        found[name] = array.astype(np.uint8) if name[0] == "s" else array
    return found


def meta(kind: dict[str, Any]) -> dict[str, Any]:
    """What the file says of the network."""
    return {
        "name": "resets",
        "layers": LAYERS,
        "neuron": NEURON | kind,
        "encoding": "spikes",
        "timesteps": TIMESTEPS,
        "batch": BATCH,
        "input_shape": list(INPUT),
        "source": "PyTorch float64 autograd",
    }


if __name__ == "__main__":
    for number, (name, kind) in enumerate(RESETS.items()):
        np.savez_compressed(Path(__file__).with_name(f"{name}.npz"), **step(kind, number))
