"""How often each operation happens in a training step: from the simulation's counts, and what follows from its plans.

The simulation counts look-ups, multiply-accumulates, bytes through the buffers' ports and DRAM commands. Table builds,
vector operations and rows of weights follow from the same jobs and the same counts of the trace, and are added here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from tlm.config import ADDERS, LUT, Config
from tlm.rtl_geometry import transposition_geometry
from tlm.schedule.backward_items import is_union
from tlm.schedule.geometry import MicroBatch, forward_work, is_direct, micro_batches, update_work
from tlm.schedule.lut_jobs import LutPlan, ZeroTiles, plan_jobs
from tlm.schedule.step_counts import StepCounts
from tlm.schedule.transposition import words_per_tile
from tlm.schedule.zero_tiles import forward_zero_tiles, update_zero_tiles
from tlm.simulation import SimulationResult
from workloads.network import Layer
from workloads.trace_file import Trace


@dataclass(frozen=True)
class LutActivity:
    """One LUT engine: tables of k entries built, entries looked up, sums that went onto partial sums."""

    tables: int
    """Tables built, one an element: tiles x rows x lanes."""
    look_ups: int
    accumulations: int
    """Sums of a tree that went onto a partial sum: look-ups / lanes."""
    lane_additions: int = 0
    """Operands added in the lanes of an engine of adders: k a look-up, or only those with a spike."""


@dataclass(frozen=True)
class Activity:
    """All operations of a training step. `synaptic_operations`: k for a look-up, 1 for a multiply-accumulate."""

    forward: LutActivity
    weight_update: LutActivity
    backward_macs: int
    backward_elements: int
    """Non-zero gradients that met a work item; each takes a row of weights."""
    neurons: int
    """Updates of a neuron in one timestep, those that are recomputed twice."""
    gradients: int
    """Gradients of a neuron in one timestep."""
    weights: int
    """Weights that the optimiser updates."""
    scaled_sums: int
    """Sums over bytes that pass the weight gradient unit."""
    transposed_bits: int
    """Bits of the words that pass the transposition unit, with those that fill up blocks and words."""
    synaptic_operations: int


def step_activity(trace: Trace, config: Config, result: SimulationResult, counts: StepCounts | None = None) -> Activity:
    """Return what happened in `result`, the simulation of `trace` on `config`."""
    counts = counts or StepCounts(trace)
    batches = micro_batches(trace.batch, config.arithmetic.micro_batch)
    recomputed = result.placement.recomputed
    forward = []
    for layer, plan in _plans(trace, config, batches, update=False):
        forward += [plan] * (2 if layer in recomputed else 1)
    hidden = trace.network.hidden
    update = list(_plans(trace, config, batches, update=True))
    return Activity(
        forward=replace(
            _lut_activity(forward, "forward", config, result),
            lane_additions=_lane_additions(trace, config, batches, counts, recomputed, update=False),
        ),
        weight_update=replace(
            _lut_activity([plan for _, plan in update], "weight_update", config, result),
            lane_additions=_lane_additions(trace, config, batches, counts, frozenset(), update=True),
        ),
        backward_macs=result.work["backward_macs"],
        backward_elements=_backward_elements(trace, config, batches, counts),
        neurons=_neurons(trace, hidden) + _neurons(trace, recomputed),
        gradients=_neurons(trace, hidden),
        weights=sum(layer.weights_count for layer in trace.network.layers),
        scaled_sums=sum(_sums(plan) for layer, plan in update if is_direct(trace.network, layer)),
        transposed_bits=sum(_transposed_bits(trace.network.layers[layer], plan, config) for layer, plan in update),
        synaptic_operations=sum(result.operations.values()),
    )


def _plans(
    trace: Trace, config: Config, batches: tuple[MicroBatch, ...], update: bool
) -> Iterator[tuple[int, LutPlan]]:
    """Yield the jobs of every layer and micro-batch of one LUT engine, as the engine plans them."""
    engine = config.weight_update_engine if update else config.forward_engine
    make_work, make_zero = (update_work, update_zero_tiles) if update else (forward_work, forward_zero_tiles)
    for batch in batches:
        for layer in range(len(trace.network.layers)) if update else trace.network.main:
            work = make_work(trace.network, layer, batch.count, config.contract)
            zero: ZeroTiles | None = None
            if config.lut.skip_zero_tiles:
                zero = make_zero(trace, layer, batch, config.contract)
            yield layer, plan_jobs(work, engine, config.engine_timing(engine), zero)


def _lut_activity(plans: list[LutPlan], name: str, config: Config, result: SimulationResult) -> LutActivity:
    lanes, look_ups = config.lut.lanes, result.work[f"{name}_look_ups"]
    rows = sum(len(job.tiles) * job.row_count for plan in plans for job in plan.jobs)
    return LutActivity(tables=rows * lanes, look_ups=look_ups, accumulations=look_ups // lanes)


def _lane_additions(
    trace: Trace,
    config: Config,
    batches: tuple[MicroBatch, ...],
    counts: StepCounts,
    recomputed: frozenset[int],
    update: bool,
) -> int:
    """Operands that lanes of adders add: every one, or those with a spike; none where lanes are tables."""
    engine = config.weight_update_engine if update else config.forward_engine
    if engine.element == LUT:
        return 0
    total = 0
    if engine.element == ADDERS:
        for layer, plan in _plans(trace, config, batches, update):
            look_ups = sum(len(job.tiles) * job.row_count * job.position_count for job in plan.jobs)
            total += (2 if layer in recomputed else 1) * look_ups * config.lut.lanes * config.lut.k
        return total
    network = trace.network
    for batch in batches:
        for layer in range(len(network.layers)) if update else network.main:
            ones = counts.ones(layer, batch, config.contract, update).total
            total += (2 if layer in recomputed else 1) * ones * network.layers[layer].out_channels
    return total


def _sums(plan: LutPlan) -> int:
    return sum(job.row_count * job.position_count for job in plan.jobs)


def _transposed_bits(layer: Layer, plan: LutPlan, config: Config) -> int:
    words = sum(
        len(job.tiles) * words_per_tile(layer, job.position_first, job.position_end, config) for job in plan.jobs
    )
    return words * transposition_geometry(config).width_bits


def _neurons(trace: Trace, layers: Iterable[int]) -> int:
    shapes = [trace.network.layers[layer] for layer in layers]
    per_sample = sum(layer.out_positions * layer.out_channels for layer in shapes)
    return trace.timesteps * trace.batch * per_sample


def _backward_elements(trace: Trace, config: Config, batches: tuple[MicroBatch, ...], counts: StepCounts) -> int:
    total = 0
    for batch in batches:
        for layer in trace.network.hidden:
            for step in range(1 if is_union(trace, layer) else trace.timesteps):
                items = counts.backward_items(layer, batch, step, config.backward_engine)
                tiles = items.active.shape[-1]
                items_of = items.active.reshape(-1, tiles) > 0  # channel tiles with an item, by position
                total += sum(int(items.elements(tile)[items_of[:, tile]].sum()) for tile in range(tiles))
    return total
