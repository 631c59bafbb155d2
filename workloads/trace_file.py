"""Trace files: one training step written once, and read slice by slice by every simulation of it (docs/trace.md)."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from rtl_models.formats import format_by_name
from rtl_models.reset import Reset
from workloads.network import NeuronConstants, parse_network
from workloads.record import Arithmetic, Flags, Floats, LayerRecord, OptimiserConstants, StepRecord, TrainingRun
from workloads.sealed_file import open_sealed, write_sealed
from workloads.trace_schema import TRACE, Array, TensorSpec, layer_tensors, step_tensors
from workloads.trace_statistics import LayerSparsity, layer_sparsity

ALL = slice(None)
_CONSTANTS = ("alpha", "beta", "threshold", "low", "high")
_TRAINING = "training"


def write_trace(record: StepRecord, path: str | Path) -> str:
    """Write `record` to `path` in one step (whole or not at all) and return the file's SHA-256 in hex.

    The same record gives the same bytes. Raises InputError if the folder cannot be written, ValueError if a tensor of
    the record has not the shape that its network demands.
    """
    return write_sealed(Path(path), TRACE, lambda file: _fill(file, record))


def open_trace(path: str | Path) -> Trace:
    """Check the trace at `path` (seal, schema version, shapes) and open it; raises InputError for any other file."""
    where = str(path)
    file, digest = open_sealed(Path(path), TRACE)
    try:
        return Trace(file, where, digest)
    except (KeyError, ValueError, TypeError, AttributeError, OSError) as error:
        file.close()
        if isinstance(error, InputError):
            raise
        what = f"does not hold what schema {TRACE.schema} of a trace demands ({error})"
        raise InputError(what, where) from error


class Trace:
    """An open trace file. Layers are numbered from 0; arrays come back exactly as in `workloads.record`.

    `samples` and `timesteps` are slices with a positive step, along the axes of those names; only the chunks that they
    touch are read. g16, the gradients of the last layer, has no timestep axis: it is the same at every timestep.
    Readers raise InputError for a layer that does not exist, a tensor that it lacks, and damaged chunks.
    """

    def __init__(self, file: h5py.File, where: str, digest: str) -> None:
        self._file = file
        self._where = where
        self.path = Path(where)
        self.digest = digest
        """SHA-256 (hex) of the file's content: names the trace in results."""
        attributes = file.attrs
        self.network = parse_network(json.loads(file["network"].asstr()[()]), where)
        self.arithmetic = _read_arithmetic(file["arithmetic"].attrs)
        self.optimiser = _read_optimiser(file["optimiser"].attrs)
        self.constants = _read_constants(file["constants"].attrs)
        self.step = int(attributes["step"])
        self.seed = int(attributes["seed"])
        self.dataset = str(attributes["dataset"])
        self.loss = float(attributes["loss"])
        self.skipped = bool(attributes["skipped"])
        self.origin = str(attributes.get("origin", ""))
        """Where the step was computed; "" is this project's own bit-exact arithmetic."""
        self.batch = int(attributes["batch"])
        self.training = _read_training(file[_TRAINING].attrs) if _TRAINING in file else None
        """The training run that the step belongs to; None where the file says nothing of one."""
        self.timesteps = self.network.timesteps
        self.versions = {name: str(attributes[f"{name}_version"]) for name in ("h2learn", "numpy")}
        """Versions of the programs that wrote the file."""
        self.step_tensors = step_tensors(self.network, self.batch)
        """Shapes and storage of inputs, labels and logits."""
        self.layer_tensors = [
            layer_tensors(self.network, self.arithmetic.value, index, self.batch)
            for index in range(len(self.network.layers))
        ]
        """Shapes and storage of the tensors of each layer, by name."""
        self._check_tensors()
        self.labels = cast(NDArray[np.int64], self._read("labels", self.step_tensors["labels"]))
        self.logits = cast(NDArray[np.float64], self._read("logits", self.step_tensors["logits"]))

    def __enter__(self) -> Trace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    @property
    def bit_exact(self) -> bool:
        """Whether the contract fixes every bit: all values are finite, and the step was computed by it."""
        return not self.skipped and not self.origin

    def close(self) -> None:
        """Close the file; the arrays that were read stay valid."""
        self._file.close()

    def inputs(self, samples: slice = ALL, timesteps: slice = ALL) -> NDArray[np.uint8] | NDArray[np.int8]:
        """Bytes [B, H, W, C] (direct coding, no timestep axis) or spikes [T, B, H, W, C]."""
        array = self._read("inputs", self.step_tensors["inputs"], samples, timesteps)
        return cast(NDArray[np.uint8] | NDArray[np.int8], array)

    def spikes(self, layer: int, samples: slice = ALL, timesteps: slice = ALL) -> Flags:
        """Output spikes s [T, B, OH, OW, M] of a layer with neurons."""
        return cast(Flags, self._layer(layer, "spikes", samples, timesteps))

    def masks(self, layer: int, samples: slice = ALL, timesteps: slice = ALL) -> Flags:
        """Firing masks f [T, B, OH, OW, M] of a layer with neurons."""
        return cast(Flags, self._layer(layer, "masks", samples, timesteps))

    def potentials(self, layer: int, samples: slice = ALL, timesteps: slice = ALL) -> Floats:
        """Membrane potentials u [T, B, OH, OW, M] of a layer with neurons."""
        return cast(Floats, self._layer(layer, "potentials", samples, timesteps))

    def gradients(self, layer: int, samples: slice = ALL, timesteps: slice = ALL) -> Floats:
        """Gradients du [T, B, OH, OW, M]; in the last layer g16 [B, 1, 1, M]. A projection has its joined layer's."""
        owner = self.network.joined(self._index(layer))
        return cast(Floats, self._layer(owner, "gradients", samples, timesteps))

    def gradient_sums(self, layer: int = 0, samples: slice = ALL) -> Floats:
        """Gradients summed over time, d16 [B, OH, OW, M]: first layer with direct coding only."""
        return cast(Floats, self._layer(layer, "gradient_sums", samples))

    def weights(self, layer: int) -> Floats:
        """Weights W16 [M, R, S, C] before the step."""
        return cast(Floats, self._layer(layer, "weights"))

    def master(self, layer: int) -> Floats:
        """Master weights w [M, R, S, C] before the step."""
        return cast(Floats, self._layer(layer, "master"))

    def momentum(self, layer: int) -> Floats:
        """Momentum v [M, R, S, C] before the step."""
        return cast(Floats, self._layer(layer, "momentum"))

    def weight_gradient(self, layer: int) -> Floats:
        """Weight gradients dW [M, R, S, C], under the loss scale."""
        return cast(Floats, self._layer(layer, "weight_gradient"))

    def new_weights(self, layer: int) -> Floats:
        """Weights after the step."""
        return cast(Floats, self._layer(layer, "new_weights"))

    def new_master(self, layer: int) -> Floats:
        """Master weights after the step."""
        return cast(Floats, self._layer(layer, "new_master"))

    def new_momentum(self, layer: int) -> Floats:
        """Momentum after the step."""
        return cast(Floats, self._layer(layer, "new_momentum"))

    def nonfinite(self, layer: int) -> dict[str, int]:
        """Non-finite stored values of a layer, by tensor."""
        return self._counts(layer, "nonfinite")

    def subnormal(self, layer: int) -> dict[str, int]:
        """Subnormal stored values of a layer, by tensor."""
        return self._counts(layer, "subnormal")

    def has(self, layer: int, tensor: str) -> bool:
        """Whether a layer has the tensor of this name."""
        return tensor in self.layer_tensors[self._index(layer)]

    def sparsity(self, layer: int) -> LayerSparsity:
        """Firing rate, active masks, non-zero gradients and zero index groups of a layer, as shares."""
        return layer_sparsity(self, self._index(layer))

    def record(self) -> StepRecord:
        """Read everything: equal, bit for bit, to the record that was written."""
        layers = []
        for index, tensors in enumerate(self.layer_tensors):
            arrays: dict[str, Any] = dict.fromkeys(("spikes", "masks", "potentials", "gradient_sums"))
            arrays |= {name: self._layer(index, name) for name in tensors} | {"gradients": self.gradients(index)}
            layers.append(LayerRecord(**arrays, nonfinite=self.nonfinite(index), subnormal=self.subnormal(index)))
        return StepRecord(
            network=self.network,
            arithmetic=self.arithmetic,
            optimiser=self.optimiser,
            step=self.step,
            seed=self.seed,
            dataset=self.dataset,
            inputs=self.inputs(),
            labels=self.labels,
            logits=self.logits,
            loss=self.loss,
            skipped=self.skipped,
            layers=tuple(layers),
            origin=self.origin,
            training=self.training,
        )

    def _index(self, layer: int) -> int:
        if not 0 <= layer < len(self.network.layers):
            allowed = f"0..{len(self.network.layers) - 1}"
            raise InputError("the trace has no such layer", f"{self._where}: layer", layer, allowed)
        return layer

    def _layer(self, layer: int, name: str, samples: slice = ALL, timesteps: slice = ALL) -> Array:
        tensors = self.layer_tensors[self._index(layer)]
        if name not in tensors:
            where = f"{self._where}: layer {layer} ({self.network.layers[layer].name})"
            raise InputError("the layer has no such tensor", where, name, ", ".join(tensors))
        return self._read(f"layers/{layer}/{name}", tensors[name], samples, timesteps)

    def _read(self, key: str, spec: TensorSpec, samples: slice = ALL, timesteps: slice = ALL) -> Array:
        selection = (timesteps,) * spec.timesteps + (samples,) * spec.samples
        try:
            stored = self._file[key][selection]
        except OSError as error:
            raise InputError(f"the trace is damaged: cannot read {key} ({error})", self._where) from error
        return spec.unpack(stored)

    def _counts(self, layer: int, name: str) -> dict[str, int]:
        attributes = self._file[f"layers/{self._index(layer)}/{name}"].attrs
        return {tensor: int(count) for tensor, count in attributes.items()}

    def _check_tensors(self) -> None:
        """Compare every tensor's stored shape and type with the schema."""
        specs = dict(self.step_tensors)
        for index, tensors in enumerate(self.layer_tensors):
            specs |= {f"layers/{index}/{name}": spec for name, spec in tensors.items()}
        for key, spec in specs.items():
            stored = self._file[key]
            if stored.shape != spec.stored_shape or stored.dtype != spec.dtype:
                got = f"{stored.dtype} {list(stored.shape)}"
                raise InputError(
                    "wrong tensor", f"{self._where}: {key}", got, f"{spec.dtype} {list(spec.stored_shape)}"
                )


