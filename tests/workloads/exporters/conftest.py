"""A network with every kind of layer, and the trace of a real step of it."""

from __future__ import annotations

import pytest

from workloads.network import Network, parse_network
from workloads.trace_file import Trace, open_trace
from workloads.trainer import train
from workloads.training_settings import TrainingSettings


def network() -> Network:
    """Every kind of layer: strides, pooling, a bias, a projection, linear layers."""
    conv = {"channels": 5, "kernel": [3, 3], "padding": 1}
    return parse_network(
        {
            "input": {"shape": [8, 8, 1], "exponent": 4},
            "timesteps": 2,
            "layers": [
                {"conv": conv},
                {"conv": conv | {"channels": 6, "pool": 2, "bias": True, "shortcut": {"from": 1, "projection": True}}},
                {"linear": 7},
                {"linear": {"channels": 10, "bias": True}},
            ],
        },
        "every-layer",
    )


@pytest.fixture(scope="package")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """The trace of a real step."""
    out = tmp_path_factory.mktemp("trace") / "step.h5"
    train(TrainingSettings(network(), steps=2, capture=2, batch=3), out)
    return open_trace(out)
