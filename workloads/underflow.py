"""What a step's stored values lost by being too small for their format, tensor by tensor.

Values are lost where the result of a product is stored. A sum of stored values is a multiple of the format's smallest
subnormal, so that tables, d16 and dW may be subnormal, but nothing in them is rounded to zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from rtl_models.formats import BINARY32, FloatFormat
from rtl_models.reference.gradient import scaled_gradient
from rtl_models.reference.packing import forward_operands, update_operands
from rtl_models.reference.rounding import count_special, rounding
from workloads.backward import layer_gradients
from workloads.float_step import cross_entropy
from workloads.forward import Activity
from workloads.record import Floats, StepRecord

TENSORS = ("g16", "du", "d16", "dW", "W16", "u", "forward_tables", "update_tables")
"""Stored tensors: those of docs/contract.md, with the last layer's du under the name g16."""


@dataclass(frozen=True)
class Underflow:
    """Counts of a layer's stored tensor: of its `values` so many are `subnormal` and so many `flushed` to zero.

    `values` are not zero, or were flushed; entries of a table are those of at least one value that is not zero.
    `flushed` (of g16, du and W16) are zero as stored, and would not be if their layer computed in binary32 from what it
    got.
    """

    layer: str
    tensor: str
    values: int
    subnormal: int
    flushed: int
    nonfinite: int


def underflow_of(record: StepRecord) -> tuple[Underflow, ...]:
    """Return the counts of every stored tensor of a step, layer by layer; W16 are the new weights."""
    layers = range(len(record.layers))
    return tuple(row for number in layers for row in (*_stored(record, number), *_tables(record, number)))


def _stored(record: StepRecord, number: int) -> Iterator[Underflow]:
    """Yield the counts of a layer's tensors but the tables."""
    layer, value = record.layers[number], record.arithmetic.value
    yield _counted(record, number, "dW", layer.weight_gradient, None, record.arithmetic.sum)
    yield _counted(record, number, "W16", layer.new_weights, layer.new_master, value)
    if layer.potentials is not None and layer.spikes is not None and layer.masks is not None:
        yield _counted(record, number, "u", layer.potentials, None, value)
        state = Activity(layer.potentials, layer.spikes, layer.masks)
        yield _counted(record, number, "du", layer.gradients, _wide_gradients(record, number, state), value)
    elif number == len(record.layers) - 1:
        yield _counted(record, number, "g16", layer.gradients, _wide_output_gradients(record), value)
    if layer.gradient_sums is not None:
        yield _counted(record, number, "d16", layer.gradient_sums, None, value)


def _counted(
    record: StepRecord, number: int, tensor: str, values: Floats, wide: Floats | None, fmt: FloatFormat
) -> Underflow:
    """Count `values`, stored in `fmt`; `wide` is what they would be in binary32, if that can differ from zero alone."""
    nonfinite, subnormal = count_special(np.ascontiguousarray(values).reshape(-1), rounding(fmt))
    flushed = 0 if wide is None else int(np.count_nonzero((values == 0) & (wide != 0)))
    kept = int(np.count_nonzero(values)) + flushed
    return Underflow(record.network.layers[number].name, tensor, kept, int(subnormal), flushed, int(nonfinite))


def _wide_output_gradients(record: StepRecord) -> Floats:
    """Return g16 [B, 1, 1, M] as binary32."""
    _, errors = cross_entropy(record.logits, record.labels)
    divisor = record.labels.size * record.network.timesteps
    wide = scaled_gradient(errors, divisor, record.optimiser.scale_log2, (BINARY32,))
    return wide.reshape(record.layers[-1].gradients.shape)


def _wide_gradients(record: StepRecord, number: int, state: Activity) -> Floats:
    """Return du [T, B, OH, OW, M] of a layer whose sums and gradient unit are binary32, from the stored ones above."""
    above = {n: later.gradients for n, later in enumerate(record.layers) if n > number}
    weights = tuple(each.weights for each in record.layers)
    arithmetic = replace(record.arithmetic, value=BINARY32, sum=BINARY32)
    return layer_gradients(record.network, arithmetic, weights, state, above, number)


def _tables(record: StepRecord, number: int) -> Iterator[Underflow]:
    """Yield the counts of a layer's tables: forward over the old weights, update over every micro-batch's gradients."""
    arithmetic, shape, layer = record.arithmetic, record.network.layers[number], record.layers[number]
    k, lanes = arithmetic.k, arithmetic.lanes
    gradients = layer.gradients if layer.gradient_sums is None else layer.gradient_sums[np.newaxis]
    if gradients.ndim == 4:  # g16, the same at every timestep
        gradients = np.broadcast_to(gradients, (record.network.timesteps, *gradients.shape))
    starts = range(0, gradients.shape[1], arithmetic.micro_batch)
    entries = {
        "forward_tables": _entries(forward_operands(shape, layer.weights, k, lanes)),
        "update_tables": sum(
            _entries(update_operands(shape, gradients[:, start : start + arithmetic.micro_batch], k, lanes))
            for start in starts
        ),
    }
    for tensor, values in entries.items():
        yield Underflow(shape.name, tensor, values, layer.subnormal[tensor], 0, layer.nonfinite[tensor])


def _entries(operands: Floats) -> int:
    """Return how many entries the tables over operands [groups, k, M] have that a value other than zero goes into."""
    k = operands.shape[1]
    zeros = k - np.count_nonzero(operands, axis=1)
    return int(((1 << k) - (1 << zeros)).sum())
