"""Energy of the DRAM: by its commands where they were counted and their costs are published, else by its bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tlm.analysis.energy.line import EnergyLine
from tlm.analysis.energy.unit_energy import BYTE_BITS
from tlm.analysis.technology.constants import Constants
from tlm.analysis.technology.range import Range
from tlm.config import Config
from tlm.memory.standard import DramStandard, load_standard
from tlm.simulation import SimulationResult

COMMANDS_PRICED = ("HBM2",)
"""Families for whose commands there are constants; others are priced by the byte."""
DATA_COMMANDS = ("RD", "RDA", "WR", "WRA")
ACCESS = {"HBM2": "hbm2_access", "HBM3": "hbm3_access", "DDR4": "ddr4_access", "LPDDR5": "lpddr5_access"}


def dram_lines(group: str, config: Config, result: SimulationResult, table: Constants) -> Iterator[EnergyLine]:
    """Return the lines of a step's DRAM: rows, data, refresh, standby.

    Bytes are those of whole bursts that the DRAM moved: a read that finds its data among the waiting writes moves none.
    Where the model of DRAM counts no commands, data and rows are one line, and refresh is left out.
    """
    standard = load_standard(config.dram.standard)
    commands = command_counts(result)
    if standard.family in COMMANDS_PRICED and commands:
        activations, column = table.range("hbm2_activation"), table.range("hbm2_column")
        yield EnergyLine(group, "rows activated", commands["ACT"], "row", activations)
        bursts = sum(commands[name] for name in DATA_COMMANDS)
        yield EnergyLine(group, "data", bursts * standard.burst_bytes, "byte", column * BYTE_BITS)
        units = standard.organisation.units
        each = table.range("hbm2_refresh") * (1 / units)
        yield EnergyLine(group, "refreshes", commands["REFAB"], "pseudo-channel", each)
        by_bank = table.range("hbm2_refresh") * (1 / standard.organisation.banks)
        yield EnergyLine(group, "refreshes by bank", commands["REFPB"], "bank", by_bank)
    else:
        moved_bytes = sum(result.dram_burst_read_bytes.values()) + sum(result.dram_burst_written_bytes.values())
        each = table.range(ACCESS[standard.family]) * BYTE_BITS
        yield EnergyLine(group, "data and rows", moved_bytes, "byte", each)
    yield EnergyLine(group, "standby", result.time_ps, "ps", _background(standard, table) * config.dram.channels)


def command_counts(result: SimulationResult) -> Counter[str]:
    """Return the commands of all channels by name; empty where the model of DRAM has none."""
    total: Counter[str] = Counter()
    for channel in result.dram_channels:
        total.update(channel.commands)
    return total


def _background(standard: DramStandard, table: Constants) -> Range:
    """Watts of one channel, which are pJ a ps."""
    return table.range("hbm2_background" if standard.family in COMMANDS_PRICED else "other_background")
