"""Hooks that write down the calls of a model's layers and neurons during one forward pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from rtl_models.errors import InputError
from workloads.importers.torch.graph import Graph
from workloads.importers.torch.neurons import NeuronRule, is_neuron, neuron_rule, state_before
from workloads.importers.torch.normalisation import check_normalisation, is_normalisation

_WITHOUT_EFFECT = (nn.Flatten, nn.Unflatten, nn.Identity, nn.AvgPool2d, nn.AdaptiveAvgPool2d)  # graph.py follows them
_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_SUPPORTED = (
    "Conv2d, Linear, BatchNorm2d by running statistics, average pooling, Flatten, idle Dropout, snnTorch's and "
    "SpikingJelly's neurons"
)


@dataclass
class Call:
    """What one call of a module took and gave, and what the backward pass left there."""

    input: Tensor
    output: Tensor
    input_gradient: Tensor | None = None
    output_gradient: Tensor | None = None

    def watch(self, name: str) -> None:
        """Keep the gradient of `name`, input or output, when the backward pass comes by."""
        getattr(self, name).register_hook(lambda gradient: setattr(self, f"{name}_gradient", gradient))


@dataclass
class Observer:
    """Observes a model while it is entered as a context; raises InputError from inside the model's forward pass.

    Neurons are handed another view of their input, and hand on another view of their spikes, so that the gradients
    there are those of one call alone, without what flows through the reset.
    """

    model: nn.Module
    calls: dict[str, list[Call]] = field(default_factory=dict)  # by name of the module, in the order of first calls
    modules: dict[str, nn.Module] = field(default_factory=dict)
    rules: dict[str, NeuronRule] = field(default_factory=dict)
    graph: Graph = field(default_factory=Graph)
    _handles: list[Any] = field(default_factory=list)

    def __enter__(self) -> Observer:
        inside: set[nn.Module] = set()  # neurons' own parts
        for path, module in self.model.named_modules():
            name = path or type(module).__name__
            if module in inside:
                continue
            if is_neuron(module):
                inside.update(module.modules())
                self._observe_neuron(name, module)
            elif not any(module.children()):
                self._observe_leaf(name, module)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def _observe_leaf(self, name: str, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d | nn.Linear) or is_normalisation(module):
            self._handles.append(module.register_forward_hook(lambda m, a, out: self._weights(name, m, a, out)))
        elif not isinstance(module, _WITHOUT_EFFECT) and not _idle_dropout(module):
            self._handles.append(module.register_forward_pre_hook(lambda m, a: _refuse(name, m)))

    def _observe_neuron(self, name: str, module: nn.Module) -> None:
        before = module.register_forward_pre_hook(lambda m, a, k: self._before_neuron(name, m, a, k), with_kwargs=True)
        self._handles += [before, module.register_forward_hook(lambda m, a, out: self._neuron(name, m, a, out))]

    def _weights(self, name: str, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if is_normalisation(module):
            check_normalisation(name, module)
        if output.dtype != torch.float32:
            raise InputError("another number format than the trace is made from", name, str(output.dtype), "float32")
        if not output.requires_grad:
            what = "no gradient reaches it; a step without no_grad, of a model whose first weights are trained"
            raise InputError(what, name, "requires_grad False", "True")
        if output._is_view():  # of a multi-step layer; autograd does not tell what `out += shortcut` does to a view
            output = output.clone()
        self._add(name, module, Call(args[0], output))
        return output

    def _before_neuron(
        self, name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if name not in self.rules:
            self.rules[name] = neuron_rule(name, module)
            state = state_before(module, args, kwargs)
            if state is not None and bool(state.detach().any()):
                what = "the potentials of an earlier batch still stand; reset the model's state before the step"
                raise InputError(what, name, allowed="potentials 0")
        earlier = self.calls.get(name)
        if earlier and earlier[0].input.shape != args[0].shape:
            what = "dynamic shapes: its input has another shape than at the first timestep"
            raise InputError(what, name, list(args[0].shape), str(list(earlier[0].input.shape)))
        return (args[0].view_as(args[0]), *args[1:]), kwargs

    def _neuron(self, name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        spikes = output[0] if isinstance(output, tuple) else output
        if not spikes.requires_grad:
            raise InputError("the neurons have no surrogate gradient, or no weights in front of them", name)
        spikes = spikes.view_as(spikes)
        self._add(name, module, Call(args[0], spikes))
        return (spikes, *output[1:]) if isinstance(output, tuple) else spikes

    def _add(self, name: str, module: nn.Module, call: Call) -> None:
        calls = self.calls.setdefault(name, [])
        self.graph.add(call.output, name, len(calls))
        calls.append(call)
        self.modules[name] = module


def _idle_dropout(module: nn.Module) -> bool:
    return _is_dropout(module) and (getattr(module, "p", None) == 0 or not module.training)


def _is_dropout(module: nn.Module) -> bool:
    return isinstance(module, _DROPOUT) or type(module).__name__.startswith("Dropout")


def _refuse(name: str, module: nn.Module) -> None:
    kind = type(module).__name__
    if "MaxPool" in kind:
        what = "maximum pooling; the machine adds up, before neurons sums and behind them spikes"
        raise InputError(what, name, kind, "nn.AvgPool2d in its place, or a stride of the convolution")
    if _is_dropout(module):
        raise InputError(
            "dropout", name, f"p = {module.p}", "p = 0, or eval() of this module, while a step is captured"
        )
    raise InputError("a module that the machine cannot do", name, kind, _SUPPORTED)
