"""A trace as tensors in PyTorch's layouts, for PyTorch (.pt) or NumPy (.npz)."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from rtl_models.reset import TO_ZERO
from workloads.atomic import replacing
from workloads.extras import require
from workloads.network import CONSTANT, DIRECT, Layer
from workloads.trace_file import ALL, Trace

SUFFIXES = (".npz", ".pt")
_WEIGHTS = {
    "weights": "",
    "master": "_master",
    "momentum": "_momentum",
    "weight_gradient": "_gradient",
    "new_weights": "_new",
    "new_master": "_new_master",
    "new_momentum": "_new_momentum",
}
_ACTIVATIONS = ("spikes", "masks", "potentials")

Tensor = NDArray[np.generic]


def named_tensors(trace: Trace, samples: slice = ALL) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor of `trace` by name, one at a time, those with a batch axis for `samples` alone.

    Maps are [T, B, C, H, W], outputs of fully connected layers [T, B, M], weights [M, C, R, S] or [M, C R S] with the
    channel slowest, as behind PyTorch's `Flatten`. Bytes of direct coding come as the numbers they stand for. Gradients
    are divided by the loss scale. docs/export.md names them all.
    """
    network = trace.network
    constants = dict(vars(trace.constants))
    reset = constants.pop("reset")
    for name, constant in (constants | ({} if reset == TO_ZERO else reset._asdict())).items():
        yield f"neuron.{name}", np.asarray(constant)
    inputs = np.asarray(trace.inputs(samples))
    if network.input.coding == DIRECT:
        inputs = np.ldexp(inputs.astype(np.float32), -network.input.exponent)
    yield "inputs", _channels_first(inputs)
    yield "labels", trace.labels[samples]
    yield "logits", trace.logits[samples]
    yield "loss", np.asarray(trace.loss)
    for number, layer in enumerate(network.layers):
        yield from _layer_tensors(trace, number, layer, samples)


def write_tensors(trace: Trace, path: str | Path, images: int | None = None) -> list[str]:
    """Write the tensors of `trace`, or of its first `images` images, to `path` and return their names.

    A ``.npz`` is written tensor by tensor, a ``.pt`` (a table of tensors that `torch.load` reads) at once. Raises
    InputError for another suffix, more images than there are, a missing PyTorch and a folder that cannot be written.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise InputError("no such kind of file", "--out", path.name, ", ".join(SUFFIXES))
    if images is not None and not 1 <= images <= trace.batch:
        raise InputError("the trace has not so many images", "--images", images, f"1..{trace.batch}")
    tensors = named_tensors(trace, ALL if images is None else slice(0, images))
    if path.suffix == ".npz":
        return _write_npz(tensors, path)
    torch = require("torch", "torch")
    table = {name: torch.from_numpy(np.array(tensor)) for name, tensor in tensors}
    with replacing(path) as temporary, temporary.open("wb") as file:
        torch.save(table, file)
    return list(table)


def _write_npz(tensors: Iterator[tuple[str, Tensor]], path: Path) -> list[str]:
    """Write what `numpy.load` reads, without holding more than one tensor."""
    names = []
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, tensor in tensors:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(tensor), allow_pickle=False)
            names.append(name)
    return names


def _layer_tensors(trace: Trace, number: int, layer: Layer, samples: slice) -> Iterator[tuple[str, Tensor]]:
    unscale = np.float32(2.0**-trace.optimiser.scale_log2)
    owner = trace.network.layers[trace.network.joined(number)]
    is_bias = layer.source == CONSTANT
    stem = f"{owner.name}.bias" if is_bias else f"{layer.name}.weight"
    for name, suffix in _WEIGHTS.items():
        weights = getattr(trace, name)(number)
        weights = weights * unscale if name == "weight_gradient" else weights
        channels_first = np.moveaxis(weights, -1, 1)
        flat = is_bias or layer.fully_connected
        shape = (-1,) if is_bias else (layer.out_channels, -1)
        yield f"{stem}{suffix}", channels_first.reshape(shape) if flat else channels_first
    for name in _ACTIVATIONS:
        if trace.has(number, name):
            yield f"{layer.name}.{name}", _activations(getattr(trace, name)(number, samples), layer)
    if trace.has(number, "gradients"):
        yield f"{layer.name}.gradients", _activations(trace.gradients(number, samples) * unscale, layer)


def _activations(array: Tensor, layer: Layer) -> Tensor:
    return array.reshape(*array.shape[:-3], -1) if layer.fully_connected else _channels_first(array)


def _channels_first(array: Tensor) -> Tensor:
    return np.moveaxis(array, -1, -3)
