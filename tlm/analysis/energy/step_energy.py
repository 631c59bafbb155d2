"""The energy of one simulated training step, line by line: engines, vector units, buffers, DRAM, leakage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tlm.analysis.area import chip_area as area_model
from tlm.analysis.area.chip_area import ChipArea, chip_area
from tlm.analysis.energy.activity import Activity, LutActivity, step_activity
from tlm.analysis.energy.dram_energy import dram_lines
from tlm.analysis.energy.line import EnergyLine
from tlm.analysis.energy.unit_energy import UnitEnergy
from tlm.analysis.technology.constants import Constants, constants
from tlm.analysis.technology.range import Range
from tlm.config import LUT, Config
from tlm.schedule.step_counts import StepCounts
from tlm.simulation import SimulationResult, simulate
from workloads.trace_file import Trace

DRAM, LEAKAGE = "DRAM", "leakage"
GROUPS = (
    area_model.FORWARD,
    area_model.BACKWARD,
    area_model.UPDATE,
    area_model.VECTOR,
    area_model.BUFFERS,
    area_model.CONTROL,
    DRAM,
    LEAKAGE,
)
PJ_PER_W_PS = 1.0  # 1 W over 1 ps is 1 pJ


@dataclass(frozen=True)
class StepEnergy:
    """All lines of one training step, what it did, and how long it took."""

    lines: tuple[EnergyLine, ...]
    activity: Activity
    time_ps: int

    def __repr__(self) -> str:
        uj, time_us = self.energy_pj / 1e6, self.time_ps / 1e6
        return f"StepEnergy({uj.nominal:.3g} uJ ({uj.low:.3g} to {uj.high:.3g}) in {time_us:,.2f} us)"

    @property
    def energy_pj(self) -> Range:
        """The whole step."""
        return Range.total(line.energy_pj for line in self.lines)

    def group_pj(self, group: str) -> Range:
        """One of `GROUPS`."""
        return Range.total(line.energy_pj for line in self.lines if line.group == group)

    @property
    def chip_pj(self) -> Range:
        """The step without its DRAM."""
        return Range.total(line.energy_pj for line in self.lines if line.group != DRAM)

    @property
    def pj_per_operation(self) -> Range:
        """The whole step over its synaptic operations: k for a look-up, 1 for a multiply-accumulate."""
        return self.energy_pj / max(1, self.activity.synaptic_operations)

    @property
    def power_w(self) -> Range:
        """The step's energy over its time."""
        return self.energy_pj / self.time_ps


def energy_of_trace(trace: Trace, config: Config) -> tuple[SimulationResult, StepEnergy]:
    """Simulate the training step of `trace` on `config` and return its result and its energy.

    Raises InputError as `tlm.simulation.simulate` and `chip_area` do.
    """
    counts = StepCounts(trace)
    area = chip_area(config)
    result = simulate(trace, config, counts=counts)
    return result, step_energy(config, result, step_activity(trace, config, result, counts), area)


def step_energy(
    config: Config,
    result: SimulationResult,
    activity: Activity,
    area: ChipArea | None = None,
    table: Constants | None = None,
) -> StepEnergy:
    """Return the energy of a simulated step whose `activity` is known."""
    table = table or constants()
    area = area or chip_area(config, table)
    unit = UnitEnergy(table)
    lines = (
        *_lut_lines(area_model.FORWARD, "forward", activity.forward, config, unit),
        *_backward_lines(activity, config, unit),
        *_lut_lines(area_model.UPDATE, "weight_update", activity.weight_update, config, unit),
        *_vector_lines(activity, config, unit),
        *_register_lines(config, result, area, unit),
        *_buffer_lines(config, result, area, unit),
        *dram_lines(DRAM, config, result, table),
        *_leakage_lines(result, area, table),
    )
    return StepEnergy(lines, activity, result.time_ps)


