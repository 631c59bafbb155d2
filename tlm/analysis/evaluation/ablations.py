"""The ablations: the same step on machines that lack one idea or all of them, or are of another size, k or DRAM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rtl_models.errors import InputError
from tlm.analysis.bandwidth.dram_choice import UNLIMITED
from tlm.config import ADDERS, LUT, ZERO_SKIPPING, Config, check_config, set_key

FULL = "full machine"
GROUPS = ("backward", "pipeline", "elements", "together", "k", "buffers", "dram", "potentials")
EVERYTHING, NOTHING = "all", "none"
SCALED_BUFFERS = ("spikes", "weights", "potentials", "gradients", "partial_sums")
"""Buffers that hold tensors; the others hold a tile on its way, whatever the network."""
FACTORS = (0.25, 0.5, 2.0)
LARGEST_K = 8

Settings = dict[str, Any]


@dataclass(frozen=True)
class Ablation:
    """One variant of the machine: `changes` by key of the configuration, such as ``backward_engine.units``."""

    group: str
    name: str
    changes: tuple[tuple[str, Any], ...]

    def config_of(self, config: Config) -> Config:
        """Return the variant's configuration; raises InputError for one that cannot be."""
        settings = config.model_dump(mode="json")
        for key, value in self.changes:
            set_key(settings, key, value, self.name)
        return check_config(settings, self.name)


def parse_groups(text: str) -> tuple[str, ...]:
    """Return the groups of a list such as ``backward,pipeline``; InputError for an unknown one, and twice."""
    if text in (EVERYTHING, NOTHING):
        return GROUPS if text == EVERYTHING else ()
    found: list[str] = []
    for entry in text.split(","):
        word = entry.strip()
        if word not in GROUPS:
            raise InputError("unknown ablation", "--ablations", word, f"{EVERYTHING}, {NOTHING}, {', '.join(GROUPS)}")
        if word in found:
            raise InputError("is named twice", "--ablations", word)
        found.append(word)
    return tuple(found)


def list_ablations(config: Config, groups: tuple[str, ...]) -> list[Ablation]:
    """Return the variants of `config` in these groups, those that are `config` itself left out."""
    made = [ablation for group in groups for ablation in _MAKERS[group](config)]
    return [ablation for ablation in made if _differs(ablation, config)]


def _differs(ablation: Ablation, config: Config) -> bool:
    return ablation.config_of(config) != config


def _backward(_config: Config) -> Iterator[Ablation]:
    for name, gradients, outputs in (
        ("dense backward", False, False),
        ("input sparsity alone", True, False),
        ("output sparsity alone", False, True),
    ):
        yield Ablation("backward", name, _sparsity(gradients, outputs))


def _pipeline(_config: Config) -> Iterator[Ablation]:
    yield Ablation("pipeline", "no pipeline", (("pipeline", "none"),))
    yield Ablation("pipeline", "layer pipeline", (("pipeline", "layer"),))


def _elements(_config: Config) -> Iterator[Ablation]:
    yield Ablation("elements", "dense adders", _element(ADDERS))
    yield Ablation("elements", "zero-skipping adders", _element(ZERO_SKIPPING))


def _together(config: Config) -> Iterator[Ablation]:
    """None of the three ideas, each alone, and the strongest machine without tables."""
    dense, serial, adders = _sparsity(False, False), (("pipeline", "none"),), _element(ADDERS)
    pipeline = (("pipeline", config.pipeline),)
    yield Ablation("together", "none of the three", (*adders, *dense, *serial))
    yield Ablation("together", "tables alone", (*_element(LUT), *dense, *serial))
    yield Ablation("together", "dual sparsity alone", (*adders, *_sparsity(True, True), *serial))
    yield Ablation("together", "pipeline alone", (*adders, *dense, *pipeline))
    yield Ablation("together", "zero-skipping adders, dense, serial", (*_element(ZERO_SKIPPING), *dense, *serial))


def _k(config: Config) -> Iterator[Ablation]:
    """Another k; a transposition unit narrower than k x k bits grows to that."""
    for k in range(1, LARGEST_K + 1):
        changes: tuple[tuple[str, Any], ...] = (("lut.k", k),)
        if config.transposition_unit.width < k * k:
            changes = (*changes, ("transposition_unit.width", k * k))
        yield Ablation("k", f"k = {k}", changes)


def _buffers(config: Config) -> Iterator[Ablation]:
    for factor in FACTORS:
        sizes = tuple(
            (f"buffers.{name}_bytes", int(getattr(config.buffers, f"{name}_bytes") * factor)) for name in SCALED_BUFFERS
        )
        yield Ablation("buffers", f"buffers x{factor:g}", sizes)


def _dram(config: Config) -> Iterator[Ablation]:
    channels = config.dram.channels
    for number in (max(1, channels // 2), 2 * channels):
        yield Ablation("dram", f"{config.dram.standard}, {number} channels", (("dram.channels", number),))
    changes = []
    for override in UNLIMITED.overrides:
        key, _, value = override.partition("=")
        changes.append((key, int(value) if value.isdecimal() else value))
    yield Ablation("dram", "DRAM without limit", tuple(changes))


def _potentials(config: Config) -> Iterator[Ablation]:
    other = "recompute" if config.potentials == "store" else "store"
    words = {"recompute": "potentials recomputed", "store": "potentials stored"}
    yield Ablation("potentials", words[other], (("potentials", other),))


_MAKERS = {
    "backward": _backward,
    "pipeline": _pipeline,
    "elements": _elements,
    "together": _together,
    "k": _k,
    "buffers": _buffers,
    "dram": _dram,
    "potentials": _potentials,
}


def _sparsity(gradients: bool, outputs: bool) -> tuple[tuple[str, Any], ...]:
    return (
        ("backward_engine.skip_zero_gradients", gradients),
        ("backward_engine.skip_inactive_outputs", outputs),
    )


def _element(element: str) -> tuple[tuple[str, Any], ...]:
    return (("forward_engine.element", element), ("weight_update_engine.element", element))
