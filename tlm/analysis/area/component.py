"""Components of a chip: how many there are, of how many transistors and bits, on what area."""

from __future__ import annotations

from dataclasses import dataclass

from tlm.analysis.area.block_size import BlockSize
from tlm.analysis.technology.constants import Constants
from tlm.analysis.technology.range import Range

UM2_PER_MM2 = 1e6
SRAM_CELL_TRANSISTORS = 6
NOTHING = Range.exact(0.0)


@dataclass(frozen=True)
class Component:
    """One line of the table: `count` pieces of `group`, and what all of them take together.

    `transistors` are those of logic, latches and SRAM cells; an interface, whose circuits are analogue, has none.
    """

    group: str
    name: str
    count: int
    transistors: Range
    bits: int
    flip_flops: float
    area_mm2: Range
    basis: str
    """What the numbers rest on, in a few words."""


def logic(group: str, name: str, count: int, size: BlockSize, table: Constants, basis: str) -> Component:
    """Return `count` blocks without their memories, at the density of logic."""
    transistors = size.logic * count
    area = transistors / table.range("logic_density")
    return Component(group, name, count, transistors, 0, count * size.flip_flops, area, basis)


def latches(group: str, name: str, count: int, bits: int, table: Constants) -> Component:
    """Return `count` memories of `bits` bits each made of latches with their ports, at the density of logic."""
    transistors = table.range("latch_transistors") * (count * bits)
    area = transistors / table.range("logic_density")
    return Component(group, name, count, transistors, count * bits, 0.0, area, "bits in latches")


def sram(group: str, name: str, count: int, bits: int, ports: int, efficiency: str, table: Constants) -> Component:
    """Return `count` SRAM macros of `bits` bits each; each port beyond the first makes the cell larger.

    `efficiency` names the constant of cell area over macro area.
    """
    cell_um2 = table.range("sram_cell")
    for _ in range(ports - 1):
        cell_um2 = cell_um2 * table.range("second_port_area")
    area = cell_um2 * (count * bits) / table.range(efficiency) / UM2_PER_MM2
    transistors = Range.exact(SRAM_CELL_TRANSISTORS * count * bits)
    return Component(group, name, count, transistors, count * bits, 0.0, area, "bits in SRAM")
