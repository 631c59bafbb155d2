"""The area of a configuration: blocks by their transistors, memories by their bits, the DRAM interface."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rtl_models.errors import InputError
from tlm.analysis.area.backward_size import backward_size
from tlm.analysis.area.component import NOTHING, Component, latches, logic, sram
from tlm.analysis.area.row_size import row_size
from tlm.analysis.area.transposition_size import transposition_size
from tlm.analysis.area.vector_size import vector_size
from tlm.analysis.technology.constants import Constants, constants
from tlm.analysis.technology.range import Range
from tlm.config import LUT, BufferPortsConfig, Config, LutEngineConfig
from tlm.memory.standard import load_standard
from tlm.rtl_geometry import backward_geometry, row_geometry, transposition_geometry

CHANNELS_PER_STACK = {"HBM2": 8, "HBM3": 16}
"""JEDEC JESD235A and JESD238: channels of one stack."""
OTHER_INTERFACES = {"DDR4": ("ddr4_interface", 64), "LPDDR5": ("lpddr5_interface", 16)}
"""Families without stacks: the constant, and how many data bits wide the channel is that it stands for."""
BYTE_BITS = 8
FORWARD, UPDATE, BACKWARD = "forward engine", "weight update engine", "backward engine"
VECTOR, BUFFERS, CONTROL, INTERFACE = "vector units", "buffers", "control and interconnect", "DRAM interface"
GROUPS = (FORWARD, BACKWARD, UPDATE, VECTOR, BUFFERS, CONTROL, INTERFACE)


@dataclass(frozen=True)
class ChipArea:
    """All components of a chip, and their sums."""

    components: tuple[Component, ...]

    def __repr__(self) -> str:
        area, parts = self.area_mm2, len(self.components)
        return f"ChipArea({area.nominal:.2f} mm2 ({area.low:.2f} to {area.high:.2f}), {parts} components)"

    @property
    def area_mm2(self) -> Range:
        """The whole chip."""
        return Range.total(component.area_mm2 for component in self.components)

    @property
    def transistors(self) -> Range:
        """All transistors but those of the DRAM interface, whose circuits are analogue."""
        return Range.total(component.transistors for component in self.components)

    @property
    def memory_bits(self) -> int:
        """Bits of all memories."""
        return sum(component.bits for component in self.components)

    def group_mm2(self, group: str) -> Range:
        """The area of one of `GROUPS`."""
        return Range.total(c.area_mm2 for c in self.components if c.group == group)

    def component(self, group: str, name: str) -> Component:
        """Return one component; raises InputError for one that the chip does not have."""
        for found in self.components:
            if (found.group, found.name) == (group, name):
                return found
        names = "; ".join(f"{c.group}: {c.name}" for c in self.components)
        raise InputError("no such component", "area", f"{group}: {name}", names)


def chip_area(config: Config, table: Constants | None = None) -> ChipArea:
    """Return the area of a configuration at 28 nm.

    Raises InputError for number formats whose units were not synthesised, and for an unknown DRAM standard.
    """
    table = table or constants()
    parts = [
        *_lut_engine(FORWARD, config.forward_engine, config, table),
        *_backward_engine(config, table),
        *_lut_engine(UPDATE, config.weight_update_engine, config, table),
        *_vector_units(config, table),
        *_buffers(config, table),
    ]
    made = Range.total(part.transistors for part in parts if part.bits == 0)
    flip_flops = sum(part.flip_flops for part in parts)
    return ChipArea((*parts, _control(made, flip_flops, table), _interface(config, table)))


def check_budget(area: ChipArea, budget_mm2: float, where: str) -> None:
    """Raise InputError, naming both, if the nominal area is larger than `budget_mm2`."""
    found = area.area_mm2
    if found.nominal > budget_mm2:
        what = f"the chip takes {found.nominal:.1f} mm2 ({found.low:.1f} to {found.high:.1f}), more than its budget"
        raise InputError(what, where, f"{budget_mm2:g} mm2", f"{found.nominal:.1f} mm2 or more, or a smaller chip")


def _lut_engine(group: str, engine: LutEngineConfig, config: Config, table: Constants) -> Iterator[Component]:
    rows = engine.arrays * engine.rows
    size = row_size(row_geometry(config, engine.accumulator_depth))
    yield logic(group, "rows", rows, size, table, "fit of synthesised rows, memories out")
    if engine.element == LUT:
        yield latches(group, "tables", rows, size.latch_bits, table)
    else:  # no tables: a lane holds two groups of operands, one in use and one being loaded
        operand_bits = 2 * config.lut.k * config.lut.lanes * config.contract.value.width_bits
        yield latches(group, "operands", rows, operand_bits, table)
    yield sram(group, "accumulator memories", rows, size.sram_bits, 2, "small_array_efficiency", table)


def _backward_engine(config: Config, table: Constants) -> Iterator[Component]:
    size = backward_size(backward_geometry(config))
    units = config.backward_engine.units
    yield logic(BACKWARD, "units", units, size, table, "fit of synthesised units, memories out")
    yield latches(BACKWARD, "lists and sums", units, size.latch_bits, table)


def _vector_units(config: Config, table: Constants) -> Iterator[Component]:
    value, total = config.contract.value, config.contract.sum
    update = config.weight_update_engine
    lanes = {
        "neuron_unit": (config.neuron_unit.width, config.neuron_unit.latency_cycles),
        "gradient_unit": (config.gradient_unit.width, config.gradient_unit.latency_cycles),
        "optimiser_unit": (config.optimiser_unit.width, config.optimiser_unit.latency_cycles),
        # one a row of the update engine, for sums over bytes; its latency is the gradient unit's (docs/timing.md)
        "weight_gradient_unit": (update.arrays * update.rows, config.gradient_unit.latency_cycles),
    }
    for block, (count, latency_cycles) in lanes.items():
        any_reset = config.neuron_unit.any_reset and block in ("neuron_unit", "gradient_unit")
        size = vector_size(block, value, total, latency_cycles, any_reset)
        yield logic(VECTOR, block.replace("_", " "), count, size, table, "synthesised")
    size = transposition_size(transposition_geometry(config))
    yield logic(VECTOR, "transposition unit", 1, size, table, "fit of synthesised units")


def _buffers(config: Config, table: Constants) -> Iterator[Component]:
    for name in BufferPortsConfig.model_fields:
        ports = getattr(config.buffer_ports, name)
        bits = getattr(config.buffers, f"{name}_bytes") * BYTE_BITS
        yield sram(BUFFERS, name.replace("_", " "), 1, bits, ports.ports, "sram_array_efficiency", table)


def _control(made: Range, flip_flops: float, table: Constants) -> Component:
    share = table.range("control_share")
    transistors = made * share
    area = transistors / table.range("logic_density")
    return Component(
        CONTROL, "assumed share", 1, transistors, 0, flip_flops * share.nominal, area, "share of the logic"
    )


def _interface(config: Config, table: Constants) -> Component:
    standard = load_standard(config.dram.standard)
    channels = config.dram.channels
    if standard.family in CHANNELS_PER_STACK:
        count = -(-channels // CHANNELS_PER_STACK[standard.family])
        name, area = f"{standard.family} stacks", table.range("hbm_interface") * count
    else:
        constant, width_bits = OTHER_INTERFACES[standard.family]
        count = channels
        name = f"{standard.family} channels"
        area = table.range(constant) * (channels * standard.organisation.channel_width_bits / width_bits)
    return Component(INTERFACE, name, count, NOTHING, 0, 0.0, area, "die photographs of 28 nm GPUs")
