"""Small networks with shortcuts: identities, projections with and without a stride, a layer that feeds three others."""

from __future__ import annotations

from typing import Any

from workloads.network import Network, parse_network

NEURON = {"alpha": 0.3, "threshold": 0.25, "interval": 0.4, "beta": 1.5}


def conv(channels: int, shortcut: int = 0, projection: bool = False, **keys: Any) -> dict[str, Any]:
    """A 3x3 convolution that keeps its plane, and adds what the layer `shortcut` of the file fired."""
    content: dict[str, Any] = {"channels": channels, "kernel": [3, 3], "padding": 1} | keys
    if shortcut:
        content["shortcut"] = {"from": shortcut} | ({"projection": True} if projection else {})
    return {"conv": content}


def residual_network(coding: str = "direct", timesteps: int = 3, **source: Any) -> Network:
    """An identity; a projection with a stride beside a convolution that takes the same spikes; one identity more."""
    raw = {
        "input": {"shape": [4, 4, 2], "coding": coding} | source,
        "timesteps": timesteps,
        "neuron": NEURON,
        "initial_gain": 1.0,
        "layers": [
            conv(3),
            conv(3),
            conv(3, shortcut=1),
            conv(5, stride=2),
            conv(5, shortcut=3, projection=True),
            conv(5, shortcut=4),
            {"linear": 4},
        ],
    }
    return parse_network(raw, "residual")


def pooled_network(coding: str = "spikes", timesteps: int = 2, **source: Any) -> Network:
    """Shortcuts onto pooled planes, from pooled layers, and past one."""
    raw = {
        "input": {"shape": [4, 4, 2], "coding": coding} | source,
        "timesteps": timesteps,
        "neuron": NEURON,
        "initial_gain": 1.0,
        "layers": [
            conv(2),
            conv(3, shortcut=1, projection=True, pool=2),
            conv(3, shortcut=2),
            {"conv": {"channels": 3, "kernel": [1, 1], "pool": 2}},
        ],
    }
    return parse_network(raw, "pooled")


def biased_network(coding: str = "spikes", timesteps: int = 2, **source: Any) -> Network:
    """Biases beside a projection, on a pooled plane, before neurons of a linear layer and in the last layer."""
    raw = {
        "input": {"shape": [4, 4, 2], "coding": coding} | source,
        "timesteps": timesteps,
        "neuron": NEURON,
        "initial_gain": 1.0,
        "layers": [
            conv(2),
            conv(3, shortcut=1, projection=True, pool=2, bias=True),
            conv(3, bias=True),
            {"linear": {"channels": 4, "bias": True}},
            {"linear": {"channels": 3, "bias": True}},
        ],
    }
    return parse_network(raw, "biased")


def wide_network(timesteps: int = 2) -> Network:
    """One layer whose spikes meet a convolution and a projection, and are added to two layers."""
    raw = {
        "input": {"shape": [3, 2, 2], "coding": "spikes"},
        "timesteps": timesteps,
        "neuron": NEURON,
        "initial_gain": 1.0,
        "layers": [
            conv(3),
            conv(3, shortcut=1),
            conv(3, shortcut=1),
            conv(4, shortcut=1, projection=True),
            {"linear": 3},
        ],
    }
    return parse_network(raw, "wide")
