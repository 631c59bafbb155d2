"""Models of snnTorch and SpikingJelly on the digits, trained for some steps, for the tests of captures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import snntorch
import torch
from sklearn.datasets import load_digits
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

torch.set_num_threads(1)  # models this small only wait for other threads

T, BATCH, CLASSES = 4, 8, 10


class Rectangle(torch.autograd.Function):
    """A step whose derivative is 1 where the potential is nearer to the threshold than 0.45."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).float()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() < 0.45).to(gradient.dtype)


def rectangle(x: Tensor) -> Tensor:
    return Rectangle.apply(x)


def digits(count: int = BATCH) -> tuple[Tensor, Tensor]:
    """Return pictures [count, 1, 8, 8] of sixteenths, and their classes."""
    data = load_digits()
    return torch.as_tensor(data.images[:count] / 16).float().unsqueeze(1), torch.as_tensor(data.target[:count])


def loss(output: Tensor, target: Tensor) -> Tensor:
    """Cross entropy of the output averaged over time."""
    return nn.functional.cross_entropy(output.mean(0), target)


class Looped(nn.Module):
    """snnTorch, the loop over time inside: three layers of Leaky, two of them convolutions, pooling behind one."""

    def __init__(self, neurons: Callable[[], nn.Module] | None = None, **leaky: Any) -> None:
        super().__init__()
        settings: dict[str, Any] = {"beta": 0.6, "threshold": 0.5, "spike_grad": rectangle, **leaky}
        make = neurons or (lambda: snntorch.Leaky(**settings))
        self.conv1, self.lif1 = nn.Conv2d(1, 6, 3, padding=1), make()
        self.conv2, self.lif2 = nn.Conv2d(6, 8, 3, stride=2, padding="valid", bias=False), make()
        self.pool = nn.AvgPool2d(3)
        self.fc1, self.lif3 = nn.Linear(8, 12), make()
        self.fc2 = nn.Linear(12, CLASSES)
        enlarge(self)

    def forward(self, pictures: Tensor) -> Tensor:
        states = [lif.init_leaky() for lif in (self.lif1, self.lif2, self.lif3)]
        outputs = []
        for _ in range(T):
            spikes, states[0] = self.lif1(self.conv1(pictures), states[0])
            spikes, states[1] = self.lif2(self.conv2(spikes), states[1])
            spikes, states[2] = self.lif3(self.fc1(self.pool(spikes).flatten(1)), states[2])
            outputs.append(self.fc2(spikes))
        return torch.stack(outputs)


def jelly(mode: str = "m", inner: nn.Module | None = None, **node: Any) -> nn.Sequential:
    """SpikingJelly: three layers of LIF neurons, two of them convolutions, pooling in front of one."""
    settings: dict[str, Any] = {"v_threshold": 0.5, "surrogate_function": surrogate.Rect(1.1), "step_mode": mode}
    settings |= node
    model = nn.Sequential(
        layer.Conv2d(1, 6, 3, padding=1, step_mode=mode),
        layer.AvgPool2d(2, step_mode=mode),
        neuron.LIFNode(**settings),
        inner or nn.Identity(),
        layer.Conv2d(6, 8, 3, padding=1, bias=False, step_mode=mode),
        neuron.LIFNode(**settings),
        layer.Flatten(step_mode=mode),
        layer.Linear(8 * 16, 12, step_mode=mode),
        neuron.LIFNode(**settings),
        layer.Linear(12, CLASSES, bias=False, step_mode=mode),
    )
    enlarge(model)
    return model


class Block(nn.Module):
    """Two convolutions with normalisation, and what comes in added in front of the second neurons."""

    def __init__(self, inputs: int, outputs: int, stride: int, neurons: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.conv1, self.conv2 = _conv(inputs, outputs, 3, stride), _conv(outputs, outputs, 3)
        self.norm1, self.norm2 = layer.BatchNorm2d(outputs), layer.BatchNorm2d(outputs)
        self.lif1, self.lif2 = neurons(), neurons()
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            self.shortcut = nn.Sequential(_conv(inputs, outputs, 1, stride), layer.BatchNorm2d(outputs, affine=False))

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm2(self.conv2(self.lif1(self.norm1(self.conv1(x)))))
        out += self.shortcut(x)
        return self.lif2(out)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module:
    return layer.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


def residual(
    neurons: Callable[[], nn.Module], mode: str = "s", blocks: Sequence[tuple[int, int]] = ((6, 1), (8, 2))
) -> nn.Sequential:
    """A ResNet of blocks of (channels, stride), normalised behind every convolution."""
    channels = blocks[0][0]
    model = nn.Sequential(_conv(1, channels, 3), layer.BatchNorm2d(channels), neurons())
    for outputs, stride in blocks:
        model.append(Block(channels, outputs, stride, neurons))
        channels = outputs
    model.extend([layer.AdaptiveAvgPool2d(1), layer.Flatten(), layer.Linear(channels, CLASSES)])
    functional.set_step_mode(model, mode)
    return model


def freeze_statistics(model: nn.Module) -> None:
    """Have normalisation use its running statistics from now on, as captures want it."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.eval()


def looped(model: nn.Module, pictures: Tensor) -> Tensor:
    """Call a model of single timesteps T times."""
    return torch.stack([model(pictures) for _ in range(T)])


def at_once(model: nn.Module, pictures: Tensor) -> Tensor:
    """Call a model of all timesteps once."""
    return model(pictures.unsqueeze(0).repeat(T, 1, 1, 1, 1))


def enlarge(model: nn.Module) -> None:
    """Make weights large enough for every layer to fire."""
    for name, parameter in model.named_parameters():
        if name.endswith("weight"):
            parameter.data.mul_(3)


def train(
    model: nn.Module, forward: Callable[[nn.Module, Tensor], Tensor] | None = None, steps: int = 2
) -> torch.optim.SGD:
    """Train for some steps on the digits; returns the optimiser, with its momentum."""
    optimiser = torch.optim.SGD(model.parameters(), 0.1, 0.9)
    pictures, classes = digits(16 * steps)
    for number in range(steps):
        part = slice(16 * number, 16 * number + 16)
        optimiser.zero_grad()
        output = model(pictures[part]) if forward is None else forward(model, pictures[part])
        loss(output, classes[part]).backward()
        optimiser.step()
        _reset(model)
    optimiser.zero_grad()
    return optimiser


def _reset(model: nn.Module) -> None:
    functional.reset_net(model)
    for module in model.modules():
        if isinstance(module, snntorch.Leaky) and module.init_hidden:
            module.reset_mem()
