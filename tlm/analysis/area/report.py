"""The area of a chip as plain data, units in the names."""

from __future__ import annotations

from typing import Any

from tlm.analysis.area.chip_area import GROUPS, ChipArea
from tlm.analysis.technology.constants import Constants, constants
from tlm.config import Config


def describe_area(area: ChipArea, config: Config, table: Constants | None = None) -> dict[str, Any]:
    """Return all that `h2learn area --json` prints; areas in mm2 at 28 nm, ratios against an NVIDIA V100 (12 nm)."""
    table = table or constants()
    return {
        "config": config.name,
        "provisional": config.provisional,
        "node": "28 nm",
        "area_mm2": area.area_mm2.to_dict(),
        "transistors": area.transistors.to_dict(),
        "memory_bits": area.memory_bits,
        "v100": {
            "area_ratio": (table.range("v100_area") / area.area_mm2).to_dict(),
            "transistor_ratio": (table.range("v100_transistors") / area.transistors).to_dict(),
        },
        "groups": {group: area.group_mm2(group).to_dict() for group in GROUPS},
        "components": [
            {
                "group": part.group,
                "name": part.name,
                "count": part.count,
                "transistors": part.transistors.to_dict(),
                "bits": part.bits,
                "area_mm2": part.area_mm2.to_dict(),
                "basis": part.basis,
            }
            for part in area.components
        ],
    }
