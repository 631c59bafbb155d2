"""What one operation costs at 28 nm, in pJ: arithmetic by format, memories by size, registers by the cycle."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rtl_models.formats import FloatFormat
from tlm.analysis.technology.constants import Constants
from tlm.analysis.technology.range import Range
from tlm.analysis.technology.scaling import energy_28nm
from tlm.config import Config

BYTE_BITS = 8
REFERENCE_BANK_BYTES = 8 * 2**10
"""The bank that the constant `sram_bit` speaks of."""


@dataclass(frozen=True)
class UnitEnergy:
    """Energies by operation, of a table of constants."""

    table: Constants

    def add(self, fmt: FloatFormat) -> Range:
        """An addition in a format; one of 16 bits counts as binary16."""
        return energy_28nm(f"add_{_width(fmt)}", self.table)

    def multiply(self, fmt: FloatFormat) -> Range:
        """A multiplication of two operands of a format; one of 16 bits counts as binary16."""
        return energy_28nm(f"multiply_{_width(fmt)}", self.table)

    def compare(self) -> Range:
        """A comparison of two sums."""
        return energy_28nm("compare", self.table)

    def flip_flop(self) -> Range:
        """A flip-flop in a cycle in which its unit is busy."""
        return energy_28nm("flip_flop", self.table)

    def table_bits(self, bits: int) -> Range:
        """Reading or writing `bits` bits of a latch memory of a few hundred."""
        return energy_28nm("table_bit", self.table) * bits

    def sram_bits(self, bits: int, bank_bytes: float) -> Range:
        """Reading or writing `bits` bits of a bank; a bit costs as the root of the bank's size."""
        return energy_28nm("sram_bit", self.table) * (bits * math.sqrt(bank_bytes / REFERENCE_BANK_BYTES))

    def buffer_byte(self, capacity_bytes: int, banks: int, area_mm2: Range) -> Range:
        """A byte into or out of a buffer: its bank, and the way along a side of the buffer."""
        bank = self.sram_bits(BYTE_BITS, capacity_bytes / banks)
        side_mm = Range(*(math.sqrt(area) for area in (area_mm2.low, area_mm2.nominal, area_mm2.high)))
        way: Range = self.table.range("wire") * self.table.range("wire_length") * side_mm * BYTE_BITS
        return bank + way

    def table_build(self, config: Config) -> Range:
        """A table of 2^k entries: an addition for each of two and more weights, and every entry but 0 written."""
        value, k = config.contract.value, config.lut.k
        additions = self.add(value) * ((1 << k) - 1 - k)
        return additions + self.table_bits(((1 << k) - 1) * value.width_bits)

    def neuron(self, config: Config) -> Range:
        """A neuron in a timestep: alpha u, + x, and comparisons with the threshold and both ends of the mask.

        A unit of `any_reset` also takes off the drop, whether or not that is chosen.
        """
        total = config.contract.sum
        additions = 2 if config.neuron_unit.any_reset else 1
        return self.multiply(total) + self.add(total) * additions + self.compare() * 3

    def gradient(self, config: Config) -> Range:
        """A gradient: four products, a difference, two sums (docs/contract.md, gradient unit)."""
        total = config.contract.sum
        return self.multiply(total) * 4 + self.add(total) * 3

    def optimise(self, config: Config) -> Range:
        """A weight: products with 2^-q, decay, momentum and rate, and three sums."""
        total = config.contract.sum
        return self.multiply(total) * 4 + self.add(total) * 3

    def scale_sum(self, config: Config) -> Range:
        """A sum over bytes: a product and a sum."""
        total = config.contract.sum
        return self.multiply(total) + self.add(total)


def _width(fmt: FloatFormat) -> str:
    return "binary32" if fmt.width_bits == 32 else "binary16"
