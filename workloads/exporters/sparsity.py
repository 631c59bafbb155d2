"""How sparse training steps are, as a table that analytical models take: a row a layer, or a layer and timestep."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rtl_models.errors import InputError
from workloads.atomic import replacing
from workloads.network import CONSTANT, DIRECT, INPUT
from workloads.trace_file import Trace
from workloads.trace_statistics import PLANES, count_zero_groups, samples_at_once

SUFFIXES = (".csv", ".parquet")

Row = dict[str, Any]
Counts = NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """One column: its type is that of its unit (text, number, share)."""

    name: str
    unit: str
    meaning: str

    @property
    def type(self) -> pa.DataType:
        """Type in a Parquet file."""
        return {"text": pa.string(), "share": pa.float64()}.get(self.unit, pa.int64())


COLUMNS = (
    Column("trace", "text", "SHA-256 of the trace's content"),
    Column("network", "text", "name of the network"),
    Column("dataset", "text", "name of the data set"),
    Column("step", "number", "training step, from 1"),
    Column("layer", "number", "layer among the network's weight tensors, from 0; biases have no row"),
    Column("name", "text", "name of the layer"),
    Column("timestep", "number", "timestep, from 1; empty: all of them"),
    Column("images", "images", "images of the step"),
    Column("timesteps", "timesteps", "timesteps that the row is about"),
    Column("in_height", "positions", "rows of the map that the layer takes"),
    Column("in_width", "positions", "its columns"),
    Column("in_channels", "channels", "its channels, C"),
    Column("out_height", "positions", "rows of the layer's outputs, behind its pooling"),
    Column("out_width", "positions", "their columns"),
    Column("out_channels", "channels", "their channels, M"),
    Column("kernel_height", "positions", "rows of the kernel, R"),
    Column("kernel_width", "positions", "its columns, S"),
    Column("stride", "positions", "stride of the convolution"),
    Column("padding", "positions", "padding of its input on each side"),
    Column("pool", "positions", "side of the windows that are summed before the neurons"),
    Column("dense_macs", "operations", "multiply-accumulates of its forward pass, zeros included"),
    Column("input_nonzero", "share", "inputs that are not 0: spikes, or bytes of an image"),
    Column("input_bits", "share", "input bits that are 1: spikes, or bits of the bytes' eight planes"),
    Column("input_empty_positions", "share", "input positions (y, x) without any input that is not 0"),
    Column("k", "bits", "input bits that index one table of the machine"),
    Column(
        "zero_index_groups", "share", "groups of k bits of receptive fields that are all 0, taps in the padding too"
    ),
    Column("firing_rate", "share", "outputs that fire"),
    Column("silent_channels", "share", "output channels without any spike"),
    Column("active_masks", "share", "neurons whose surrogate derivative is not 0"),
    Column("empty_mask_positions", "share", "output positions (y, x) without any active mask"),
    Column("nonzero_gradients", "share", "gradients of the layer's sums that are not 0"),
    Column("empty_gradient_positions", "share", "output positions (y, x) without any such gradient"),
    Column("nonzero_weights", "share", "weights that are not 0, before the step"),
    Column("nonzero_weight_gradients", "share", "weight gradients of the whole step that are not 0"),
)
"""Columns of the table, in their order; a share is 0..1, and empty where the layer has no such tensor."""


def sparsity_rows(trace: Trace, by_timestep: bool = False) -> Iterator[Row]:
    """Yield a row for every layer of `trace` but biases, with `by_timestep` one for each of its timesteps."""
    for number, layer in enumerate(trace.network.layers):
        if layer.source == CONSTANT:
            continue
        shares = _layer_shares(trace, number)
        weights = {
            "nonzero_weights": np.count_nonzero(trace.weights(number)) / layer.weights_count,
            "nonzero_weight_gradients": np.count_nonzero(trace.weight_gradient(number)) / layer.weights_count,
        }
        for timestep in range(1, trace.timesteps + 1) if by_timestep else (None,):
            timesteps = trace.timesteps if timestep is None else 1
            yield {
                "trace": trace.digest,
                "network": trace.network.name,
                "dataset": trace.dataset,
                "step": trace.step,
                "layer": number,
                "timestep": timestep,
                "images": trace.batch,
                "timesteps": timesteps,
                **{key: value for key, value in vars(layer).items() if key in _NAMES},
                "out_height": layer.out_height,
                "out_width": layer.out_width,
                "dense_macs": trace.batch * timesteps * layer.macs_per_timestep(),
                "k": trace.arithmetic.k,
                **{name: tally.share(timestep) for name, tally in shares.items()},
                **weights,
            }


_NAMES = {column.name for column in COLUMNS}


def write_sparsity(rows: Iterable[Row], path: Path) -> int:
    """Write rows as CSV or Parquet, as the suffix says, and return how many.

    Raises InputError for another suffix and for a folder that cannot be written.
    """
    check_suffix(path)
    names = [column.name for column in COLUMNS]
    ordered = [{name: row.get(name) for name in names} for row in rows]
    with replacing(path) as temporary:
        if path.suffix == ".csv":
            with temporary.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, names, lineterminator="\n")
                writer.writeheader()
                writer.writerows(ordered)
        else:
            fields = [
                pa.field(column.name, column.type, metadata={"unit": column.unit, "meaning": column.meaning})
                for column in COLUMNS
            ]
            pq.write_table(pa.Table.from_pylist(ordered, schema=pa.schema(fields)), temporary)
    return len(ordered)


def check_suffix(path: Path) -> None:
    """Raise InputError for a file that is neither CSV nor Parquet by its name."""
    if path.suffix not in SUFFIXES:
        raise InputError("no such kind of file", "--out", path.name, ", ".join(SUFFIXES))


class _Tally:
    """Counts of one quantity by timestep; one that has no timesteps is the same at all of them."""

    def __init__(self) -> None:
        self._found: Counts = np.zeros(1)
        self._of = 0.0

    def add(self, found: Counts, of: float) -> None:
        """Add what was found, [T] or [1], among `of` at each timestep."""
        self._found = self._found + found
        self._of += of

    def share(self, timestep: int | None) -> float | None:
        """Return the share at a timestep (from 1), or at all of them; None where nothing was counted."""
        if not self._of:
            return None
        found = self._found.mean() if timestep is None else self._found[min(timestep, len(self._found)) - 1]
        return float(found / self._of)


def _layer_shares(trace: Trace, number: int) -> dict[str, _Tally]:
    """Count a layer's tensors, a slice of samples after the other."""
    tallies = {column.name: _Tally() for column in COLUMNS if column.unit == "share" and "weight" not in column.name}
    fired = np.zeros((trace.timesteps, trace.network.layers[number].out_channels), np.bool_)
    for samples in samples_at_once(trace, number):
        _count_inputs(trace, number, samples, tallies)
        _count(trace.gradients(number, samples), tallies, "nonzero_gradients", "empty_gradient_positions")
        if trace.has(number, "masks"):
            _count(trace.masks(number, samples), tallies, "active_masks", "empty_mask_positions")
            spikes = trace.spikes(number, samples)
            _count(spikes, tallies, "firing_rate")
            fired |= spikes.any(axis=(1, 2, 3))
    if trace.has(number, "spikes"):
        tallies["silent_channels"] = _Silent(fired)
    return tallies


