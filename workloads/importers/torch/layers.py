"""Weights, weight gradients and momentum of a model's layers, in the layout and the units of the machine's weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rtl_models.errors import InputError
from workloads.importers.chain import (
    Convolution,
    Dense,
    Flattening,
    Imported,
    Pooling,
    Scaling,
    Shortcut,
    Stage,
    build_chain,
    equal_sides,
)
from workloads.importers.joined import projection_of
from workloads.importers.torch.normalisation import scale_and_shift
from workloads.importers.torch.structure import Chain, Section, Way
from workloads.network import InputSpec, Layer
from workloads.record import Floats

Numbers = NDArray[np.float64]
Read = Callable[[Tensor], Numbers]  # of a parameter
Scale = Callable[[nn.Module], tuple[Numbers, Numbers]]  # of a normalisation: what it multiplies by, and adds


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
        return self._imported(_numbers, scale_and_shift)

    def gradients(self, gradients: dict[nn.Parameter, Tensor], network_layers: tuple[Layer, ...]) -> dict[int, Floats]:
        """Return gradients by layer of the network.

        Left out are layers whose weights are copies or constants, and those without a parameter or gradient of their
        own.
        """
        found, scales = self._of(gradients), self.scales()
        numbers: dict[int, Floats] = {}
        for layer, parameter in self._parameters(found).items():
            own = parameter in gradients and parameter.numel() == network_layers[layer].weights_count
            if own and scales[layer].all():
                numbers[layer] = found.weights[layer] / scales[layer] ** 2
        return numbers

    def velocities(self, velocities: dict[nn.Parameter, Tensor]) -> dict[int, Floats]:
        """Return velocities, which are sums of gradients, by layer; 0 for weights that are none of the model's.

        Left out are layers whose weights are copies. The first layer has its bias among its weights.
        """
        found, scales = self._of(velocities), self.scales()
        first = self._bias(self.chain.sections[0])
        numbers: dict[int, Floats] = {}
        for layer, parameter in self._parameters(found).items():
            scale = scales[layer]
            own = parameter.numel() + (first.numel() if layer == 0 and first is not None else 0)
            if parameter in velocities and np.count_nonzero(scale) <= own:
                moved = np.zeros_like(scale)
                numbers[layer] = np.divide(found.weights[layer], scale**2, out=moved, where=scale != 0)
        return numbers

    def scales(self) -> tuple[Floats, ...]:
        """Return the constant between every weight of the machine and the model's, by layer."""
        return self._linear(lambda tensor: np.ones(tensor.shape)).weights

    def _parameters(self, imported: Imported) -> dict[int, nn.Parameter]:
        """Return the parameter behind every layer of the network that has one."""
        parameters = {}
        modules = self.chain.observer.modules
        for section in self.chain.sections:
            for name in filter(self.chain.has_weights, section.modules):
                parameters[imported.layer_of[name]] = modules[name].weight
            bias, parameter = imported.network.bias(imported.layer_of[section.modules[0]]), self._bias(section)
            if bias is not None and parameter is not None:
                parameters[bias] = parameter
        return parameters

    def _bias(self, section: Section) -> nn.Parameter | None:
        """Return the parameter that the machine's bias of a layer is a multiple of, apart from constants.

        A normalisation's comes before that of the weights it follows, and a shortcut's is constant beside the layer's.
        """
        for way in (section.main, section.between):
            for name in reversed(way):
                module = None if isinstance(name, Pooling) else self.chain.observer.modules[name]
                if module is not None and module.bias is not None:
                    return cast(nn.Parameter, module.bias)
        return None

    def _of(self, tensors: dict[nn.Parameter, Tensor]) -> Imported:
        """Return the network with what its weights are of one tensor for each parameter, 0 where there is none."""
        return self._linear(lambda tensor: _numbers(tensors.get(cast(nn.Parameter, tensor), torch.zeros_like(tensor))))

    def _linear(self, numbers: Read) -> Imported:
        """Return the network with what its weights are of the numbers in place of the trained parameters."""
        trained = {self._bias(section) for section in self.chain.sections}

        def only(tensor: Tensor) -> Numbers:
            return numbers(tensor) if tensor.ndim > 1 or tensor in trained else np.zeros(tensor.shape)

        def scale(module: nn.Module) -> tuple[Numbers, Numbers]:
            factor, shift = scale_and_shift(module)
            return factor, np.zeros_like(shift) if module.bias is None else only(cast(Tensor, module.bias))

        return self._imported(only, scale)

    def _imported(self, numbers: Read, scale: Scale) -> Imported:
        stages = self._stages(numbers, scale)
        return build_chain(self.name, self.source, self.chain.timesteps, stages, *self.surrogate)

    def _stages(self, numbers: Read, scale: Scale) -> list[Stage]:
        stages: list[Stage] = []
        for number, section in enumerate(self.chain.sections):
            stages += self._way(section.main, numbers, scale, self.factor if number == 0 else 1.0)
            if section.neurons is None:
                continue
            if section.joins is not None:
                projection = projection_of(self._way(section.between, numbers, scale, 1.0))
                where = f"shortcut to {section.neurons}" if projection is None else projection.where
                stages.append(Shortcut(where, section.joins, projection))
            stages.append(self.chain.observer.rules[section.neurons].constants)
        return stages

    def _way(
        self,
        way: Way,
        numbers: Read,
        scale: Scale,
        factor: float,
    ) -> Iterator[Stage]:
        """Return the stages of one way; its first weights are times `factor`."""
        for part in way:
            if isinstance(part, Pooling):
                yield part
                continue
            module = self.chain.observer.modules[part]
            if not self.chain.has_weights(part):
                yield Scaling(part, *scale(module))
                continue
            weights, bias = numbers(module.weight) * factor, None if module.bias is None else numbers(module.bias)
            factor = 1.0
            if isinstance(module, nn.Conv2d):
                yield Convolution(part, weights, bias, *_geometry(part, module))
            else:
                yield Flattening(f"flattening before {part}")
                yield Dense(part, weights, bias)


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
