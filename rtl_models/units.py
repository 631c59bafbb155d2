"""How a hardware unit presents itself to whoever drives it: ready/valid streams, stimuli and responses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]  # [beats, words]: a field's value, 64 bits a word, least significant word first
Pattern = NDArray[np.uint8]  # one flag a clock cycle; beyond its end every flag is 1


@dataclass(frozen=True)
class Field:
    """A payload field of a stream: the port ``<stream>_<name>``, `width_bits` wide."""

    name: str
    width_bits: int


@dataclass(frozen=True)
class Stream:
    """A ready/valid stream: ports ``<name>_valid``, ``<name>_ready`` and one port per field."""

    name: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Unit:
    """A clocked hardware unit with ports ``clk``, ``rst`` (synchronous, active high) and those of its streams.

    `block` is the MyHDL block; it takes clk, rst, then every port by keyword, then `parameters` by keyword.
    """

    name: str
    block: Callable[..., Any]
    parameters: dict[str, int]
    inputs: tuple[Stream, ...]
    outputs: tuple[Stream, ...]


@dataclass(frozen=True)
class Stimulus:
    """What to feed a unit from reset on, and how many output beats to wait for.

    `beats[stream][field]` are the payloads; `outputs[stream]` the number of beats expected. `valid[stream]` flags the
    cycles in which a source that has nothing pending may start to offer its next beat (it then holds it until it
    is taken); `ready[stream]` flags the cycles in which a sink is ready. Cycle 0 is the first after reset.
    """

    beats: dict[str, dict[str, Words]]
    outputs: dict[str, int]
    valid: dict[str, Pattern] = field(default_factory=dict)
    ready: dict[str, Pattern] = field(default_factory=dict)


@dataclass(frozen=True)
class Response:
    """What a unit did: output payloads, the cycle of every transfer on every stream, and the cycles used in all.

    `cycles_total` is the last transfer's cycle plus one.
    """

    payloads: dict[str, dict[str, Words]]
    transfers: dict[str, NDArray[np.int64]]
    cycles_total: int
