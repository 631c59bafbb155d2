"""The blocks and sizes whose transistors are counted: every block, and enough points to see how each one scales."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from rtl_models.backward_unit import BackwardUnitGeometry, backward_unit
from rtl_models.fifo import fifo_unit
from rtl_models.formats import BFLOAT16, BINARY16, BINARY32, FloatFormat
from rtl_models.gradient_unit import gradient_unit
from rtl_models.lut_row import LutRowGeometry, lut_row_unit
from rtl_models.neuron_unit import neuron_unit
from rtl_models.optimiser_unit import optimiser_unit
from rtl_models.pipeline import PipelineGeometry
from rtl_models.transposition_unit import TranspositionGeometry, transposition_unit
from rtl_models.units import Unit
from rtl_models.verification.arithmetic_units import (
    adder_unit,
    double_unit,
    greater_unit,
    multiplier_unit,
    narrow_unit,
    widen_unit,
)
from rtl_models.weight_gradient_unit import weight_gradient_unit

Geometry = dict[str, int | bool | str]

FORMAT_PAIRS = ((BINARY16, BINARY32), (BFLOAT16, BINARY32), (BINARY32, BINARY32), (BINARY16, BINARY16))
ROW = LutRowGeometry(k=4, lanes=1, depth=2)
BACKWARD = BackwardUnitGeometry(lanes=1, channel_tile=4, items_in_flight=2, adder_latency_cycles=2)


@dataclass(frozen=True)
class SynthesisPoint:
    """A block at one size: its name, the parameters that a user knows, and the hardware."""

    block: str
    geometry: Geometry
    unit: Unit

    @property
    def label(self) -> str:
        """One line that tells this point from all others."""
        return f"{self.block} {', '.join(f'{name}={value}' for name, value in self.geometry.items())}"


def synthesis_points() -> list[SynthesisPoint]:
    """Return all points, each once, the arithmetic blocks first."""
    points = [*_arithmetic(), *_rows(), *_backward(), *_pipelined(), *_transpositions(), *_fifos()]
    return list({point.label: point for point in points}.values())


def _arithmetic() -> list[SynthesisPoint]:
    points = [SynthesisPoint("adder", _formats(fmt), adder_unit(fmt)) for fmt in (BINARY16, BFLOAT16, BINARY32)]
    for a, b, result in (
        (BINARY16, BINARY16, BINARY16),
        (BINARY16, BINARY16, BINARY32),
        (BFLOAT16, BFLOAT16, BINARY32),
        (BINARY16, BINARY32, BINARY32),
        (BINARY32, BINARY32, BINARY32),
    ):
        points.append(SynthesisPoint("multiplier", _formats(a, b, result), multiplier_unit(a, b, result)))
    for narrow in (BINARY16, BFLOAT16):
        points.append(SynthesisPoint("narrowing", _formats(BINARY32, narrow), narrow_unit(BINARY32, narrow)))
        points.append(SynthesisPoint("widening", _formats(narrow, BINARY32), widen_unit(narrow, BINARY32)))
    points.append(SynthesisPoint("doubling", _formats(BINARY32), double_unit(BINARY32)))
    points.append(SynthesisPoint("comparison", _formats(BINARY32), greater_unit(BINARY32)))
    return points


def _rows() -> list[SynthesisPoint]:
    """Table size, lanes, accumulator depth, formats, and registers, each alone around one small row.

    Tables double with each k, and so does Yosys' time: k = 8 is left to extrapolation.
    """
    rows = [replace(ROW, k=k) for k in range(1, 8)]
    rows += [replace(ROW, lanes=lanes) for lanes in (2, 4)]
    rows += [replace(ROW, depth=depth) for depth in (8, 32)]
    rows += [replace(ROW, value_format=value, sum_format=total) for value, total in FORMAT_PAIRS]
    rows += [replace(ROW, lanes=lanes, tree_registers=True) for lanes in (1, 4)]
    rows += [replace(ROW, adder_latency_cycles=4), replace(ROW, build_latency_cycles=4)]
    # everything at once and larger, which no fit may use: it tells how far the others reach
    rows += [replace(ROW, lanes=8, build_latency_cycles=2, adder_latency_cycles=4, tree_registers=True)]
    return [SynthesisPoint("lut_row", _geometry(row), lut_row_unit(row)) for row in rows]


def _backward() -> list[SynthesisPoint]:
    """Lanes, channel tile, items in flight, latency and formats around the smallest unit that has them.

    Lanes and channels together as well: every lane selects from all channels.
    """
    units = [replace(BACKWARD, lanes=lanes) for lanes in (1, 2, 4)]
    units += [replace(BACKWARD, channel_tile=channels) for channels in (8, 16)]
    units += [replace(BACKWARD, lanes=lanes, channel_tile=16) for lanes in (2, 4)]
    units += [replace(BACKWARD, lanes=4, channel_tile=32, items_in_flight=4, adder_latency_cycles=4)]  # for no fit
    units += [replace(BACKWARD, items_in_flight=items) for items in (1, 4)]
    units += [replace(BACKWARD, adder_latency_cycles=4), replace(BACKWARD, value_format=BFLOAT16)]
    return [SynthesisPoint("backward_unit", _geometry(unit), backward_unit(unit)) for unit in units]


def _pipelined() -> list[SynthesisPoint]:
    """Every element-wise unit in both value formats, with every reset too; one with more registers than one."""
    makers = {
        "neuron_unit": neuron_unit,
        "gradient_unit": gradient_unit,
        "optimiser_unit": optimiser_unit,
        "weight_gradient_unit": weight_gradient_unit,
    }
    points = []
    for block, make in makers.items():
        for fmt in (BINARY16, BFLOAT16):
            geometry = PipelineGeometry(value_format=fmt)
            points.append(SynthesisPoint(block, _geometry(geometry), make(geometry)))
            if block in ("neuron_unit", "gradient_unit"):
                every = replace(geometry, any_reset=True)
                points.append(SynthesisPoint(block, _geometry(every), make(every)))
    geometry = PipelineGeometry(latency_cycles=4)
    points.append(SynthesisPoint("weight_gradient_unit", _geometry(geometry), weight_gradient_unit(geometry)))
    return points


def _transpositions() -> list[SynthesisPoint]:
    """Blocks, k and latency around a small unit; and the preset's width, which no fit uses."""
    units = [TranspositionGeometry(k=4, blocks=blocks, latency_cycles=1) for blocks in (1, 4, 16)]
    units += [TranspositionGeometry(k=4, blocks=4, latency_cycles=latency) for latency in (2, 4)]
    units += [TranspositionGeometry(k=k, blocks=4, latency_cycles=2) for k in (1, 3, 8)]
    units += [TranspositionGeometry()]
    return [SynthesisPoint("transposition_unit", _geometry(unit), transposition_unit(unit)) for unit in units]


def _fifos() -> list[SynthesisPoint]:
    sizes = ((2, 16), (4, 16), (16, 16), (4, 64))
    return [SynthesisPoint("fifo", {"depth": d, "width_bits": w}, fifo_unit(d, w)) for d, w in sizes]


def _formats(*formats: FloatFormat) -> Geometry:
    """Return operand formats and, where it is not the only one's, the result's."""
    names = {1: ("format",), 2: ("operand_format", "result_format"), 3: ("a_format", "b_format", "result_format")}
    return dict(zip(names[len(formats)], (fmt.name for fmt in formats), strict=True))


def _geometry(geometry: Any) -> Geometry:
    """Return a geometry's fields, formats by name; `any_reset` only where it is chosen."""
    fields = {name: value["name"] if isinstance(value, dict) else value for name, value in asdict(geometry).items()}
    return {name: value for name, value in fields.items() if name != "any_reset" or value}
