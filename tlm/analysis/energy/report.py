"""The energy of a step as plain data, units in the names."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tlm.analysis.energy.step_energy import GROUPS, StepEnergy


def describe_energy(energy: StepEnergy) -> dict[str, Any]:
    """Return all that `h2learn energy --json` prints; energies in pJ at 28 nm."""
    return {
        "node": "28 nm",
        "time_ps": energy.time_ps,
        "energy_pj": energy.energy_pj.to_dict(),
        "chip_energy_pj": energy.chip_pj.to_dict(),
        "power_w": energy.power_w.to_dict(),
        "synaptic_operations": energy.activity.synaptic_operations,
        "pj_per_synaptic_operation": energy.pj_per_operation.to_dict(),
        "activity": asdict(energy.activity),
        "groups": {group: energy.group_pj(group).to_dict() for group in GROUPS},
        "lines": [
            {
                "group": line.group,
                "name": line.name,
                "count": line.count,
                "unit": line.unit,
                "each_pj": line.each_pj.to_dict(),
                "energy_pj": line.energy_pj.to_dict(),
            }
            for line in energy.lines
        ],
    }
