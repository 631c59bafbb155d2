"""Reads a BPTT reference: one training step of a small network, solved elsewhere by automatic differentiation.

Files keep PyTorch's order, [.., C, y, x]; everything returned has ours, [.., y, x, C] (weights [M, R, S, C]).
"""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from workloads.network import DIRECT, SPIKES, Layer, Network, parse_network

Doubles = NDArray[np.float64]
REALS, BYTES = "direct", "bytes"
ENCODINGS = (REALS, BYTES, SPIKES)
BYTE_EXPONENT = 8  # the references scale bytes by 2^-8
_ZIP_MAGIC = b"PK\x03\x04"
_NPY_MAGIC = b"\x93NUM"
_WANTED = "an .npz file of one training step"
_BROKEN = (
    OSError,
    ValueError,
    EOFError,
    MemoryError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class ReferenceLayer:
    """One layer: weights and dW [M, R, S, C]; u, s and du [T, B, OH, OW, M], None in the last layer."""

    weights: Doubles
    weight_gradient: Doubles
    potentials: Doubles | None
    spikes: NDArray[np.uint8] | None
    gradients: Doubles | None


@dataclass(frozen=True)
class BpttReference:
    """One reference step. `inputs` are numbers [T, B, H, W, C]; `machine_inputs` what the machine takes, if it can."""

    name: str
    network: Network
    encoding: str
    inputs: Doubles
    machine_inputs: NDArray[np.uint8] | None
    labels: NDArray[np.int64]
    logits: Doubles
    loss: float
    layers: tuple[ReferenceLayer, ...]


def read_reference(path: Path) -> BpttReference:
    """Read a `.npz` reference; raises InputError for a file that is not one, naming the key that is wrong."""
    arrays = _Arrays(path)
    meta = _meta(arrays)
    network = _network(meta, arrays.where)
    timesteps, batch = network.timesteps, meta["batch"]
    source = network.input
    inputs = arrays.numbers("x", (timesteps, batch, source.channels, source.height, source.width))
    inputs = np.ascontiguousarray(inputs.transpose(0, 1, 3, 4, 2))
    labels = arrays.array("y", (batch,), "iu").astype(np.int64)
    if labels.min() < 0 or labels.max() >= network.classes:
        worst = int(labels.max() if labels.max() >= network.classes else labels.min())
        raise InputError("no such class", f"{arrays.where}: y", worst, f"0..{network.classes - 1}")
    layers = tuple(_layer(arrays, number, layer, (timesteps, batch)) for number, layer in enumerate(network.layers))
    return BpttReference(
        name=path.stem,
        network=network,
        encoding=meta["encoding"],
        inputs=inputs,
        machine_inputs=_machine_inputs(meta["encoding"], inputs, f"{arrays.where}: x"),
        labels=labels,
        logits=arrays.numbers("logits", (batch, network.classes)),
        loss=float(arrays.numbers("loss", ())),
        layers=layers,
    )


class _Arrays:
    """The arrays of an `.npz` file; every access checks kind and shape."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        try:
            with path.open("rb") as file:
                begin = file.read(len(_ZIP_MAGIC))
                if begin != _ZIP_MAGIC:  # NumPy would take it for a pickle
                    got = "an empty file" if not begin else "a single array" if begin == _NPY_MAGIC else "another file"
                    raise InputError("not an .npz file", self.where, got, _WANTED)
                file.seek(0)
                with np.load(file, allow_pickle=False) as loaded:
                    self._arrays: dict[str, NDArray[Any]] = {key: loaded[key] for key in loaded.files}
        except InputError:
            raise
        except FileNotFoundError as error:
            raise InputError("no such file", self.where, None, _WANTED) from error
        except _BROKEN as error:
            raise InputError(f"not a readable .npz file ({error})", self.where) from error

    def array(self, key: str, shape: tuple[int, ...], kinds: str) -> NDArray[Any]:
        """Return the array `key`; its dtype's kind must be one of `kinds`."""
        where = f"{self.where}: {key}"
        if key not in self._arrays:
            raise InputError("missing key", where, None, ", ".join(self._arrays) or "an .npz file with keys")
        array = self._arrays[key]
        if array.dtype.kind not in kinds:
            raise InputError("wrong type of elements", where, str(array.dtype))
        if array.shape != shape:
            raise InputError("wrong shape", where, array.shape, str(shape))
        return array

    def numbers(self, key: str, shape: tuple[int, ...]) -> Doubles:
        """Return the array `key` in binary64; every element must be finite."""
        array = self.array(key, shape, "f").astype(np.float64)
        if not np.isfinite(array).all():
            raise InputError("a number that is not finite", f"{self.where}: {key}")
        return array


def _meta(arrays: _Arrays) -> dict[str, Any]:
    """Return the checked content of `meta`."""
    where = f"{arrays.where}: meta"
    text = str(arrays.array("meta", (), "U"))
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON ({error})", where) from error
    if not isinstance(meta, dict):
        raise InputError("must be a JSON object", where, type(meta).__name__)
    for key in ("layers", "neuron", "encoding", "timesteps", "batch", "input_shape"):
        if key not in meta:
            raise InputError("missing key", f"{where}: {key}", None, ", ".join(map(str, meta)))
    if meta["encoding"] not in ENCODINGS:
        raise InputError("unknown encoding", f"{where}: encoding", meta["encoding"], ", ".join(ENCODINGS))
    batch = meta["batch"]
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise InputError("wrong value", f"{where}: batch", batch, "a whole number >= 1")
    return meta


def _network(meta: dict[str, Any], where: str) -> Network:
    """Return the network that `meta` describes."""
    shape, layers = meta["input_shape"], meta["layers"]
    if not isinstance(shape, list) or len(shape) != 3:
        raise InputError("must be [channels, height, width]", f"{where}: meta: input_shape", shape)
    if not isinstance(layers, list):
        raise InputError("must be a list", f"{where}: meta: layers", layers)
    source: dict[str, Any] = {"shape": [shape[1], shape[2], shape[0]], "coding": SPIKES}
    if meta["encoding"] != SPIKES:
        source |= {"coding": DIRECT, "exponent": BYTE_EXPONENT}
    raw = {
        "name": str(meta.get("name", "reference")),
        "input": source,
        "timesteps": meta["timesteps"],
        "neuron": meta["neuron"],
        "layers": [_layer_entry(layer, f"{where}: meta: layers[{n}]") for n, layer in enumerate(layers)],
    }
    return parse_network(raw, f"{where}: meta")


def _layer_entry(layer: Any, where: str) -> dict[str, Any]:
    """Return one layer of `meta` as a network file states it."""
    if not isinstance(layer, dict) or layer.get("kind") not in ("conv", "fc"):
        raise InputError("must be an object whose kind is known", where, layer, "conv, fc")
    wanted = {"kind", "out"} if layer["kind"] == "fc" else {"kind", "out", "k", "s", "p"}
    if set(layer) - {"pool"} != wanted or (layer["kind"] == "fc" and "pool" in layer):
        raise InputError("wrong keys", where, ", ".join(sorted(map(str, layer))), ", ".join(sorted(wanted)))
    if layer["kind"] == "fc":
        return {"linear": layer["out"]}
    return {
        "conv": {
            "channels": layer["out"],
            "kernel": [layer["k"], layer["k"]],
            "stride": layer["s"],
            "padding": layer["p"],
            "pool": layer.get("pool", 1),
        }
    }


def _layer(arrays: _Arrays, number: int, layer: Layer, leading: tuple[int, int]) -> ReferenceLayer:
    weights = _weights(arrays, f"W{number}", layer)
    gradient = _weights(arrays, f"dW{number}", layer)
    if not layer.spiking:
        return ReferenceLayer(weights, gradient, None, None, None)
    shape: tuple[int, ...] = (*leading, layer.out_channels)
    if not layer.fully_connected:
        shape = (*shape, layer.out_height, layer.out_width)
    spikes = arrays.array(f"s{number}", shape, "u").astype(np.uint8)
    if spikes.max() > 1:
        raise InputError("not a spike", f"{arrays.where}: s{number}", int(spikes.max()), "0, 1")
    u, du = arrays.numbers(f"u{number}", shape), arrays.numbers(f"du{number}", shape)
    return ReferenceLayer(weights, gradient, *(_channels_last(array) for array in (u, spikes, du)))


def _weights(arrays: _Arrays, key: str, layer: Layer) -> Doubles:
    if layer.fully_connected:
        flat = arrays.numbers(key, (layer.out_channels, layer.elements))
        weights = flat.reshape(layer.out_channels, layer.in_channels, layer.in_height, layer.in_width)
    else:
        shape = (layer.out_channels, layer.in_channels, layer.kernel_height, layer.kernel_width)
        weights = arrays.numbers(key, shape)
    return np.ascontiguousarray(weights.transpose(0, 2, 3, 1))


def _channels_last(array: NDArray[Any]) -> Any:
    if array.ndim == 3:
        return array[:, :, np.newaxis, np.newaxis, :]
    return np.ascontiguousarray(array.transpose(0, 1, 3, 4, 2))


def _machine_inputs(encoding: str, inputs: Doubles, where: str) -> NDArray[np.uint8] | None:
    """Return bytes [B, H, W, C], spikes [T, B, H, W, C], or None for inputs that are arbitrary reals."""
    if encoding == SPIKES:
        if not np.isin(inputs, (0.0, 1.0)).all():
            raise InputError("not a spike", where, None, "0, 1")
        return inputs.astype(np.uint8)
    if encoding == REALS:
        return None
    pixels = np.ldexp(inputs, BYTE_EXPONENT)
    if not (np.equal(pixels, np.round(pixels)).all() and pixels.min() >= 0 and pixels.max() <= 255):
        raise InputError("not a byte / 256", where, None, "0/256..255/256")
    if not np.equal(pixels, pixels[:1]).all():
        raise InputError("bytes that change from timestep to timestep", where, None, "the same at every timestep")
    return np.asarray(pixels[0], np.uint8)
