"""What stands in a trace file: every tensor with its shape, storage and chunks (docs/trace.md tells it in words)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from rtl_models.formats import BINARY32, FloatFormat, decode, encode
from workloads.network import DIRECT, Network
from workloads.sealed_file import Kind

TRACE = Kind("trace", 1)
_CHUNK_BYTES = 1 << 20  # about one chunk; HDF5's chunk cache holds 1 MiB by default

Array = NDArray[np.generic]


class Storage(Enum):
    """How the numbers of a tensor are stored."""

    BITS = "bits"  # 0 or 1, eight channels a byte, channel c in bit c mod 8
    PATTERN = "pattern"  # bit patterns of the value format
    BINARY32 = "binary32"
    BINARY64 = "binary64"
    UINT8 = "uint8"
    INT8 = "int8"
    INT64 = "int64"


_DTYPES = {
    Storage.BITS: "<u1",
    Storage.BINARY32: "<f4",
    Storage.BINARY64: "<f8",
    Storage.UINT8: "<u1",
    Storage.INT8: "<i1",
    Storage.INT64: "<i8",
}


@dataclass(frozen=True)
class TensorSpec:
    """One tensor: logical `shape`; its leading axes are timesteps (if `timesteps`) and samples (if `samples`)."""

    shape: tuple[int, ...]
    storage: Storage
    value: FloatFormat
    timesteps: bool = False
    samples: bool = False

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of the stored elements."""
        if self.storage is Storage.PATTERN:
            return self.value.bits_dtype.newbyteorder("<")
        return np.dtype(_DTYPES[self.storage])

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of the stored array: the channel axis of bits is eight times shorter."""
        if self.storage is Storage.BITS:
            return (*self.shape[:-1], -(-self.shape[-1] // 8))
        return self.shape

    @property
    def stored_bytes(self) -> int:
        """Bytes of the stored array, without HDF5's own."""
        return int(np.prod(self.stored_shape, dtype=np.int64)) * self.dtype.itemsize

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk: one timestep and as many samples as make about 1 MiB; weights along their first axis."""
        shape = self.stored_shape
        if self.timesteps:
            return (1, *_leading(shape[1:], self.dtype.itemsize))
        return _leading(shape, self.dtype.itemsize)

    def pack(self, array: Array) -> Array:
        """Return `array` as it is stored."""
        if self.storage is Storage.BITS:
            return np.packbits(array.astype(np.uint8), axis=-1, bitorder="little")
        if self.storage is Storage.PATTERN:
            return encode(array.astype(np.float32), self.value)
        return array.astype(self.dtype)

    def unpack(self, stored: Array) -> Array:
        """Return the array that `stored`, a slice along the leading axes, stands for."""
        if self.storage is Storage.BITS:
            return np.unpackbits(stored.astype(np.uint8), axis=-1, count=self.shape[-1], bitorder="little")
        if self.storage is Storage.PATTERN:
            return decode(stored.astype(self.value.bits_dtype), self.value)
        return stored.astype(self.dtype.newbyteorder("="))


def step_tensors(network: Network, batch: int) -> dict[str, TensorSpec]:
    """Tensors of the whole step, by name: inputs, labels, logits."""
    source = network.input
    shape = (batch, source.height, source.width, source.channels)
    if source.coding == DIRECT:
        inputs = TensorSpec(shape, Storage.INT8 if source.signed else Storage.UINT8, BINARY32, samples=True)
    else:
        inputs = TensorSpec((network.timesteps, *shape), Storage.BITS, BINARY32, timesteps=True, samples=True)
    return {
        "inputs": inputs,
        "labels": TensorSpec((batch,), Storage.INT64, BINARY32, samples=True),
        "logits": TensorSpec((batch, network.classes), Storage.BINARY64, BINARY32, samples=True),
    }


def layer_tensors(network: Network, value: FloatFormat, index: int, batch: int) -> dict[str, TensorSpec]:
    """Tensors of layer `index` (from 0), by the names of `LayerRecord`; those that the layer lacks are left out."""
    layer = network.layers[index]
    plane = (layer.out_height, layer.out_width, layer.out_channels)
    whole = (network.timesteps, batch, *plane)
    tensors: dict[str, TensorSpec] = {}
    for name in ("weights", "new_weights"):
        tensors[name] = TensorSpec(layer.weights_shape, Storage.PATTERN, value)
    for name in ("master", "momentum", "weight_gradient", "new_master", "new_momentum"):
        tensors[name] = TensorSpec(layer.weights_shape, Storage.BINARY32, value)
    if layer.spiking:
        for name in ("spikes", "masks"):
            tensors[name] = TensorSpec(whole, Storage.BITS, value, timesteps=True, samples=True)
        for name in ("potentials", "gradients"):
            tensors[name] = TensorSpec(whole, Storage.PATTERN, value, timesteps=True, samples=True)
    elif layer.joins is None:  # a projection's gradients are those of the layer that it joins
        tensors["gradients"] = TensorSpec((batch, *plane), Storage.PATTERN, value, samples=True)
    if index == 0 and network.input.coding == DIRECT:
        tensors["gradient_sums"] = TensorSpec((batch, *plane), Storage.PATTERN, value, samples=True)
    return tensors


def _leading(shape: tuple[int, ...], item_bytes: int) -> tuple[int, ...]:
    """Cut the first axis so that a block of `shape` takes about a chunk's bytes."""
    rest_bytes = int(np.prod(shape[1:], dtype=np.int64)) * item_bytes
    return (max(1, min(shape[0], _CHUNK_BYTES // max(1, rest_bytes))), *shape[1:])
