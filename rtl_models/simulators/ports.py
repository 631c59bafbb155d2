"""The ports of a unit, as widths and as MyHDL signals."""

from __future__ import annotations

from typing import Any

from myhdl import Signal, modbv

from rtl_models.units import Unit


def port_widths(unit: Unit) -> dict[str, int]:
    """Return every port but ``clk`` and ``rst`` with its width in bits, in the order of the streams."""
    widths: dict[str, int] = {}
    for stream in (*unit.inputs, *unit.outputs):
        widths[f"{stream.name}_valid"] = 1
        widths[f"{stream.name}_ready"] = 1
        for field in stream.fields:
            widths[f"{stream.name}_{field.name}"] = field.width_bits
    return widths


def port_signals(unit: Unit) -> dict[str, Any]:
    """Return a fresh MyHDL signal for every port; 1-bit ports are bool."""
    signals = {"clk": Signal(bool(0)), "rst": Signal(bool(0))}
    for name, width in port_widths(unit).items():
        signals[name] = Signal(bool(0)) if width == 1 else Signal(modbv(0)[width:])
    return signals
