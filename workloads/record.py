"""Everything that one bit-exact training step took in, produced and left behind: the content of a trace."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_models.formats import BINARY16, BINARY32, FloatFormat
from workloads.network import Network

Floats = NDArray[np.float32]
Flags = NDArray[np.uint8]


@dataclass(frozen=True)
class Arithmetic:
    """The parameters that change bits (docs/contract.md): nothing else of a configuration may.

    `value` is the format of stored values, `sum` that of sums; `k` spikes index a table, `lanes` tables are summed by
    one tree, `micro_batch` samples are worked on together.
    """

    value: FloatFormat = BINARY16
    sum: FloatFormat = BINARY32
    k: int = 4
    lanes: int = 16
    micro_batch: int = 8


@dataclass(frozen=True)
class OptimiserConstants:
    """SGD with momentum; the three rates are binary32, the loss scale is 2^`scale_log2`."""

    learning_rate: np.float32
    momentum: np.float32
    weight_decay: np.float32
    scale_log2: int
    dynamic_scale: bool


@dataclass(frozen=True)
class TrainingRun:
    """The training run that a captured step belongs to: without it, sparsity belongs to nothing that can be named.

    `batch` is what every step was trained with; the captured step may hold the first images of its batch alone. `data`
    says in a sentence what the data set is; `weights` is the SHA-256 of the file of weights that the run started from.
    """

    steps: int  # of the whole run
    batch: int
    training_images: int  # of the data set: one epoch
    learning_rate: float  # at the start of its fall along a cosine over the run
    data: str = ""
    weights: str = ""

    @property
    def epochs(self) -> float:
        """Epochs' worth of images that the whole run was trained with."""
        return self.steps * self.batch / self.training_images

    @property
    def brief(self) -> bool:
        """Whether the run saw less than one epoch's worth: every figure from it is to say so."""
        return self.steps * self.batch < self.training_images

    def epochs_before(self, step: int) -> float:
        """Epochs' worth of images seen before step `step` (from 1)."""
        return (step - 1) * self.batch / self.training_images

    def words(self, step: int) -> str:
        """Where step `step` stands in the run, in words."""
        told = f"step {step} of {self.steps}, batch {self.batch}, {self.epochs:.2g} epochs in all"
        told += f", from the weights {self.weights[:12]}" if self.weights else ""
        return f"{told}, briefly trained" if self.brief else told


@dataclass(frozen=True)
class LayerRecord:
    """One layer's tensors of one training step. Floats are binary32 arrays of numbers exact in their stored format.

    Weights are [M, R, S, C]; activations are [T, B, OH, OW, M]. The last layer has no neuron: `spikes`, `masks` and
    `potentials` are None, and its `gradients` are g16 [B, 1, 1, M], the same at every timestep. A shortcut's projection
    has no neuron either; its `gradients` are those of the layer that it joins.
    """

    weights: Floats  # value format, before the step (W16)
    master: Floats  # binary32, before the step (w)
    momentum: Floats  # binary32, before the step (v)
    weight_gradient: Floats  # sum format (dW)
    new_weights: Floats
    new_master: Floats
    new_momentum: Floats
    spikes: Flags | None
    masks: Flags | None
    potentials: Floats | None  # value format (u)
    gradients: Floats  # value format (du, or g16 in the last layer)
    gradient_sums: Floats | None  # value format (d16 [B, OH, OW, M]); first layer with direct coding only
    nonfinite: dict[str, int]  # by stored tensor: forward_tables, update_tables, u, du, d16, dW, W16
    subnormal: dict[str, int]  # same keys


@dataclass(frozen=True)
class StepRecord:
    """One training step: what `workloads.training_step.training_step` returns and a trace file holds.

    `inputs` is bytes [B, H, W, C] (direct coding; uint8 or int8) or spikes [T, B, H, W, C] (uint8 of 0 and 1).
    `skipped` says that a stored value was not finite, so that the optimiser left its state alone. `origin` says where
    the step was computed; "" is this project's own bit-exact arithmetic.
    """

    network: Network
    arithmetic: Arithmetic
    optimiser: OptimiserConstants
    step: int
    seed: int
    dataset: str
    inputs: NDArray[np.uint8] | NDArray[np.int8]
    labels: NDArray[np.int64]
    logits: NDArray[np.float64]
    loss: float
    skipped: bool
    layers: tuple[LayerRecord, ...]
    training: TrainingRun | None = None  # None for a step that belongs to no run
    origin: str = ""
