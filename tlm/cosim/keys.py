"""Names and counts of the streams of work that co-simulation runs."""

from __future__ import annotations

from dataclasses import dataclass

FORWARD = "forward"
NEURON = "neuron"
BACKWARD = "backward"
GRADIENT = "gradient"
TRANSPOSITION = "transposition"
WEIGHT_UPDATE = "weight_update"
WEIGHT_GRADIENT = "weight_gradient"
OPTIMISER = "optimiser"
ENGINES = (FORWARD, NEURON, BACKWARD, GRADIENT, TRANSPOSITION, WEIGHT_UPDATE, WEIGHT_GRADIENT, OPTIMISER)
"""All engines, in the order of a training step."""
_ROW_IS = {NEURON: "timestep", GRADIENT: "timestep", BACKWARD: "step"}


@dataclass(frozen=True, order=True)
class StreamKey:
    """Names one stream: engine, layer (from 0), micro-batch, row and block, which mean something else to each engine.

    LUT engines: output row and position block; neuron and gradient unit: timestep (from 0) and block of elements;
    backward engine: step (from the last timestep on) and channel tile; transposition unit: row 0, and run of tiles
    of a position block; weight gradient and optimiser unit: row 0 and block of elements.
    """

    engine: str
    layer: int
    micro_batch: int
    row: int
    block: int

    def __str__(self) -> str:
        row = f"{_ROW_IS.get(self.engine, 'row')} {self.row}"
        return f"{self.engine} layer {self.layer} micro-batch {self.micro_batch} {row} block {self.block}"


@dataclass(frozen=True)
class StreamCount:
    """How much one engine has to do on one layer in the whole step, before all-zero tiles and masks are left out."""

    engine: str
    layer: int
    layer_name: str
    streams: int
    tiles: int
    results: int
    cycles: int
