"""What a family of DRAM standards fixes beyond its numbers: command buses, length of commands, names of timings."""

from __future__ import annotations

from dataclasses import dataclass

_COMMON = (
    *("nBL", "nCL", "nCWL", "nRP", "nRAS", "nWR", "nRTP", "nCCDS", "nCCDL"),
    *("nWTRS", "nWTRL", "nRRDS", "nRRDL", "nFAW", "nRFC", "nREFI"),
)


@dataclass(frozen=True)
class Family:
    """Everything that rules and controller need to know of a family but its timings.

    - `units`: what shares a channel, ranks or pseudo-channels; `bus_per_unit`: each has its own data bus
    - `dual_command_bus`: one row and one column command at a time, else one command of either kind
    - `activate_ticks`, `column_ticks`, `row_ticks`: ticks that ACT, column commands, other row commands are on the bus
    - `split_activate`: ACT comes as ACT1 and ACT2, and RD/WR need a running data clock (LPDDR5)
    - `half_clock_precharge`: of all commands only PRE may come at a half clock (HBM3)
    - `refreshes_units_together`: per-bank refresh takes the same bank of every unit in one interval
    """

    units: str
    timings: tuple[str, ...]
    row_to_read: str
    row_to_write: str
    beats_per_clock: int
    derived_timings: tuple[str, ...] = ("nRC",)
    bus_per_unit: bool = False
    dual_command_bus: bool = False
    ticks_per_clock: int = 1
    activate_ticks: int = 1
    column_ticks: int = 1
    row_ticks: int = 1
    split_activate: bool = False
    half_clock_precharge: bool = False
    per_bank_refresh: bool = True
    refreshes_units_together: bool = False


FAMILIES = {
    "DDR4": Family("ranks", (*_COMMON, "nRCD", "nCS"), "nRCD", "nRCD", 2, per_bank_refresh=False),
    "LPDDR5": Family(
        "ranks",
        (*_COMMON, "nRCD", "nCS", "nBL_max", "nRPab", "nPPD", "nWCKPST", "nAAD", "nRFCpb", "nPBR2PBR", "nPBR2ACT"),
        "nRCD",
        "nRCD",
        8,
        derived_timings=("nRC", "nREFIpb"),
        split_activate=True,
    ),
    "HBM2": Family(
        "pseudo_channels",
        (*_COMMON, "nRCDRD", "nRCDWR", "nRFCpb", "nRREFD"),
        "nRCDRD",
        "nRCDWR",
        2,
        derived_timings=("nRC", "nREFIpb"),
        bus_per_unit=True,
        dual_command_bus=True,
        activate_ticks=2,
    ),
    "HBM3": Family(
        "pseudo_channels",
        (*_COMMON, "nRCDRD", "nRCDWR", "nRTW", "nCCDR", "nPPD", "nRFCpb", "nRREFD"),
        "nRCDRD",
        "nRCDWR",
        4,
        derived_timings=("nRC", "nREFIpb"),
        bus_per_unit=True,
        dual_command_bus=True,
        ticks_per_clock=2,
        activate_ticks=3,
        column_ticks=2,
        half_clock_precharge=True,
        refreshes_units_together=True,
    ),
}
"""The families by name: DDR4 (JESD79-4), LPDDR5 (JESD209-5), HBM2 (JESD235), HBM3 (JESD238)."""
