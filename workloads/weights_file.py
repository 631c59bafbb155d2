"""Weights in a file of their own: what a network file's key `weights` names, and every training starts from.

A sealed HDF5 file (workloads/sealed_file.py) of kind ``weights``: one binary32 tensor [M, R, S, C] for every layer of
the network, named as the layer is, in their order. Layout: docs/training.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from workloads.layer import Layer
from workloads.sealed_file import Kind, open_sealed, write_sealed

WEIGHTS = Kind("weights", 1)
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class WeightsFile:
    """A weights file, by the place where it was found and by its content (SHA-256 in hex)."""

    path: Path
    digest: str

    def read(self, layers: Sequence[Layer]) -> tuple[Floats, ...]:
        """Return the weights; raises InputError if they are not for `layers`, or the file has changed."""
        weights, digest = read_weights(self.path, layers)
        if digest != self.digest:
            raise InputError("the weights have changed since the network was read", str(self.path), digest, self.digest)
        return weights


def write_weights(path: Path, layers: Sequence[Layer], weights: Sequence[Floats]) -> WeightsFile:
    """Write [M, R, S, C] for every layer, whole or not at all; raises InputError for a folder that cannot be written.

    Raises ValueError if a tensor has not its layer's shape.
    """
    for layer, matrix in zip(layers, weights, strict=True):
        if matrix.shape != layer.weights_shape:
            raise ValueError(f"{layer.name} has weights {matrix.shape}, not {layer.weights_shape}")

    def fill(file: h5py.File) -> None:
        file.create_dataset("layers", data=json.dumps([layer.name for layer in layers]))
        for layer, matrix in zip(layers, weights, strict=True):
            file.create_dataset(f"weights/{layer.name}", data=np.asarray(matrix, "<f4"))

    return WeightsFile(path, write_sealed(path, WEIGHTS, fill))


def find_weights(path: Path, layers: Sequence[Layer]) -> WeightsFile:
    """Return the weights file at `path` after a look at its seal and shapes; raises InputError if it is not sound."""
    return WeightsFile(path, read_weights(path, layers)[1])


def read_weights(path: Path, layers: Sequence[Layer]) -> tuple[tuple[Floats, ...], str]:
    """Return the weights of a file and its SHA-256; raises InputError if they are not for `layers`."""
    file, digest = open_sealed(path, WEIGHTS)
    with file:
        try:
            names = json.loads(file["layers"].asstr()[()])
            tensors = {name: file[f"weights/{name}"][()] for name in names}
        except (KeyError, ValueError, TypeError, AttributeError, OSError) as error:
            what = f"does not hold what schema {WEIGHTS.schema} of weights demands ({error})"
            raise InputError(what, str(path)) from error
    found = {name: [str(tensor.dtype), list(tensor.shape)] for name, tensor in tensors.items()}
    wanted = {layer.name: ["float32", list(layer.weights_shape)] for layer in layers}
    if list(found) != list(wanted):
        raise InputError("the weights are for other layers", str(path), ", ".join(found), ", ".join(wanted))
    for name, kind in wanted.items():
        if found[name] != kind:
            raise InputError("wrong weights", f"{path}: {name}", found[name], str(kind))
        if not np.isfinite(tensors[name]).all():
            raise InputError("a weight is not finite", f"{path}: {name}")
    return tuple(tensors.values()), digest
