"""The chain of layers, with its shortcuts, that the calls of a step amount to: order, timesteps and batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rtl_models.errors import InputError
from workloads.importers.chain import Pooling
from workloads.importers.sections import Branch, Graph
from workloads.importers.torch.graph import Origin
from workloads.importers.torch.hooks import Call, Observer
from workloads.importers.torch.normalisation import is_normalisation

Way = tuple[str | Pooling, ...]
"""Names of modules, and pooling, one behind the other."""
_OUTPUT = ".output"  # no module has such a name


@dataclass(frozen=True)
class Section:
    """What leads to one layer of neurons, or to the output (`neurons` None), from the neurons below.

    `joins` are the neurons whose spikes a shortcut takes along the way `between`.
    """

    main: Way
    neurons: str | None
    joins: str | None = None
    between: Way = ()

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of the modules on both ways, without the neurons."""
        return tuple(part for part in (*self.main, *self.between) if isinstance(part, str))


@dataclass(frozen=True)
class Chain:
    """Modules from input to output; all neurons have `timesteps` and `batch`."""

    observer: Observer
    sections: tuple[Section, ...]
    output: str
    timesteps: int
    batch: int

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the modules with weights, from the input on."""
        return tuple(name for section in self.sections for name in section.modules if self.has_weights(name))

    @property
    def neurons(self) -> tuple[str, ...]:
        """Names of the neuron modules, from the input on."""
        return tuple(section.neurons for section in self.sections if section.neurons is not None)

    def has_weights(self, name: str) -> bool:
        """Whether a module is a layer of weights; others are neurons, or scale and shift sums."""
        return isinstance(self.observer.modules[name], nn.Conv2d | nn.Linear)

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
    origins = {name: _origins(observer, name) for name in observer.calls}
    sections = _sections(observer, origins)
    last = sections[-1]
    timesteps, batch = _timesteps(observer)
    chain = Chain(observer, sections, last.neurons or last.modules[-1], timesteps, batch)
    for number, section in enumerate(sections):
        for name in section.modules:
            _check_calls(chain, name, number == 0)
    owners: dict[nn.Parameter, str] = {}
    for name in chain.weights:
        owner = owners.setdefault(observer.modules[name].weight, name)
        if owner != name:
            raise InputError(f"its weights are those of {owner}; the machine's layers have their own", name)
    return chain


def _sections(observer: Observer, origins: dict[str, tuple[Origin, ...]]) -> tuple[Section, ...]:
    """Cut the modules at their neurons; a module's call never comes before those that it takes."""
    first = [name for name, found in origins.items() if any(origin.module is None for origin in found)]
    if len(first) > 1:
        what = "two modules take the model's input (or a detached tensor); the machine's networks are chains"
        raise InputError(what, " and ".join(first))
    taken = {origin.module for found in origins.values() for origin in found}
    last = [name for name in origins if name not in taken]
    if len(last) > 1:
        what = "nothing that is captured takes what these modules give; the machine has one output"
        raise InputError(what, " and ".join(last))
    pools: dict[str, Pooling] = {}
    takes: dict[str, list[str]] = {}
    for name, found in origins.items():
        takes[name] = [_pooled(origin, f"{name}:{number}", pools, takes) for number, origin in enumerate(found)]
    takes |= {_OUTPUT: last}
    taps = {name: _taps(observer.modules[name]) for name in origins}
    told = {"": "the model's input"} | {name: pooling.where for name, pooling in pools.items()}
    neurons = frozenset(observer.rules)
    graph = Graph(takes, "", _OUTPUT, neurons, lambda name: taps.get(name, 0), lambda name: told.get(name, name))

    def way(branch: Branch) -> Way:
        return tuple(pools.get(name, name) for name in branch.nodes)

    sections = []
    for section in graph.sections():
        fires, shortcut = section.end in neurons, section.shortcut
        joined = (None, ()) if shortcut is None else (shortcut.root, way(shortcut))
        if fires or section.main.nodes:
            sections.append(Section(way(section.main), section.end if fires else None, *joined))
    return tuple(sections)


def _pooled(origin: Origin, name: str, pools: dict[str, Pooling], takes: dict[str, list[str]]) -> str:
    """Return what a term of a module's input is to a graph, behind nodes for its pooling, which are added."""
    before = origin.module or ""
    for number, pooling in enumerate(origin.pooling):
        place = f"{name}:{number}"
        pools[place], takes[place] = pooling, [before]
        before = place
    return before


def _taps(module: nn.Module) -> int:
    """Return the size of a module's kernel, 0 where it has no weights."""
    if isinstance(module, nn.Conv2d):
        return math.prod(module.kernel_size)
    return 1 if isinstance(module, nn.Linear) else 0


def _origins(observer: Observer, name: str) -> tuple[Origin, ...]:
    """Return where the input of a module comes from, the same at every call."""
    calls = observer.calls[name]
    every = [observer.graph.origins(call.input, name) for call in calls]
    first = [(origin.module, origin.pooling) for origin in every[0]]
    for number, origins in enumerate(every):
        in_turn = all(
            origin.module is None or len(observer.calls[origin.module]) != len(calls) or origin.call == number
            for origin in origins
        )
        if [(origin.module, origin.pooling) for origin in origins] != first or not in_turn:
            what = "a module used twice in one timestep, or recurrent: its calls take their input from different places"
            raise InputError(what, name, _told(origins), f"as at its first call, {_told(every[0])}")
    return every[0]


def _told(origins: tuple[Origin, ...]) -> str:
    return " + ".join(
        "the model's input" if origin.module is None else f"call {origin.call + 1} of {origin.module}"
        for origin in origins
    )


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
    if is_normalisation(observer.modules[name]):
        return 3 if type(observer.modules[name]).__name__.endswith("2d") else 1
    return 3 if isinstance(observer.modules[name], nn.Conv2d) else 1
