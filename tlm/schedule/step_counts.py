"""What the schedule counts in a trace's real tensors: kept, so that many simulations of one trace count once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tlm.config import BackwardEngineConfig
from tlm.schedule.backward_items import BackwardItems, backward_items, step_operands
from tlm.schedule.geometry import MicroBatch
from tlm.schedule.ones import Ones, count_ones
from workloads.record import Arithmetic
from workloads.trace_file import Trace


class StepCounts:
    """Counts of one trace by layer and micro-batch; none depends on DRAM or buffers."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._items: dict[tuple[object, ...], BackwardItems] = {}
        self._ones: dict[tuple[int, MicroBatch, Arithmetic, bool], Ones] = {}
        self._nonzero: dict[tuple[int, MicroBatch], NDArray[np.int64]] = {}

    def backward_items(self, layer: int, batch: MicroBatch, step: int, engine: BackwardEngineConfig) -> BackwardItems:
        """Return the work items of the sums for the outputs of `layer` at one step of the backward pass."""
        key = (layer, batch, step, engine.channel_tile, engine.skip_zero_gradients, engine.skip_inactive_outputs)
        if key not in self._items:
            self._items[key] = backward_items(*step_operands(self._trace, layer, batch.samples, step), engine)
        return self._items[key]

    def ones(self, layer: int, batch: MicroBatch, arithmetic: Arithmetic, update: bool) -> Ones:
        """Return the spikes that meet the lanes of the forward engine, or with `update` of the weight update engine."""
        key = (layer, batch, arithmetic, update)
        if key not in self._ones:
            self._ones[key] = count_ones(self._trace, layer, batch, arithmetic, update)
        return self._ones[key]

    def nonzero_gradients(self, layer: int, batch: MicroBatch) -> NDArray[np.int64]:
        """Return the non-zero gradients [steps, samples] of a layer with neurons; step 0 is the last timestep."""
        key = (layer, batch)
        if key not in self._nonzero:
            steps = reversed(range(self._trace.timesteps))
            gradients = (self._trace.gradients(layer, batch.samples, slice(t, t + 1)) for t in steps)
            self._nonzero[key] = np.stack([np.count_nonzero(g.reshape(batch.count, -1), axis=1) for g in gradients])
        return self._nonzero[key]
