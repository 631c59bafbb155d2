"""What a capture costs beside the training step that it observes: pairs of both, one after the other, medians.

    python scripts/bench_capture.py [--pairs N] [--json FILE]

Two networks of three spiking convolutions (32-64-64 channels, 32 x 32 images, T = 6, batch 16): snnTorch with a loop in
the model, SpikingJelly in multi-step mode; and the latter with two residual blocks behind the first convolution,
normalised by running statistics. The step is forward pass, loss and backward pass. Needs torch, snntorch and
spikingjelly (requirements-frameworks.txt).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import snntorch
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn

from workloads.importers.torch import capture

CHANNELS, SIDE, TIMESTEPS, BATCH, CLASSES = (3, 32, 64, 64), 32, 6, 16, 10


class SnnTorchNetwork(nn.Module):
    """Convolutions with Leaky neurons, the second and third with stride 2, and a linear read-out."""

    def __init__(self) -> None:
        super().__init__()
        sizes = zip(CHANNELS, CHANNELS[1:], (1, 2, 2), strict=False)
        self.convolutions = nn.ModuleList(nn.Conv2d(c, m, 3, stride, 1, bias=False) for c, m, stride in sizes)
        self.neurons = nn.ModuleList(snntorch.Leaky(0.5, threshold=0.5) for _ in CHANNELS[1:])
        self.read_out = nn.Linear(CHANNELS[-1] * (SIDE // 4) ** 2, CLASSES)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        states = [leaky.init_leaky() for leaky in self.neurons]
        outputs = []
        for _ in range(TIMESTEPS):
            spikes = pictures
            for number, convolution in enumerate(self.convolutions):
                spikes, states[number] = self.neurons[number](convolution(spikes), states[number])
            outputs.append(self.read_out(spikes.flatten(1)))
        return torch.stack(outputs)


class Block(nn.Module):
    """Two normalised convolutions, and what came in added in front of the second neurons; all timesteps at once."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Sequential(
                layer.Conv2d(channels, channels, 3, padding=1, bias=False, step_mode="m"),
                layer.BatchNorm2d(channels, step_mode="m").eval(),
            )
            for _ in range(2)
        )
        self.neurons = nn.ModuleList(_lif() for _ in range(2))

    def forward(self, spikes: torch.Tensor) -> torch.Tensor:
        sums = self.convolutions[1](self.neurons[0](self.convolutions[0](spikes)))
        sums += spikes
        return self.neurons[1](sums)


def _lif() -> nn.Module:
    return neuron.LIFNode(v_threshold=0.5, surrogate_function=surrogate.Rect(), step_mode="m")


def spikingjelly_network(blocks: int = 0) -> nn.Module:
    """The same layers with LIF neurons, all timesteps at once, and residual blocks behind the first."""
    modules: list[nn.Module] = []
    for c, m, stride in zip(CHANNELS, CHANNELS[1:], (1, 2, 2), strict=False):
        modules.append(layer.Conv2d(c, m, 3, stride, 1, bias=False, step_mode="m"))
        modules.append(_lif())
    modules[2:2] = [Block(CHANNELS[1]) for _ in range(blocks)]
    modules += [layer.Flatten(step_mode="m"), layer.Linear(CHANNELS[-1] * (SIDE // 4) ** 2, CLASSES, step_mode="m")]
    return nn.Sequential(*modules)


def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross entropy of the mean output."""
    return nn.functional.cross_entropy(output.mean(0), target)


def measure(step: Callable[[], object], captured: Callable[[], object], pairs: int) -> dict[str, float]:
    """Return medians of the seconds of both and of their ratio, after one pair that is not counted."""
    step(), captured()
    seconds = [(_timed(step), _timed(captured)) for _ in range(pairs)]
    processor = [(one[1], two[1]) for one, two in seconds]
    return {
        "step_s": statistics.median(one[0] for one, _ in seconds),
        "captured_step_s": statistics.median(two[0] for _, two in seconds),
        "ratio": statistics.median(two[0] / one[0] for one, two in seconds),
        "cpu_ratio": statistics.median(two / one for one, two in processor),
    }


def _timed(action: Callable[[], object]) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - processor


def _writing(made: Any) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return _timed(lambda: made.write(Path(folder) / "trace.h5"))[0]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    pictures = torch.randint(0, 256, (BATCH, CHANNELS[0], SIDE, SIDE)).float() / 256
    target = torch.arange(BATCH) % CLASSES
    repeated = pictures.unsqueeze(0).repeat(TIMESTEPS, 1, 1, 1, 1)
    results: dict[str, Any] = {"processors": os.cpu_count(), "threads": torch.get_num_threads()}
    networks = {"snnTorch": (SnnTorchNetwork(), pictures), "SpikingJelly": (spikingjelly_network(), repeated)}
    networks["residual"] = (spikingjelly_network(blocks=2), repeated)
    for name, (model, batch) in networks.items():

        def start(model: nn.Module = model) -> None:
            model.zero_grad()
            functional.reset_net(model)

        def step(model: nn.Module = model, batch: torch.Tensor = batch) -> None:
            start(model)
            loss(model(batch), target).backward()

        def captured(model: nn.Module = model, batch: torch.Tensor = batch) -> Any:
            start(model)
            return capture(model, batch, target, loss)

        results[name] = measure(step, captured, options.pairs)
        results[name]["write_s"] = _writing(captured())
        figures = ", ".join(f"{key} {value:.3f}" for key, value in results[name].items())
        print(f"{name}: {figures}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
