"""Weights, weight gradients and momentum of a model's layers, in the layout and the units of the machine's weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rtl_models.errors import InputError
from workloads.importers.chain import Convolution, Dense, Flattening, Imported, Stage, build_chain, equal_sides
from workloads.importers.torch.structure import Chain
from workloads.network import InputSpec, Layer
from workloads.record import Floats

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Mapping:
    """The way from a model's parameters to the network's weights.

    A weight of the machine is a model's weight x a constant, or several are copies of one, where pooled spikes became
    a larger kernel. `factor` is that of the input's encoding.
    """

    chain: Chain
    name: str
    source: InputSpec
    factor: float
    surrogate: tuple[float, float]  # interval and beta, in units of the first neurons' potential

    def weights(self) -> Imported:
        """Return the network and its weights."""
        return self._imported(_numbers)

    def gradients(self, gradients: dict[nn.Parameter, Tensor], network_layers: tuple[Layer, ...]) -> dict[int, Floats]:
        """Return gradients (or velocities, which are sums of them) by layer of the network.

        Left out are layers whose weights are copies, and those without a parameter or gradient of their own.
        """
        found = self._imported(lambda tensor: _numbers(gradients.get(tensor, torch.zeros_like(tensor))))
        scales = self.scales()
        numbers: dict[int, Floats] = {}
        for layer, parameter in self._parameters(found).items():
            if parameter in gradients and parameter.numel() == network_layers[layer].weights_count:
                numbers[layer] = found.weights[layer] / scales[layer] ** 2
        return numbers

    def scales(self) -> tuple[Floats, ...]:
        """Return the constant between every weight of the machine and the model's, by layer."""
        return self._imported(lambda tensor: np.ones(tensor.shape)).weights

    def _parameters(self, imported: Imported) -> dict[int, nn.Parameter]:
        """Return the parameter behind every layer of the network that has one."""
        parameters = {}
        for name in self.chain.weights:
            layer, module = imported.layer_of[name], self.chain.observer.modules[name]
            parameters[layer] = module.weight
            bias = imported.network.bias(layer)
            if bias is not None:
                parameters[bias] = module.bias
        return parameters

    def _imported(self, numbers: Callable[[Tensor], Numbers]) -> Imported:
        stages = self._stages(numbers)
        return build_chain(self.name, self.source, self.chain.timesteps, stages, *self.surrogate)

    def _stages(self, numbers: Callable[[Tensor], Numbers]) -> list[Stage]:
        stages: list[Stage] = []
        maps, factor = False, self.factor
        for link in self.chain.links:
            stages += link.pooling
            rule, module = self.chain.observer.rules.get(link.name), self.chain.observer.modules[link.name]
            if rule is not None:
                stages.append(rule.constants)
                continue
            weights, bias = numbers(module.weight) * factor, None if module.bias is None else numbers(module.bias)
            factor = 1.0
            if isinstance(module, nn.Conv2d):
                stages.append(Convolution(link.name, weights, bias, *_geometry(link.name, module)))
                maps = True
                continue
            if maps:
                stages.append(Flattening(f"flattening before {link.name}"))
                maps = False
            stages.append(Dense(link.name, weights, bias))
        return stages


def correlated(layer: Layer, maps: Floats, gradients: Floats, timesteps: int) -> Floats:
    """Return dW [M, R, S, C] of maps [T, B, H, W, C] and gradients [T, B, OH, OW, M]; [1, ...]: the same for all t."""
    x, du = torch.as_tensor(maps).double(), torch.as_tensor(gradients).double()
    if len(x) != len(du):
        x, du = x.sum(0, keepdim=True), du.sum(0, keepdim=True)
    elif len(x) == 1:
        du = du * timesteps
    x, du = (tensor.flatten(0, 1).permute(0, 3, 1, 2) for tensor in (x, du))
    if layer.fully_connected:
        product = du.flatten(1).T @ x.permute(0, 2, 3, 1).flatten(1)
        return np.asarray(product.reshape(layer.weights_shape).numpy(), np.float32)
    if layer.pool > 1:
        du = du.repeat_interleave(layer.pool, 2).repeat_interleave(layer.pool, 3)
    m, r, s, c = layer.weights_shape
    update = torch.nn.grad.conv2d_weight(x.contiguous(), (m, c, r, s), du.contiguous(), layer.stride, layer.padding)
    return np.asarray(update.permute(0, 2, 3, 1).numpy(), np.float32)


def _numbers(tensor: Tensor) -> Numbers:
    return np.asarray(tensor.detach().cpu().numpy(), np.float64)


def _geometry(where: str, module: nn.Conv2d) -> tuple[int, int]:
    """Return stride and padding of a convolution; raises InputError for what the machine's has not."""
    for what, got, allowed in (
        ("dilation", equal_sides(module.dilation, where, "dilation"), 1),
        ("groups", module.groups, 1),
        ("padding_mode", module.padding_mode, "zeros"),
    ):
        if got != allowed:
            raise InputError(f"the machine's convolutions have no such setting: {what}", where, got, str(allowed))
    padding = module.padding
    if padding == "valid":
        padding = 0
    elif padding == "same":
        if any(side % 2 == 0 for side in module.kernel_size):
            raise InputError("padding 'same' of an even kernel differs by side", where, module.kernel_size, "odd sides")
        padding = tuple(side // 2 for side in module.kernel_size)
    return equal_sides(module.stride, where, "stride"), equal_sides(padding, where, "padding")
