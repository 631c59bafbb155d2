"""DRAM bytes of a training step in closed form, from shapes, gradients and the list of tensors that do not fit."""

from __future__ import annotations

from collections import Counter

import numpy as np

from tlm.config import Config
from tlm.schedule.geometry import update_work
from tlm.schedule.lut_jobs import plan_jobs
from workloads.record import StepRecord

VALUE, SUM, STATE = 2, 4, 8  # bytes of binary16, binary32, and of a master weight with its momentum


def expected_bytes(record: StepRecord, config: Config, spilled: set[str]) -> tuple[Counter[str], Counter[str]]:
    """(read, written) bytes by stream; `spilled` names the tensors of which no layer stays on the chip."""
    return _Step(record, config, spilled).count()


class _Step:
    def __init__(self, record: StepRecord, config: Config, spilled: set[str]) -> None:
        self.record, self.config, self.spilled = record, config, spilled
        self.layers, self.T = record.network.layers, record.network.timesteps
        self.direct = record.inputs.ndim == 4
        self.read: Counter[str] = Counter()
        self.written: Counter[str] = Counter()

    def count(self) -> tuple[Counter[str], Counter[str]]:
        batch, size = len(self.record.labels), self.config.arithmetic.micro_batch
        for first in range(0, batch, size):
            samples = slice(first, min(first + size, batch))
            self.inputs(samples)
            for layer in range(len(self.layers)):
                self.weights(layer, first == 0)
                self.weight_gradients(layer, first == 0)
                self.gradients(layer, samples)
                if layer < len(self.layers) - 1:
                    self.activations(layer, samples)
        for layer in self.layers:
            self.read["optimiser_state"] += layer.weights_count * STATE
            self.written["optimiser_state"] += layer.weights_count * STATE
            self.written["weights"] += layer.weights_count * VALUE
            if "weight_gradients" in self.spilled:
                self.read["weight_gradients"] += layer.weights_count * SUM
        return +self.read, +self.written

    def row_blocks(self, layer: int) -> int:
        return -(-self.layers[layer].out_channels // self.config.forward_engine.rows)

    def channel_tiles(self, layer: int) -> int:
        return -(-self.layers[layer].out_channels // self.config.backward_engine.channel_tile)

    def update_jobs(self, layer: int, samples: slice) -> int:
        work = update_work(self.record.network, layer, samples.stop - samples.start, self.config.contract)
        return len(plan_jobs(work, self.config.weight_update_engine, self.config.row_timing).jobs)

    def steps_below(self, layer: int) -> int:
        """Steps of the backward sums that read the gradients and the weights of `layer`."""
        return 0 if layer == 0 else 1 if layer == len(self.layers) - 1 else self.T

    def inputs(self, samples: slice) -> None:
        pixels = self.record.inputs[samples] if self.direct else self.record.inputs[:, samples]
        length = pixels.size if self.direct else -(-pixels.size // 8)
        times = self.row_blocks(0) + self.update_jobs(0, samples) if "inputs" in self.spilled else 1
        self.read["inputs"] += times * length

    def weights(self, layer: int, first: bool) -> None:
        """Read once where they stay, else by every micro-batch's forward pass and every backward step."""
        times = 1 + self.steps_below(layer) if "weights" in self.spilled else int(first)
        self.read["weights"] += times * self.layers[layer].weights_count * VALUE

    def weight_gradients(self, layer: int, first: bool) -> None:
        if "weight_gradients" in self.spilled:
            self.written["weight_gradients"] += self.layers[layer].weights_count * SUM
            self.read["weight_gradients"] += 0 if first else self.layers[layer].weights_count * SUM

    def gradients(self, layer: int, samples: slice) -> None:
        """Written once, compressed; read by every channel tile below and by every job of the weight update."""
        if "gradients" not in self.spilled:
            return
        values = self.record.layers[layer].gradients
        if layer == len(self.layers) - 1:
            length = values[samples].size * VALUE
        else:
            plane = values[0, samples].size
            length = self.T * -(-plane // 8) + int(np.count_nonzero(values[:, samples])) * VALUE
        tiles = self.channel_tiles(layer - 1) if layer else 0
        jobs = 0 if layer == 0 and self.direct else self.update_jobs(layer, samples)
        self.written["gradients"] += length
        self.read["gradients"] += (tiles + jobs) * length

    def activations(self, layer: int, samples: slice) -> None:
        bits = self.record.layers[layer].spikes[:, samples].size  # type: ignore[index]  # a layer with neurons
        for tensor, length in (("spikes", -(-bits // 8)), ("masks", -(-bits // 8)), ("potentials", bits * VALUE)):
            if tensor in self.spilled:
                readers = 1
                if tensor == "spikes":
                    readers += self.row_blocks(layer + 1) + self.update_jobs(layer + 1, samples)
                self.written[tensor] += length
                self.read[tensor] += readers * length
