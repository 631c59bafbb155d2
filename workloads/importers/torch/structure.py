"""The chain of layers that the calls of a step amount to: order, timesteps and batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rtl_models.errors import InputError
from workloads.importers.chain import Pooling
from workloads.importers.torch.graph import Origin
from workloads.importers.torch.hooks import Call, Observer


@dataclass(frozen=True)
class Link:
    """A module of the chain, by name, and the pooling in front of it."""

    name: str
    pooling: tuple[Pooling, ...]


@dataclass(frozen=True)
class Chain:
    """Modules from input to output; all neurons have `timesteps` and `batch`."""

    observer: Observer
    links: tuple[Link, ...]
    timesteps: int
    batch: int

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the modules with weights, from the input on."""
        return tuple(link.name for link in self.links if link.name not in self.observer.rules)

    @property
    def neurons(self) -> tuple[str, ...]:
        """Names of the neuron modules, from the input on."""
        return tuple(link.name for link in self.links if link.name in self.observer.rules)

    @property
    def ends_in_neurons(self) -> bool:
        """Whether the last module is one of neurons."""
        return self.links[-1].name in self.observer.rules

    def joined(self, name: str, part: str) -> Tensor:
        """Return a part of a module's calls as [T, B, ...], as [1, B, ...] where it was called for one timestep.

        part: a field of `Call`; a gradient that never came is 0.
        """
        calls = self.observer.calls[name]
        tensors = [_part(call, part) for call in calls]
        features = tensors[0].shape[-_features(self.observer, name) :]
        whole = tensors[0] if len(tensors) == 1 else torch.stack(tensors)
        return whole.reshape(-1, self.batch, *features)

    def at(self, name: str, part: str, t: int) -> Tensor:
        """Return a part of a neuron module's calls at one timestep, [B, ...]; a gradient that never came is 0."""
        calls = self.observer.calls[name]
        if self.observer.rules[name].multi_step:
            return _part(calls[0], part)[t]
        return _part(calls[t], part)


def find_chain(observer: Observer) -> Chain:
    """Put the observed modules in order; raises InputError where they are no chain, or timesteps do not fit."""
    if not observer.rules:
        raise InputError("no neurons of snnTorch or SpikingJelly were called", "model", type(observer.model).__name__)
    origins = {name: _origin(observer, name) for name in observer.calls}
    following: dict[str | None, str] = {}
    for name, origin in origins.items():
        if origin.module in following:
            both = f"{following[origin.module]} and {name}"
            if origin.module is None:
                what = "two modules take the model's input (or a detached tensor); the machine's networks are chains"
                raise InputError(what, both)
            raise InputError(f"two modules take the output of {origin.module}; only chains can be captured", both)
        following[origin.module] = name
    links, place = [], following.get(None)
    while place is not None:
        links.append(Link(place, origins[place].pooling))
        place = following.get(place)
    timesteps, batch = _timesteps(observer)
    chain = Chain(observer, tuple(links), timesteps, batch)
    owners: dict[nn.Parameter, str] = {}
    for number, name in enumerate(chain.weights):
        _check_calls(chain, name, number == 0)
        owner = owners.setdefault(observer.modules[name].weight, name)
        if owner != name:
            raise InputError(f"its weights are those of {owner}; the machine's layers have their own", name)
    return chain


def _origin(observer: Observer, name: str) -> Origin:
    """Return where the input of a module comes from, the same at every call."""
    calls = observer.calls[name]
    origins = [observer.graph.origin(call.input, name) for call in calls]
    first = origins[0]
    for number, origin in enumerate(origins):
        source = len(observer.calls[origin.module]) if origin.module is not None else 0
        in_turn = source != len(calls) or origin.call == number
        if origin.module != first.module or origin.pooling != first.pooling or not in_turn:
            what = "a module used twice in one timestep, or recurrent: its calls take their input from different places"
            raise InputError(what, name, _told(origin), f"as at its first call, {_told(first)}")
    return first


def _told(origin: Origin) -> str:
    return "the model's input" if origin.module is None else f"call {origin.call + 1} of {origin.module}"


def _timesteps(observer: Observer) -> tuple[int, int]:
    """Return timesteps and samples, the same for all neurons."""
    found: dict[str, tuple[int, int]] = {}
    for name, rule in observer.rules.items():
        calls = observer.calls[name]
        shape = calls[0].input.shape
        if rule.multi_step and len(calls) > 1:
            raise InputError("a multi-step neuron is called once for all timesteps", name, f"{len(calls)} calls", "1")
        found[name] = (shape[0], shape[1]) if rule.multi_step else (len(calls), shape[0])
    (first, wanted), *others = found.items()
    for name, got in others:
        if got != wanted:
            what = f"other timesteps or samples than {first}; a module used twice in one timestep?"
            raise InputError(what, name, f"{got[0]} x {got[1]}", f"{wanted[0]} x {wanted[1]}")
    return wanted


def _check_calls(chain: Chain, name: str, first: bool) -> None:
    """Raise InputError unless a module with weights saw every timestep once, or the first one a picture once."""
    features = _features(chain.observer, name)
    rows = sum(call.input.numel() // call.input.shape[-features:].numel() for call in chain.observer.calls[name])
    whole = chain.timesteps * chain.batch
    if rows != whole and not (first and rows == chain.batch):
        what = "a module used twice in one timestep: it saw another number of samples than the neurons"
        raise InputError(what, name, rows, f"{whole}, {chain.timesteps} timesteps of {chain.batch}")


def _part(call: Call, part: str) -> Tensor:
    found: Tensor | None = getattr(call, part)
    return torch.zeros_like(getattr(call, part.removesuffix("_gradient"))) if found is None else found.detach()


def _features(observer: Observer, name: str) -> int:
    """Return how many axes a module's tensors have behind timesteps and samples."""
    rule = observer.rules.get(name)
    if rule is not None:
        return int(observer.calls[name][0].input.ndim) - (2 if rule.multi_step else 1)
    return 3 if isinstance(observer.modules[name], nn.Conv2d) else 1