class _Silent(_Tally):
    """Channels without any spike: over all timesteps fewer are silent than at each."""

    def __init__(self, fired: NDArray[np.bool_]) -> None:
        super().__init__()
        self._fired = fired

    def share(self, timestep: int | None) -> float | None:
        """Return the share of channels that are silent at a timestep (from 1), or at all of them."""
        fired = self._fired.any(axis=0) if timestep is None else self._fired[timestep - 1]
        return float(1 - fired.mean())


def _count(array: NDArray[Any], tallies: dict[str, _Tally], nonzero: str, empty: str | None = None) -> None:
    """Count the non-zeros of [T, B, H, W, C], or of [B, H, W, C] as the same at every timestep."""
    filled = (array if array.ndim == 5 else array[None]) != 0
    tallies[nonzero].add(filled.sum(axis=(1, 2, 3, 4), dtype=np.float64), filled[0].size)
    if empty is not None:
        positions = ~filled.any(axis=-1)
        tallies[empty].add(positions.sum(axis=(1, 2, 3), dtype=np.float64), positions[0].size)


def _count_inputs(trace: Trace, number: int, samples: slice, tallies: dict[str, _Tally]) -> None:
    layer, k = trace.network.layers[number], trace.arithmetic.k
    values = trace.inputs(samples) if layer.source == INPUT else trace.spikes(layer.source, samples)
    _count(values, tallies, "input_nonzero", "input_empty_positions")
    planes = values
    if layer.source == INPUT and trace.network.input.coding == DIRECT:
        planes = np.stack([(values.view(np.uint8) >> np.uint8(plane)) & np.uint8(1) for plane in range(PLANES)])
        planes = planes.reshape(1, -1, *values.shape[1:])
    _count(planes, tallies, "input_bits")
    groups = [count_zero_groups(plane, layer, k) for plane in planes]
    tallies["zero_index_groups"].add(np.array([zero for zero, _ in groups], np.float64), groups[0][1])
