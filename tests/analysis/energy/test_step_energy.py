"""The energy of a step: additive, each line its count times its cost, more work or time more energy."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtl_models.formats import BINARY16, BINARY32
from rtl_models.reference.packing import forward_indices
from tests.end_to_end.steps import make_trace, tiny_config
from tlm.analysis.area.chip_area import BACKWARD, BUFFERS, CONTROL, FORWARD, UPDATE, VECTOR, chip_area
from tlm.analysis.energy.dram_energy import command_counts
from tlm.analysis.energy.report import describe_energy
from tlm.analysis.energy.step_energy import DRAM, GROUPS, LEAKAGE, StepEnergy, energy_of_trace, step_energy
from tlm.analysis.energy.unit_energy import UnitEnergy
from tlm.analysis.technology.constants import constants
from tlm.analysis.technology.range import Range
from tlm.config import Config
from tlm.schedule.geometry import micro_batches
from tlm.schedule.zero_tiles import layer_planes
from tlm.simulation import SimulationResult

BANKED = ("dram={model: banked, standard: HBM2, controller: mop4clxor, channels: 2, interleave_bytes: 64}",)
STEP = ("direct", "conv", 3)


@cache
def run(*overrides: str) -> tuple[Config, SimulationResult, StepEnergy]:
    config = tiny_config(*overrides)
    result, energy = energy_of_trace(make_trace(*STEP), config)
    return config, result, energy


def line_pj(energy: StepEnergy, group: str, name: str) -> float:
    (found,) = [line for line in energy.lines if (line.group, line.name) == (group, name)]
    return found.energy_pj.nominal


def test_the_sums_are_those_of_the_lines() -> None:
    _, _, energy = run()
    for end in ("low", "nominal", "high"):
        total = sum(getattr(line.energy_pj, end) for line in energy.lines)
        assert getattr(energy.energy_pj, end) == pytest.approx(total)
        assert sum(getattr(energy.group_pj(group), end) for group in GROUPS) == pytest.approx(total)
        dram = getattr(energy.group_pj(DRAM), end)
        assert getattr(energy.chip_pj, end) == pytest.approx(total - dram)
    for line in energy.lines:
        assert line.energy_pj == line.each_pj * line.count
        assert line.group in GROUPS


def test_every_line_stands_there_once() -> None:
    _, _, energy = run()
    assert set(Counter((line.group, line.name) for line in energy.lines).values()) == {1}


def test_counts_are_those_of_the_simulation() -> None:
    config, result, energy = run()
    counts = {(line.group, line.name): line.count for line in energy.lines}
    assert counts["forward engine", "look-ups"] == result.work["forward_look_ups"]
    assert counts["forward engine", "additions"] == result.work["forward_look_ups"]
    assert counts["weight update engine", "look-ups"] == result.work["weight_update_look_ups"]
    assert counts["backward engine", "multiply-accumulates"] == result.work["backward_macs"]
    for name, use in result.buffer_ports.items():
        assert counts["buffers", name.replace("_", " ")] == use.moved_bytes
    busy = result.engines["backward"].busy_ps // config.clock_period_ps
    assert counts["backward engine", "registers of units"] == busy


def test_lines_of_the_engines_and_units() -> None:
    """Every line but those of buffers, DRAM and leakage, its count and what one of it costs (docs/energy.md)."""
    config, result, energy = run()
    did = replace(energy.activity, gradients=energy.activity.gradients - 1)  # as where neurons are computed twice
    energy, unit, area = step_energy(config, result, did), UnitEnergy(constants()), chip_area(config)
    expected: dict[tuple[str, str], tuple[int, Range]] = {}
    for group, name, engine in ((FORWARD, "forward", did.forward), (UPDATE, "weight_update", did.weight_update)):
        depth = getattr(config, f"{name}_engine").accumulator_depth
        expected |= {
            (group, "tables built"): (engine.tables, unit.table_build(config)),
            (group, "look-ups"): (engine.look_ups, unit.table_bits(16)),
            (group, "additions"): (engine.look_ups, unit.add(BINARY32)),
            (group, "accumulator memories"): (engine.look_ups // config.lut.lanes, unit.sram_bits(2 * 32, depth * 4)),
        }
    multiply = unit.multiply(BINARY16) + unit.add(BINARY32)
    row = unit.table_bits(config.backward_engine.channel_tile * 16)
    expected |= {
        (BACKWARD, "multiply-accumulates"): (did.backward_macs, multiply),
        (BACKWARD, "sums"): (did.backward_macs, unit.table_bits(2 * 32)),
        (BACKWARD, "weight rows taken"): (did.backward_elements, row),
        (VECTOR, "neurons"): (did.neurons, unit.neuron(config)),
        (VECTOR, "gradients"): (did.gradients, unit.gradient(config)),
        (VECTOR, "weights"): (did.weights, unit.optimise(config)),
        (VECTOR, "sums over bytes"): (did.scaled_sums, unit.scale_sum(config)),
        (VECTOR, "transposition"): (did.transposed_bits, unit.flip_flop() * config.transposition_unit.latency_cycles),
    }
    for group, component, busy in (
        (FORWARD, "rows", "forward"),
        (BACKWARD, "units", "backward"),
        (UPDATE, "rows", "weight_update"),
        (VECTOR, "neuron unit", "neuron"),
        (VECTOR, "gradient unit", "gradient"),
        (VECTOR, "optimiser unit", "optimiser"),
    ):
        cycles = result.engines[busy].busy_ps // config.clock_period_ps
        expected[group, f"registers of {component}"] = (
            cycles,
            unit.flip_flop() * area.component(group, component).flip_flops,
        )
    control = unit.flip_flop() * area.component(CONTROL, "assumed share").flip_flops
    expected[CONTROL, "registers"] = (result.cycles, control)
    others = (BUFFERS, DRAM, LEAKAGE)
    found = {(line.group, line.name): (line.count, line.each_pj) for line in energy.lines if line.group not in others}
    assert found == expected
    assert all(count > 0 for count, _ in found.values())


def test_a_byte_of_every_buffer_costs_by_its_size_and_banks() -> None:
    config, result, energy = run()
    unit, area = UnitEnergy(constants()), chip_area(config)
    found = {line.name: line.each_pj for line in energy.lines if line.group == BUFFERS}
    assert found.keys() == {name.replace("_", " ") for name in result.buffer_ports}
    for name in result.buffer_ports:
        size, banks = getattr(config.buffers, f"{name}_bytes"), getattr(config.buffer_ports, name).banks
        shown = name.replace("_", " ")
        assert found[shown] == unit.buffer_byte(size, banks, area.component(BUFFERS, shown).area_mm2)


def test_operands_of_adders() -> None:
    config, _, energy = run("forward_engine.element=adders")
    unit, did = UnitEnergy(constants()), energy.activity.forward
    lines = {line.name: (line.count, line.each_pj) for line in energy.lines if line.group == FORWARD}
    assert lines["operands loaded"] == (did.tables, unit.table_bits(config.lut.k * 16))
    assert lines["operands added"] == (did.lane_additions, unit.add(BINARY16) + unit.table_bits(16))


def test_ratios() -> None:
    _, result, energy = run()
    operations = sum(result.operations.values())
    assert energy.pj_per_operation.nominal == pytest.approx(energy.energy_pj.nominal / operations)
    assert energy.power_w.nominal == pytest.approx(energy.energy_pj.nominal / result.time_ps)


def test_leakage_is_area_times_time() -> None:
    config, result, energy = run()
    watts = constants().range("leakage").nominal * chip_area(config).area_mm2.nominal
    assert energy.group_pj(LEAKAGE).nominal == pytest.approx(watts * result.time_ps)


@given(st.sampled_from(["backward_macs", "backward_elements", "neurons", "weights", "scaled_sums", "transposed_bits"]))
def test_more_of_an_operation_takes_more(name: str) -> None:
    config, result, energy = run()
    more = replace(energy.activity, **{name: getattr(energy.activity, name) + 1000})  # type: ignore[arg-type]
    assert step_energy(config, result, more).energy_pj.nominal > energy.energy_pj.nominal


def test_two_steps_take_the_sum_of_both() -> None:
    """Twice the counts and the time: twice the energy, line by line."""
    config, result, energy = run()
    did = energy.activity
    twice = replace(
        did,
        forward=replace(did.forward, **{name: 2 * value for name, value in vars(did.forward).items()}),
        weight_update=replace(did.weight_update, **{n: 2 * value for n, value in vars(did.weight_update).items()}),
        **{name: 2 * value for name, value in vars(did).items() if isinstance(value, int)},
    )
    longer = replace(
        result,
        time_ps=2 * result.time_ps,
        engines={name: replace(time, busy_ps=2 * time.busy_ps) for name, time in result.engines.items()},
        buffer_ports={name: replace(use, moved_bytes=2 * use.moved_bytes) for name, use in result.buffer_ports.items()},
        dram_burst_read_bytes={name: 2 * size for name, size in result.dram_burst_read_bytes.items()},
        dram_burst_written_bytes={name: 2 * size for name, size in result.dram_burst_written_bytes.items()},
    )
    found = step_energy(config, longer, twice)
    for before, after in zip(energy.lines, found.lines, strict=True):
        assert after.energy_pj.nominal == pytest.approx(2 * before.energy_pj.nominal, rel=1e-3), after.name


class TestDram:
    def test_flat_memory_is_priced_by_the_byte(self) -> None:
        _, result, energy = run()
        assert not command_counts(result)
        moved = sum(result.dram_burst_read_bytes.values()) + sum(result.dram_burst_written_bytes.values())
        assert line_pj(energy, DRAM, "data and rows") == pytest.approx(moved * 8 * 3.92)
        assert line_pj(energy, DRAM, "standby") == pytest.approx(result.time_ps * 2 * 0.057)

    def test_banked_memory_is_priced_by_its_commands(self) -> None:
        _, result, energy = run(*BANKED)
        commands = command_counts(result)
        assert commands["ACT"] > 0
        assert line_pj(energy, DRAM, "rows activated") == pytest.approx(909 * commands["ACT"])
        bursts = commands["RD"] + commands["RDA"] + commands["WR"] + commands["WRA"]
        moved = sum(result.dram_burst_read_bytes.values()) + sum(result.dram_burst_written_bytes.values())
        assert 0.9 * moved < 32 * bursts <= moved  # a few reads find their data among the waiting writes
        assert line_pj(energy, DRAM, "data") == pytest.approx(bursts * 32 * 8 * 2.71)
        assert line_pj(energy, DRAM, "refreshes") == pytest.approx(commands["REFAB"] * 60.8e3 / 2)
        assert line_pj(energy, DRAM, "refreshes by bank") == pytest.approx(commands["REFPB"] * 60.8e3 / 32)

    def test_every_command_that_moves_data_counts(self) -> None:
        config, result, energy = run(*BANKED)
        commands = {"ACT": 3, "RD": 1, "RDA": 10, "WR": 100, "WRA": 1000, "REFAB": 5, "REFPB": 7}
        only = replace(result, dram_channels=[replace(result.dram_channels[0], commands=Counter(commands))])
        lines = {
            line.name: line.count for line in step_energy(config, only, energy.activity).lines if line.group == DRAM
        }
        assert lines.pop("standby") == result.time_ps
        assert lines == {"rows activated": 3, "data": 1111 * 32, "refreshes": 5, "refreshes by bank": 7}

    @pytest.mark.parametrize(("standard", "pj_per_bit"), [("DDR4", 17.5), ("LPDDR5", 8), ("HBM3", 3.44)])
    def test_other_standards_are_priced_by_the_byte(self, standard: str, pj_per_bit: float) -> None:
        config, result, energy = run(*BANKED)
        other = config.model_copy(update={"dram": config.dram.model_copy(update={"standard": standard})})
        found = step_energy(other, result, energy.activity)
        moved = sum(result.dram_burst_read_bytes.values()) + sum(result.dram_burst_written_bytes.values())
        assert line_pj(found, DRAM, "data and rows") == pytest.approx(moved * 8 * pj_per_bit)
        assert line_pj(found, DRAM, "standby") == pytest.approx(result.time_ps * 2 * 0.1)


def test_the_description_holds_the_same_numbers() -> None:
    _, result, energy = run()
    described = describe_energy(energy)
    assert described["energy_pj"] == energy.energy_pj.to_dict()
    assert sum(line["energy_pj"]["nominal"] for line in described["lines"]) == pytest.approx(energy.energy_pj.nominal)
    assert described["activity"]["forward"]["look_ups"] == result.work["forward_look_ups"]
    assert described["time_ps"] == result.time_ps


@pytest.mark.parametrize(("element", "share"), [("adders", 1.0), ("zero_skipping_adders", None)])
def test_adders_add_operands_instead_of_building_tables(element: str, share: float | None) -> None:
    config, result, energy = run(f"forward_engine.element={element}")
    names = {line.name for line in energy.lines if line.group == FORWARD}
    assert not {"tables built", "look-ups"} & names
    (added,) = [line for line in energy.lines if (line.group, line.name) == (FORWARD, "operands added")]
    operands = result.work["forward_look_ups"] * config.lut.k
    assert added.count == operands * share if share else 0 < added.count < operands
    assert {line.name for line in energy.lines if line.group == UPDATE} >= {"tables built", "look-ups"}
    assert energy.activity.weight_update.lane_additions == 0


@pytest.mark.parametrize("step", [STEP, ("spikes", "residual", 2)])
def test_zero_skipping_adders_add_once_a_spike(step: tuple[str, str, int]) -> None:
    """Every spike of the receptive fields, times the rows, projections and biases once: from the trace's own spikes."""
    trace, config = make_trace(*step), tiny_config("forward_engine.element=zero_skipping_adders")
    _, energy = energy_of_trace(trace, config)
    total = 0
    for batch in micro_batches(trace.batch, 2):
        for layer, shape in enumerate(trace.network.layers):
            planes = (forward_indices(shape, s, 3, 2) for s in layer_planes(trace, layer, batch.samples))
            total += shape.out_channels * sum(int(np.bitwise_count(plane).sum()) for plane in planes)
    assert energy.activity.forward.lane_additions == total
    assert config.contract.k == 3
