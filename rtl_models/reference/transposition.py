"""The transposition unit as a function: k points x k channels in, k channels x k points out; and its stimulus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from rtl_models.reference.words import fields_of_words, words_of_fields
from rtl_models.transposition_unit import TranspositionGeometry
from rtl_models.units import Pattern, Response, Stimulus

Indices = NDArray[np.uint8]
_NOTHING: dict[str, Pattern] = {}


@dataclass(frozen=True)
class TranspositionTask:
    """Words that run back to back through one unit, tile by tile.

    Raises InputError where lengths disagree, or a tile has no word.
    """

    spikes: Indices
    """[words, blocks, k]: bit i of entry j of a block is channel i of point j."""
    counts: NDArray[np.int64]
    """[tiles]: words of each tile."""

    def __post_init__(self) -> None:
        if len(self.counts) == 0 or np.min(self.counts) < 1:
            raise InputError(
                "words of a tile", "transposition task", self.counts.tolist(), "1 or more, in 1 or more tiles"
            )
        words, shape = int(np.sum(self.counts)), self.spikes.shape
        if self.spikes.ndim != 3 or shape[0] != words:
            raise InputError("shape of spikes", "transposition task", list(shape), f"[{words}, blocks, k]")


def transposed(task: TranspositionTask) -> Indices:
    """Return the indices [words, blocks, k] of a task: bit j of entry i of a block is point j of channel i."""
    k = task.spikes.shape[2]
    bits = np.unpackbits(task.spikes[..., np.newaxis], axis=3, count=k, bitorder="little")
    return np.packbits(bits.transpose(0, 1, 3, 2), axis=3, bitorder="little")[..., 0]


def transposition_stimulus(
    geometry: TranspositionGeometry,
    task: TranspositionTask,
    valid: dict[str, Pattern] = _NOTHING,
    ready: dict[str, Pattern] = _NOTHING,
) -> Stimulus:
    """Return `task` as beats of the unit, with the patterns of its source (spikes) and its sink (indices).

    Raises InputError where the task does not fit the geometry.
    """
    words, blocks, k = task.spikes.shape
    if (blocks, k) != (geometry.blocks, geometry.k):
        raise InputError(
            "blocks, k of the task", "transposition task", [blocks, k], f"[{geometry.blocks}, {geometry.k}]"
        )
    if task.spikes.max() >> k:
        raise InputError("spikes", "transposition task", int(task.spikes.max()), f"0..{(1 << k) - 1}")
    data = words_of_fields(task.spikes.reshape(words, blocks * k), k)
    return Stimulus({"spikes": {"data": data}}, {"indices": words}, valid, ready)


def transposition_outputs(geometry: TranspositionGeometry, response: Response) -> Indices:
    """Return the indices of a response, as `transposed` returns them."""
    data, k = response.payloads["indices"]["data"], geometry.k
    return fields_of_words(data, geometry.blocks * k, k).reshape(len(data), geometry.blocks, k)