def _lut_lines(group: str, name: str, did: LutActivity, config: Config, unit: UnitEnergy) -> Iterator[EnergyLine]:
    engine = config.forward_engine if name == "forward" else config.weight_update_engine
    value_bits, sum_bits = config.contract.value.width_bits, config.contract.sum.width_bits
    depth_bytes = engine.accumulator_depth * config.contract.sum.width_bytes
    if engine.element == LUT:
        yield EnergyLine(group, "tables built", did.tables, "table", unit.table_build(config))
        yield EnergyLine(group, "look-ups", did.look_ups, "entry read", unit.table_bits(value_bits))
    else:
        loaded = unit.table_bits(config.lut.k * value_bits)
        yield EnergyLine(group, "operands loaded", did.tables, "group", loaded)
        added = unit.add(config.contract.value) + unit.table_bits(value_bits)
        yield EnergyLine(group, "operands added", did.lane_additions, "operand read and added", added)
    # lanes - 1 additions in the tree and one onto the partial sum: as many as look-ups
    yield EnergyLine(group, "additions", did.look_ups, "addition", unit.add(config.contract.sum))
    accumulate = unit.sram_bits(2 * sum_bits, depth_bytes)
    yield EnergyLine(group, "accumulator memories", did.accumulations, "read and write", accumulate)


def _backward_lines(did: Activity, config: Config, unit: UnitEnergy) -> Iterator[EnergyLine]:
    value, total = config.contract.value, config.contract.sum
    group = area_model.BACKWARD
    multiply = unit.multiply(value) + unit.add(total)
    yield EnergyLine(group, "multiply-accumulates", did.backward_macs, "operation", multiply)
    sums = unit.table_bits(2 * total.width_bits)
    yield EnergyLine(group, "sums", did.backward_macs, "read and write", sums)
    row = unit.table_bits(config.backward_engine.channel_tile * value.width_bits)
    yield EnergyLine(group, "weight rows taken", did.backward_elements, "row", row)


def _vector_lines(did: Activity, config: Config, unit: UnitEnergy) -> Iterator[EnergyLine]:
    group = area_model.VECTOR
    yield EnergyLine(group, "neurons", did.neurons, "neuron and timestep", unit.neuron(config))
    yield EnergyLine(group, "gradients", did.gradients, "neuron and timestep", unit.gradient(config))
    yield EnergyLine(group, "weights", did.weights, "weight", unit.optimise(config))
    yield EnergyLine(group, "sums over bytes", did.scaled_sums, "sum", unit.scale_sum(config))
    registers = config.transposition_unit.latency_cycles
    yield EnergyLine(group, "transposition", did.transposed_bits, "bit", unit.flip_flop() * registers)


def _register_lines(config: Config, result: SimulationResult, area: ChipArea, unit: UnitEnergy) -> Iterator[EnergyLine]:
    """Flip-flops, clocked in the cycles in which their engine or unit is busy."""
    clocked = (
        (area_model.FORWARD, "rows", "forward"),
        (area_model.BACKWARD, "units", "backward"),
        (area_model.UPDATE, "rows", "weight_update"),
        (area_model.VECTOR, "neuron unit", "neuron"),
        (area_model.VECTOR, "gradient unit", "gradient"),
        (area_model.VECTOR, "optimiser unit", "optimiser"),
    )
    for group, component, engine in clocked:
        cycles = result.engines[engine].busy_ps // config.clock_period_ps
        each = unit.flip_flop() * area.component(group, component).flip_flops
        yield EnergyLine(group, f"registers of {component}", cycles, "busy cycle", each)
    control = area.component(area_model.CONTROL, "assumed share")
    yield EnergyLine(area_model.CONTROL, "registers", result.cycles, "cycle", unit.flip_flop() * control.flip_flops)


def _buffer_lines(config: Config, result: SimulationResult, area: ChipArea, unit: UnitEnergy) -> Iterator[EnergyLine]:
    for name, use in result.buffer_ports.items():
        shown = name.replace("_", " ")
        capacity_bytes = getattr(config.buffers, f"{name}_bytes")
        area_mm2 = area.component(area_model.BUFFERS, shown).area_mm2
        each = unit.buffer_byte(capacity_bytes, getattr(config.buffer_ports, name).banks, area_mm2)
        yield EnergyLine(area_model.BUFFERS, shown, use.moved_bytes, "byte", each)


def _leakage_lines(result: SimulationResult, area: ChipArea, table: Constants) -> Iterator[EnergyLine]:
    for group in area_model.GROUPS:
        watts = table.range("leakage") * area.group_mm2(group)
        yield EnergyLine(LEAKAGE, group, result.time_ps, "ps", watts * PJ_PER_W_PS)
