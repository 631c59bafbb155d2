"""What a row stream must give: its sums by the reference, what they go on from, and what the trace holds of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_models.formats import Bits, decode, encode, round_to
from rtl_models.reference.row import RowTask, lut_row
from tlm.cosim.engine import Expectation
from tlm.cosim.keys import FORWARD, StreamKey
from tlm.cosim.streams import StreamReader
from tlm.schedule.geometry import is_direct
from workloads.record import Floats

Numbers = NDArray[np.float32] | NDArray[np.float64]


class Reference:
    """Computes expectations; the running weight gradients of streams asked for in ascending micro-batches are kept."""

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader
        self._trace = reader.trace
        self._network = reader.trace.network
        arithmetic = reader.geometry.config.contract
        self._value, self._sum = arithmetic.value, arithmetic.sum
        self._scale = 2.0**-self._network.input.exponent
        self._running: dict[tuple[int, int, int], tuple[int, Floats]] = {}
        self._states: tuple[tuple[int, int], tuple[Floats, Floats]] | None = None
        self._gradients: tuple[int, Floats] | None = None

    def expect(self, key: StreamKey) -> Expectation:
        """Return the task of a stream and what it must give."""
        if key.engine == FORWARD:
            return self._forward(key)
        return self._weight_update(key)

    def _sums(self, task: RowTask) -> Bits:
        return lut_row(task, self._value, self._sum)

    def _forward(self, key: StreamKey) -> Expectation:
        positions = self._reader.positions(key)
        source = self._reader.source(key.engine, key.layer, key.micro_batch)
        task = source.task(key.row, positions)
        sums = self._sums(task)
        nothing = np.zeros(0, np.float32)
        from_sums: Numbers = nothing
        in_trace: Numbers = nothing
        if not self._trace.bit_exact:
            pass  # what follows from these sums need not be what the trace holds
        elif self._network.layers[key.layer].spiking:
            from_sums, in_trace = self._potentials(key, decode(sums, self._sum), positions)
        elif key.block == 0:
            from_sums, in_trace = self._logits(key)
        return _expectation(key, task, sums, from_sums, in_trace)

    def _potentials(self, key: StreamKey, sums: Floats, positions: slice) -> tuple[Floats, Floats]:
        """Potentials that follow from `sums` and the trace's state one timestep before, and those of the trace."""
        u, before = (array[key.row] for array in self._state(key.layer, key.micro_batch))
        if is_direct(self._network, key.layer):
            x = np.broadcast_to(self._scaled(sums), (len(u), len(sums)))
            before, u = before[:, positions], u[:, positions]
        else:
            x, before, u = sums, before.reshape(-1)[positions], u.reshape(-1)[positions]
        total = round_to(before.astype(np.float64) + x.astype(np.float64), self._sum)
        return round_to(total, self._value).reshape(-1), u.reshape(-1)

    def _state(self, layer: int, micro_batch: int) -> tuple[Floats, Floats]:
        """The trace's potentials u [M, T, b y x], and what each neuron adds its sum to; the last ones read are kept."""
        if self._states is None or self._states[0] != (layer, micro_batch):
            samples = self._reader.samples(micro_batch)
            u = self._trace.potentials(layer, samples)
            s = self._trace.spikes(layer, samples)
            shape = (self._trace.timesteps, -1, u.shape[-1])
            u = np.ascontiguousarray(u.reshape(shape).transpose(2, 0, 1))
            s = s.reshape(shape).transpose(2, 0, 1)
            alpha, reset = np.float64(self._trace.constants.alpha), self._trace.constants.reset
            before = np.zeros_like(u)
            leaked = round_to(alpha * u[:, :-1].astype(np.float64), self._sum)
            after_spike = np.zeros_like(leaked)
            if reset.subtract:
                drop = round_to(np.array(reset.drop), self._sum).astype(np.float64)
                after_spike = round_to(leaked.astype(np.float64) - drop, self._sum)
            before[:, 1:] = np.where(s[:, :-1] == 1, after_spike, leaked)
            self._states = (layer, micro_batch), (u, before)
        return self._states[1]

    def _logits(self, key: StreamKey) -> tuple[Numbers, Numbers]:
        """Logits of one class: the row's sums averaged over all timesteps, whichever block they are in."""
        samples = self._reader.samples(key.micro_batch)
        source = self._reader.source(key.engine, key.layer, key.micro_batch)
        everything = source.task(key.row, slice(0, source.indices.shape[1]))
        x = decode(self._sums(everything), self._sum).reshape(self._trace.timesteps, -1)
        mean = np.add.accumulate(x.astype(np.float64), axis=0)[-1] / len(x)
        return mean, self._trace.logits[samples, key.row]

    def _weight_update(self, key: StreamKey) -> Expectation:
        running = self._gradient_before(key)
        task = self._update_task(key, running)
        sums = self._sums(task)
        after = self._gradient_after(key, running, sums)
        stream = (key.layer, key.row, key.block)
        last = key.micro_batch == len(self._reader.geometry.micro_batches) - 1
        if last:
            self._running.pop(stream, None)
        else:
            self._running[stream] = (key.micro_batch + 1, after)
        if not last or not self._trace.bit_exact:
            return Expectation(key, task, {"data": sums})
        if self._gradients is None or self._gradients[0] != key.layer:
            self._gradients = key.layer, self._trace.weight_gradient(key.layer)
        in_trace = self._gradients[1][key.row].reshape(-1)[self._reader.positions(key)]
        return _expectation(key, task, sums, after, in_trace)

    def _update_task(self, key: StreamKey, running: Floats) -> RowTask:
        source = self._reader.source(key.engine, key.layer, key.micro_batch)
        positions = self._reader.positions(key)
        if is_direct(self._network, key.layer):
            return source.task(key.row, positions)
        return source.task(key.row, positions, encode(running, self._sum))

    def _gradient_before(self, key: StreamKey) -> Floats:
        """Weight gradients [positions] after the micro-batches before that of `key`."""
        first, running = self._running.get((key.layer, key.row, key.block), (0, None))
        if running is None or first > key.micro_batch:
            positions = self._reader.positions(key)
            first, running = 0, np.zeros(positions.stop - positions.start, np.float32)
        for index in range(first, key.micro_batch):
            earlier = StreamKey(key.engine, key.layer, index, key.row, key.block)
            running = self._gradient_after(earlier, running, self._sums(self._update_task(earlier, running)))
        return running

    def _gradient_after(self, key: StreamKey, before: Floats, sums: Bits) -> Floats:
        """Weight gradients after a stream; direct coding adds the scaled sums of the micro-batch to those before."""
        numbers = decode(sums, self._sum)
        if not is_direct(self._network, key.layer):
            return numbers
        with np.errstate(invalid="ignore", over="ignore"):
            return round_to(before.astype(np.float64) + self._scaled(numbers).astype(np.float64), self._sum)

    def _scaled(self, sums: Floats) -> Floats:
        """Sums of bit planes times 2^-exponent, rounded once."""
        return round_to(sums.astype(np.float64) * self._scale, self._sum)


def _expectation(key: StreamKey, task: RowTask, sums: Bits, from_sums: Numbers, in_trace: Numbers) -> Expectation:
    """From the sums, and in the trace: potentials (forward), logits (last layer) or weight gradients (update)."""
    return Expectation(key, task, {"data": sums}, bit_patterns(from_sums), bit_patterns(in_trace))


def bit_patterns(values: Numbers) -> NDArray[np.unsignedinteger]:
    """Return the bit patterns of binary32 or binary64 numbers."""
    return np.ascontiguousarray(values).view(np.uint64 if values.dtype == np.float64 else np.uint32)
