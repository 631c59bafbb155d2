"""The machines that a search chooses from: a grid over a configuration, and what follows from each choice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from itertools import product
from typing import Any

import yaml

from rtl_models.errors import InputError
from tlm.analysis.evaluation.ablations import SCALED_BUFFERS
from tlm.config import Config, check_config, check_key, set_key
from tlm.schedule.placement import place
from workloads.network import Network

BUFFERS = "buffers"
"""A factor of all buffers that hold tensors, as a key of the grid beside those of a configuration.

Where a factor leaves too little room to stage a network, each buffer keeps at least what its staging asks for.
"""
GROUPS_OF_A_UNIT = 3
ROOMY_BYTES = 2**40
ROUNDED_BYTES = 2**16
DEFAULT_SPACE: Mapping[str, tuple[Any, ...]] = {
    "forward_engine.arrays": (1, 2, 3, 4, 5),
    "weight_update_engine.arrays": (1, 2, 3, 4, 5),
    "backward_engine.units": (96, 128, 192, 256, 320, 384, 448, 512, 640, 768),
    "backward_engine.items_in_flight": (2, 4),
    BUFFERS: (0.25, 0.375, 0.5, 0.75, 1.0),
    "dram.channels": (8, 16),
}
FIXED_BY_THE_TRACE = ("lut.k", "lut.lanes", "arithmetic")
LARGEST_GRID = 100_000

Choice = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Machine:
    """One machine of the grid."""

    choice: Choice
    config: Config


def parse_space(entries: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    """Return the default grid with the keys of ``key=v1,v2,...`` replaced or added.

    Raises InputError for other words, a key that the trace fixes, an empty list, and a grid beyond reason.
    """
    space = dict(DEFAULT_SPACE)
    for entry in entries:
        key, equals, text = entry.partition("=")
        values = tuple(yaml.safe_load(word) for word in text.split(",") if word.strip()) if equals else ()
        if not key or not values:
            raise InputError("wrong grid", "--vary", entry, "key=v1,v2,..., e.g. backward_engine.units=128,256")
        if key.startswith(FIXED_BY_THE_TRACE):
            raise InputError("changes bits, so it is the trace's own", "--vary", key, "keys that change no bit")
        if key != BUFFERS:
            check_key(key, "--vary")
        space[key] = values
    size = math.prod(len(values) for values in space.values())
    if size > LARGEST_GRID:
        raise InputError("the grid has too many machines", "--vary", size, f"at most {LARGEST_GRID}")
    return space


Step = tuple[Network, int]
"""A network and the images of a step."""


def machines(config: Config, space: Mapping[str, tuple[Any, ...]], steps: tuple[Step, ...] = ()) -> Iterator[Machine]:
    """Yield every machine of the grid; raises InputError for a key or value that no configuration can have.

    A machine whose buffers were scaled has room to stage each of `steps`, if need be in larger buffers.
    """
    plain = config.model_dump(mode="json")
    for values in product(*space.values()):
        choice = tuple(zip(space, values, strict=True))
        settings = _settings(config, plain, choice)
        if BUFFERS in space and steps:
            settings["buffers"] |= _least_buffers(settings, steps)
        yield Machine(choice, check_config(settings, "search"))


def _least_buffers(settings: dict[str, Any], steps: tuple[Step, ...]) -> dict[str, int]:
    """Return the scaled buffers, each with room for the staging of every step where the scaled ones have not."""
    sizes = {name: settings["buffers"][f"{name}_bytes"] for name in SCALED_BUFFERS}
    scaled = check_config(settings, "search")
    roomy = check_config(settings | {"buffers": settings["buffers"] | _all_of(ROOMY_BYTES)}, "search")
    for network, images in steps:
        if _holds(scaled, network, images) or not _holds(roomy, network, images):
            continue  # nothing to do, or another buffer is too small: the machine cannot be
        windows = place(network, images, roomy).windows.values()
        for name in SCALED_BUFFERS:
            need = sum(window.total_bytes for window in windows if window.buffer == name)
            sizes[name] = max(sizes[name], -(-need // ROUNDED_BYTES) * ROUNDED_BYTES)
    return {f"{name}_bytes": size for name, size in sizes.items()}


def _holds(config: Config, network: Network, images: int) -> bool:
    try:
        place(network, images, config)
    except InputError:
        return False
    return True


def _all_of(size_bytes: int) -> dict[str, int]:
    return {f"{name}_bytes": size_bytes for name in SCALED_BUFFERS}


def _settings(config: Config, plain: Mapping[str, Any], choice: Choice) -> dict[str, Any]:
    settings = {key: dict(value) if isinstance(value, dict) else value for key, value in plain.items()}
    settings["buffer_ports"] = {name: dict(ports) for name, ports in plain["buffer_ports"].items()}
    for key, value in choice:
        if key == BUFFERS:
            for name in SCALED_BUFFERS:
                settings["buffers"][f"{name}_bytes"] = int(plain["buffers"][f"{name}_bytes"] * value)
            continue
        set_key(settings, key, value, "--vary")
    _follow(config, plain, settings, {key for key, _ in choice})
    return settings


def _follow(config: Config, plain: Mapping[str, Any], settings: dict[str, Any], chosen: Set[str]) -> None:
    """Grow what engines need around them: room for the sums under way, and ports in proportion to who asks."""

    def grown(buffer: str, factor: float) -> None:
        ports = settings["buffer_ports"][buffer]
        ports["banks"] = math.ceil(ports["banks"] * max(1.0, factor))

    before, now = plain, settings
    rows = {
        engine: now[engine]["arrays"] * now[engine]["rows"] / (before[engine]["arrays"] * before[engine]["rows"])
        for engine in ("forward_engine", "weight_update_engine")
    }
    units = now["backward_engine"]["units"] / before["backward_engine"]["units"]
    lanes = units * now["backward_engine"]["lanes"] / before["backward_engine"]["lanes"]
    grown("weights", max(units, rows["forward_engine"]))
    grown("gradients", max(units, rows["weight_update_engine"]))
    grown("potentials", units)
    grown("backward_sums", lanes)
    grown("output", rows["forward_engine"])
    grown("partial_sums", rows["weight_update_engine"])
    for buffer, room in (("output", _jobs_bytes(config, now)), ("backward_sums", _groups_bytes(config, now))):
        if f"buffers.{buffer}_bytes" not in chosen:
            settings["buffers"][f"{buffer}_bytes"] = max(before["buffers"][f"{buffer}_bytes"], room)


def _jobs_bytes(config: Config, settings: Mapping[str, Any]) -> int:
    """Sums of a job of every forward array."""
    engine = settings["forward_engine"]
    return int(engine["arrays"] * engine["rows"] * engine["accumulator_depth"] * config.contract.sum.width_bytes)


def _groups_bytes(config: Config, settings: Mapping[str, Any]) -> int:
    """Sums of every group that a backward unit works on at once: one compacted, one computed, one sent."""
    engine = settings["backward_engine"]
    items = GROUPS_OF_A_UNIT * engine["units"] * engine["items_in_flight"]
    return int(items * engine["channel_tile"] * config.contract.sum.width_bytes)