def _fill(file: h5py.File, record: StepRecord) -> None:
    """Write everything of `record` into an empty HDF5 file."""
    batch = len(record.labels)
    file.attrs.update(
        {
            "step": np.int64(record.step),
            "seed": np.int64(record.seed),
            "dataset": record.dataset,
            "loss": np.float64(record.loss),
            "skipped": np.bool_(record.skipped),
            "batch": np.int64(batch),
            "h2learn_version": metadata.version("h2learn"),
            "numpy_version": np.__version__,
        }
    )
    if record.origin:
        file.attrs["origin"] = record.origin
    file.create_dataset("network", data=json.dumps(record.network.to_dict()))
    arithmetic = record.arithmetic
    file.create_group("arithmetic").attrs.update(
        {
            "value": arithmetic.value.name,
            "sum": arithmetic.sum.name,
            "k": np.int64(arithmetic.k),
            "lanes": np.int64(arithmetic.lanes),
            "micro_batch": np.int64(arithmetic.micro_batch),
        }
    )
    optimiser = record.optimiser
    file.create_group("optimiser").attrs.update(
        {
            "learning_rate": np.float32(optimiser.learning_rate),
            "momentum": np.float32(optimiser.momentum),
            "weight_decay": np.float32(optimiser.weight_decay),
            "scale_log2": np.int64(optimiser.scale_log2),
            "dynamic_scale": np.bool_(optimiser.dynamic_scale),
        }
    )
    if record.training is not None:
        _write_training(file.create_group(_TRAINING).attrs, record.training)
    constants = record.network.constants
    reset = {name: value for name, value in constants.reset._asdict().items() if value}  # none of the default
    file.create_group("constants").attrs.update({name: getattr(constants, name) for name in _CONSTANTS} | reset)
    for name, spec in step_tensors(record.network, batch).items():
        _write_tensor(file, name, spec, getattr(record, name))
    for index, layer in enumerate(record.layers):
        group = file.create_group(f"layers/{index}")
        for name, spec in layer_tensors(record.network, arithmetic.value, index, batch).items():
            _write_tensor(group, name, spec, getattr(layer, name))
        for name in ("nonfinite", "subnormal"):
            counts = {tensor: np.int64(count) for tensor, count in getattr(layer, name).items()}
            group.create_group(name).attrs.update(counts)


