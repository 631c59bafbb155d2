"""One simulated step of the study: cycles and operations of each engine at each layer, DRAM bytes, energy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from tlm.analysis.area.chip_area import chip_area
from tlm.analysis.energy.activity import step_activity
from tlm.analysis.energy.step_energy import GROUPS, step_energy
from tlm.analysis.evaluation.first_images import first_images
from tlm.analysis.simulations import Measurement
from tlm.analysis.sparsity.estimate import peaks
from tlm.analysis.sparsity.spread import SpreadTrace
from tlm.analysis.sparsity.structure import backward_macs, layer_structure
from tlm.config import Config
from tlm.engines.streams import BACKWARD, FORWARD, UPDATE
from tlm.kernel.account import State
from tlm.schedule.geometry import is_direct, micro_batches
from tlm.schedule.step_counts import StepCounts
from tlm.simulation import SimulationResult, simulate
from workloads.trace_file import Trace
from workloads.trace_statistics import PLANES

REAL = "real"
ENGINES = (FORWARD, BACKWARD, UPDATE)


@dataclass(frozen=True)
class Simulated:
    """Simulates a step with its real sparsity, or with that spread by layer or timestep from `seed`."""

    sparsity: str = REAL
    seed: int = 0

    def __call__(self, trace: Trace, config: Config, images: int, counts: StepCounts) -> Measurement:
        """Return what `step_measurement` finds on the first `images` images of `trace`."""
        step, counts = _step(trace, images, counts, self.sparsity, self.seed)
        return step_measurement(step, config, counts)


@dataclass(frozen=True)
class Structure:
    """Counts the structure of a step's sparsity, real or spread, without simulating it."""

    sparsity: str = REAL
    seed: int = 0

    def __call__(self, trace: Trace, config: Config, images: int, counts: StepCounts) -> Measurement:
        """Return a table for each layer (`tlm.analysis.sparsity.structure`)."""
        step, counts = _step(trace, images, counts, self.sparsity, self.seed)
        return {"layers": [layer_structure(step, layer, config, counts) for layer in range(len(step.network.layers))]}


def _step(trace: Trace, images: int, counts: StepCounts, sparsity: str, seed: int) -> tuple[Trace, StepCounts]:
    """Return the first images of a trace with their zeros as they are or spread, and the counts that belong to them."""
    step = first_images(trace, images)
    if sparsity == REAL:
        return step, counts
    spread = SpreadTrace(step, sparsity, seed)
    return spread, StepCounts(spread)


def step_measurement(step: Trace, config: Config, counts: StepCounts) -> Measurement:
    """Simulate `step`: cycles, busy cycles and operations by engine and layer, DRAM bytes, energy in pJ."""
    area = chip_area(config)
    result = simulate(step, config, counts=counts)
    energy = step_energy(config, result, step_activity(step, config, result, counts), area)
    most, busy = peaks(config), busy_by_layer(result)
    layers = []
    for engine, layer, operations, dense in _operations(step, config, counts):
        cycles = busy[engine, layer] // config.clock_period_ps
        layers.append(
            {
                "engine": engine,
                "layer": layer,
                "busy_cycles": cycles,
                "operations": operations,
                "dense_operations": dense,
                "utilisation": operations / (most[engine] * cycles) if cycles else 0.0,
            }
        )
    read, written = result.dram_read_bytes, result.dram_written_bytes
    return {
        "step_cycles": result.cycles,
        "busy_cycles": {name: result.engines[name].busy_ps // config.clock_period_ps for name in ENGINES},
        "layers": layers,
        "dram_bytes": {stream: read[stream] + written[stream] for stream in read},
        "energy_pj": {group: energy.group_pj(group).nominal for group in GROUPS},
    }


def _operations(step: Trace, config: Config, counts: StepCounts) -> Iterator[tuple[str, int, int, int]]:
    """Yield (engine, layer, useful, dense): additions with a spike, multiply-accumulates done; and with zeros too."""
    network = step.network
    batches = micro_batches(step.batch, config.arithmetic.micro_batch)
    for engine in (FORWARD, UPDATE):
        for layer in range(len(network.layers)) if engine == UPDATE else network.main:
            rows = network.layers[layer].out_channels
            ones = sum(counts.ones(layer, batch, config.contract, engine == UPDATE).total for batch in batches)
            parts = (layer,) if engine == UPDATE else network.parts(layer)
            yield engine, layer, ones * rows, sum(dense_additions(step, part) for part in parts)
    for layer in network.hidden:
        yield BACKWARD, layer, *backward_macs(step, layer, config, counts)


def dense_additions(step: Trace, layer: int) -> int:
    """Return the additions of a layer's forward pass or weight update with no zero left out.

    Bytes of direct coding come once, bit plane by bit plane; receptive fields reach into the padding.
    """
    planes = PLANES if is_direct(step.network, layer) else step.timesteps
    return planes * step.batch * step.network.layers[layer].macs_per_timestep()


def busy_by_layer(result: SimulationResult) -> defaultdict[tuple[str, int], int]:
    """Return how long each engine was busy at a layer, in picoseconds: from the start of a stream to that of the next.

    An engine takes its streams one after the other, and the last sums of one are made beside the first of the next.
    """
    found: defaultdict[tuple[str, int], int] = defaultdict(int)
    for engine in ENGINES:
        spans = sorted((span.start_ps, span.stream.layer) for span in result.spans if span.stream.engine == engine)
        starts = [start for start, _ in spans[1:]] + [result.time_ps]
        busy = [(one.start_ps, one.end_ps) for one in result.intervals[engine] if one.state is State.BUSY]
        for (start, layer), end in zip(spans, starts, strict=True):
            found[engine, layer] += sum(max(0, min(end, last) - max(start, first)) for first, last in busy)
    return found
