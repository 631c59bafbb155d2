"""Every count of a step's activity against a closed form, or a count by hand, from the trace's own tensors."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pytest

from tests.end_to_end.steps import BATCH, make_record, make_trace, tiny_config
from tlm.analysis.energy.activity import Activity, step_activity
from tlm.config import Config
from tlm.schedule.backward_items import is_union, step_operands
from tlm.schedule.backward_tasks import backward_tasks
from tlm.simulation import SimulationResult, simulate
from workloads.network import Layer

Step = tuple[str, str, int]
STEPS: list[Step] = [
    ("spikes", "conv", 3),
    ("direct", "conv", 3),
    ("signed", "conv", 2),
    ("spikes", "linear", 2),
    ("direct", "pool", 2),
]
LANES, K, CHANNEL_TILE = 2, 3, 2
BLOCKS = 4  # of 3 x 3 bits in 40 that the transposition unit takes at once
DEEP = (  # one array whose accumulators hold every position: one position block
    "forward_engine={arrays: 1, rows: 2, accumulator_depth: 4096}",
    "weight_update_engine={arrays: 1, rows: 3, accumulator_depth: 4096}",
    "transposition_unit={width: 40, latency_cycles: 2}",
)


@cache
def run(step: Step, *overrides: str) -> tuple[Config, SimulationResult, Activity]:
    config = tiny_config(*DEEP, *overrides)
    trace = make_trace(*step)
    result = simulate(trace, config)
    return config, result, step_activity(trace, config, result)


def batches() -> list[slice]:
    return [slice(first, min(first + 2, BATCH)) for first in range(0, BATCH, 2)]


def direct(step: Step, index: int) -> bool:
    return index == 0 and step[0] != "spikes"


def forward_tiles(step: Step, index: int, layer: Layer) -> int:
    """Tiles of one position: taps x channels in groups of k, groups in tiles of G lanes, bytes in eight planes.

    With pooling, for every position of the window.
    """
    groups = layer.kernel_height * layer.kernel_width * -(-layer.in_channels // K)
    return layer.pool * layer.pool * -(-groups // LANES) * (8 if direct(step, index) else 1)


def update_tiles(step: Step, index: int, layer: Layer, samples: int) -> int:
    """Tiles of one element: points of a micro-batch in groups of k, padded by plane; a linear layer's run on."""
    planes = samples * (1 if direct(step, index) else step[2])
    groups = -(-planes // K) if layer.fully_connected else planes * -(-layer.conv_positions // K)
    return -(-groups // LANES) * (8 if direct(step, index) else 1)


def forward_positions(step: Step, index: int, layer: Layer, samples: int) -> int:
    return samples * layer.out_positions * (1 if direct(step, index) else step[2])


@pytest.mark.parametrize("step", STEPS)
def test_look_ups_and_tables_of_the_forward_engine(step: Step) -> None:
    _, _, activity = run(step)
    layers = make_trace(*step).network.layers
    look_ups = tables = 0
    for index, layer in enumerate(layers):
        for batch in batches():
            samples = batch.stop - batch.start
            rows_and_tiles = layer.out_channels * forward_tiles(step, index, layer)
            look_ups += rows_and_tiles * forward_positions(step, index, layer, samples) * LANES
            tables += rows_and_tiles * LANES
    assert activity.forward.look_ups == look_ups
    assert activity.forward.tables == tables
    assert activity.forward.accumulations == look_ups // LANES


@pytest.mark.parametrize("step", STEPS)
def test_look_ups_and_tables_of_the_update_engine(step: Step) -> None:
    _, _, activity = run(step)
    look_ups = tables = bits = sums = 0
    for index, layer in enumerate(make_trace(*step).network.layers):
        row_blocks = -(-layer.out_channels // 3)
        for batch in batches():
            tiles = update_tiles(step, index, layer, batch.stop - batch.start)
            tables += layer.out_channels * tiles * LANES
            look_ups += layer.out_channels * tiles * layer.elements * LANES
            blocks = layer.kernel_height * layer.kernel_width * -(-layer.in_channels // K) * LANES
            bits += row_blocks * tiles * -(-blocks // BLOCKS) * BLOCKS * K * K  # all elements in one position block
            sums += layer.out_channels * layer.elements if direct(step, index) else 0
    assert activity.weight_update.look_ups == look_ups
    assert activity.weight_update.tables == tables
    assert activity.transposed_bits == bits
    assert activity.scaled_sums == sums


def visits(step: Step) -> list[tuple[int, int, int]]:
    """(gradients in reach, outputs wanted, channel tiles with an output wanted) of every position, sum by sum."""
    record = make_record(*step)
    layers, last = record.network.layers, len(record.network.layers) - 1
    found = []
    for index in range(last):
        upper = layers[index + 1]
        timesteps = range(1) if index == last - 1 else range(step[2])
        for t, b, y, x in product(timesteps, range(BATCH), range(upper.in_height), range(upper.in_width)):
            masks = record.layers[index].masks
            mask = masks[:, b, y, x].max(axis=0) if index == last - 1 else masks[t, b, y, x]
            above = record.layers[index + 1].gradients
            plane = above[b] if index == last - 1 else above[t, b]
            plane = plane.reshape(upper.out_height, upper.out_width, upper.out_channels)
            reach = 0
            for r, s in product(range(upper.kernel_height), range(upper.kernel_width)):
                oy, odd_y = divmod(y + upper.padding - r, upper.stride)
                ox, odd_x = divmod(x + upper.padding - s, upper.stride)
                oy, ox = oy // upper.pool, ox // upper.pool
                if not odd_y and not odd_x and 0 <= oy < upper.out_height and 0 <= ox < upper.out_width:
                    reach += int(np.count_nonzero(plane[oy, ox]))
            tiles = {channel // CHANNEL_TILE for channel in np.flatnonzero(mask)}
            found.append((reach, int(np.count_nonzero(mask)), len(tiles)))
    return found


@pytest.mark.parametrize("step", STEPS)
def test_backward_work_is_that_of_the_non_zero_gradients_and_active_masks(step: Step) -> None:
    _, _, activity = run(step)
    found = visits(step)
    assert activity.backward_macs == sum(reach * wanted for reach, wanted, _ in found)
    assert activity.backward_elements == sum(reach * tiles for reach, _, tiles in found)
    assert activity.backward_macs > 0


@pytest.mark.parametrize("step", STEPS)
def test_vector_operations(step: Step) -> None:
    _, _, activity = run(step)
    layers = make_trace(*step).network.layers
    outputs = [layer.out_height * layer.out_width * layer.out_channels for layer in layers]
    assert activity.neurons == activity.gradients == step[2] * BATCH * sum(outputs[:-1])
    elements = [layer.kernel_height * layer.kernel_width * layer.in_channels for layer in layers]
    assert activity.weights == sum(c.out_channels * e for c, e in zip(layers, elements, strict=True))


@pytest.mark.parametrize("step", STEPS)
def test_synaptic_operations(step: Step) -> None:
    _, _, activity = run(step)
    look_ups = activity.forward.look_ups + activity.weight_update.look_ups
    assert activity.synaptic_operations == K * look_ups + activity.backward_macs


def test_bytes_through_the_ports_of_every_buffer() -> None:
    """A linear network whose tensors all stay on the chip: 24 inputs, 7 neurons, 3 classes, 2 timesteps, 5 samples."""
    step: Step = ("spikes", "linear", 2)
    _, result, activity = run(step)
    record = make_record(*step)
    moved = {name: use.moved_bytes for name, use in result.buffer_ports.items()}
    read, written = result.dram_read_bytes, result.dram_written_bytes
    weights, value_bytes, sum_bytes = 24 * 7 + 7 * 3, 2, 4
    # tables, weight rows of 2 channels or the 1 that is left of 7, the optimiser's result, DMA
    rows = sum(
        reach * min(CHANNEL_TILE, 7 - first)
        for (reach, _, _), mask in zip(visits(step), record.layers[0].masks.max(axis=0).reshape(5, 7), strict=True)
        for first in range(0, 7, CHANNEL_TILE)
        if mask[first : first + CHANNEL_TILE].any()
    )
    tables = K * activity.forward.tables + rows + weights
    assert moved["weights"] == value_bytes * tables + read["weights"] + written["weights"]
    # sums of the forward pass are written and read once
    assert moved["output"] == 2 * sum_bytes * 2 * BATCH * (7 + 3)
    # the hidden layer's backward sums, once for both timesteps; the gradient unit takes them in without its ports
    assert moved["backward_sums"] == sum_bytes * BATCH * 7
    # dW of every micro-batch written, of all but the first read; 8 bytes of state in and out, dW in; DMA
    sums = sum_bytes * weights * (3 + 2)
    optimiser = weights * (8 + 8 + sum_bytes)
    state = read["optimiser_state"] + written["optimiser_state"]
    assert moved["partial_sums"] == sums + optimiser + state


def test_bytes_of_spikes_potentials_and_gradients() -> None:
    """The same network: 7 and 3 rows in blocks of 2 (forward) and 3 (update), every transfer in whole bytes."""
    step: Step = ("spikes", "linear", 2)
    _, result, activity = run(step)
    record = make_record(*step)
    moved = {name: use.moved_bytes for name, use in result.buffer_ports.items()}
    timesteps, value_bytes, hidden = 2, 2, 7
    forward_rows, update_rows = (2, 2, 2, 1), (3, 3, 1)

    def whole(bits: int) -> int:
        return -(-bits // 8)

    spikes, potentials = result.dram_read_bytes["inputs"], 0
    for samples in (2, 2, 1):
        positions = timesteps * samples
        # indices of 6 and 2 tiles for 4 and 2 row blocks; transposed ones for 3 and 1
        spikes += (4 * 6 + 2 * 2) * whole(positions * K * LANES)
        groups = -(-positions // K)
        tiles = -(-groups // LANES)
        spikes += tiles * (len(update_rows) * whole(24 * K * LANES) + whole(hidden * K * LANES))
        for rows in forward_rows:  # spikes, masks and potentials out; those of the first timestep in again
            later = rows * (positions - samples)
            spikes += whole(rows * positions) + whole(later)
            potentials += value_bytes * rows * positions + whole(rows * positions) + value_bytes * later
        # the gradient unit reads spikes, masks and potentials of every timestep
        spikes += timesteps * whole(hidden * samples)
        potentials += timesteps * (value_bytes * hidden * samples + whole(hidden * samples))
    potentials += BATCH * 4  # a mask for each of the 4 channel tiles' sums
    assert moved["spikes"] == spikes
    assert moved["potentials"] == potentials

    gradients = record.layers[0].gradients.reshape(timesteps, BATCH, hidden)
    compressed = timesteps * BATCH + value_bytes * int(np.count_nonzero(gradients))  # a bitmap of 7 is one byte
    later = value_bytes * hidden * BATCH  # du of the last timestep, for the one before
    tables = value_bytes * K * activity.weight_update.tables
    assert moved["gradients"] == tables + value_bytes * activity.backward_elements + later + compressed


def test_another_number_of_jobs_builds_more_tables_and_looks_up_as_often() -> None:
    _, _, one = run(("spikes", "conv", 3))
    _, _, many = run(("spikes", "conv", 3), "forward_engine={arrays: 2, rows: 2, accumulator_depth: 16}")
    assert many.forward.tables > one.forward.tables
    assert many.forward.look_ups == one.forward.look_ups


@pytest.mark.parametrize("step", STEPS)
def test_recomputed_layers_count_twice(step: Step) -> None:
    """All hidden layers are made again: their tables, look-ups and neurons, but no gradients."""
    _, stored_result, stored = run(step)
    _, result, again = run(step, "potentials=recompute")
    layers = make_trace(*step).network.layers
    assert (again.neurons, again.gradients) == (2 * stored.neurons, stored.gradients)
    last = layers[-1].out_channels * forward_tiles(step, len(layers) - 1, layers[-1]) * LANES
    assert again.forward.tables == 2 * stored.forward.tables - 3 * last
    assert again.forward.look_ups == 2 * stored.forward.look_ups - last * step[2] * BATCH
    assert again.forward.look_ups == result.work["forward_look_ups"] > stored_result.work["forward_look_ups"]
    assert again.weight_update == stored.weight_update
    assert again.backward_macs == stored.backward_macs


def test_skipped_tiles_are_not_counted() -> None:
    small = (
        "forward_engine={arrays: 2, rows: 2, accumulator_depth: 4}",
        "weight_update_engine={arrays: 2, rows: 2, accumulator_depth: 4}",
    )
    _, result, skipping = run(("signed", "conv", 2), *small, "lut.skip_zero_tiles=true")
    _, _, plain = run(("signed", "conv", 2), *small)
    assert skipping.forward.look_ups == result.work["forward_look_ups"] < plain.forward.look_ups
    assert skipping.forward.tables < plain.forward.tables
    assert skipping.transposed_bits < plain.transposed_bits


def test_work_of_shortcuts_is_that_of_what_the_units_are_fed() -> None:
    """Elements of the backward units, and the tiles of projections and biases among those of the layers they join."""
    config, _, activity = run(("spikes", "residual", 2))
    trace = make_trace("spikes", "residual", 2)
    elements = 0
    for layer, samples in product(trace.network.hidden, batches()):
        for step in range(1 if is_union(trace, layer) else 2):
            consumers, masks = step_operands(trace, layer, samples, step, weights=True)
            for tile in range(-(-trace.network.layers[layer].out_channels // CHANNEL_TILE)):
                elements += sum(len(t.task.values) for t in backward_tasks(consumers, masks, config, tile))
    assert activity.backward_elements == elements > 0
    tiles = [forward_tiles(("spikes", "", 2), 1, layer) for layer in trace.network.layers]
    positions = [2 * BATCH * layer.out_positions * layer.out_channels for layer in trace.network.layers]
    assert activity.forward.look_ups == LANES * sum(n * count for n, count in zip(tiles, positions, strict=True))
    assert activity.weights == sum(layer.weights_count for layer in trace.network.layers)


def test_the_ablation_without_skips_counts_every_output() -> None:
    off = ("backward_engine.skip_zero_gradients=false", "backward_engine.skip_inactive_outputs=false")
    _, _, dense = run(("spikes", "linear", 2), *off)
    assert dense.backward_macs == BATCH * 7 * 3
    assert dense.backward_elements == BATCH * 3 * 4  # channel tiles of 7 channels