def _write_tensor(group: h5py.Group, name: str, spec: TensorSpec, array: Array | None) -> None:
    """Write one tensor in its chunks, each with a Fletcher-32 checksum."""
    shape = None if array is None else array.shape
    if array is None or shape != spec.shape:
        raise ValueError(f"{group.name}: {name} has shape {shape}, its network demands {spec.shape}")
    group.create_dataset(name, data=spec.pack(array), chunks=spec.chunks, fletcher32=True)


def _read_arithmetic(attributes: h5py.AttributeManager) -> Arithmetic:
    return Arithmetic(
        value=format_by_name(str(attributes["value"])),
        sum=format_by_name(str(attributes["sum"])),
        k=int(attributes["k"]),
        lanes=int(attributes["lanes"]),
        micro_batch=int(attributes["micro_batch"]),
    )


def _write_training(attributes: h5py.AttributeManager, training: TrainingRun) -> None:
    for name in ("steps", "batch", "training_images"):
        attributes[name] = np.int64(getattr(training, name))
    attributes["learning_rate"] = np.float64(training.learning_rate)
    attributes["data"] = training.data
    if training.weights:
        attributes["weights"] = training.weights


def _read_training(attributes: h5py.AttributeManager) -> TrainingRun:
    return TrainingRun(
        steps=int(attributes["steps"]),
        batch=int(attributes["batch"]),
        training_images=int(attributes["training_images"]),
        learning_rate=float(attributes["learning_rate"]),
        data=str(attributes["data"]),
        weights=str(attributes.get("weights", "")),
    )


def _read_constants(attributes: h5py.AttributeManager) -> NeuronConstants:
    reset = Reset(
        subtract=bool(attributes.get("subtract", False)),
        drop=np.float32(attributes.get("drop", 0.0)),
        detached=bool(attributes.get("detached", False)),
    )
    return NeuronConstants(**{name: np.float32(attributes[name]) for name in _CONSTANTS}, reset=reset)


def _read_optimiser(attributes: h5py.AttributeManager) -> OptimiserConstants:
    return OptimiserConstants(
        learning_rate=np.float32(attributes["learning_rate"]),
        momentum=np.float32(attributes["momentum"]),
        weight_decay=np.float32(attributes["weight_decay"]),
        scale_log2=int(attributes["scale_log2"]),
        dynamic_scale=bool(attributes["dynamic_scale"]),
    )
