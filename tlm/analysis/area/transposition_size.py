"""The size of a transposition unit of any width, told from the units that were synthesised.

Crossing is wiring: all that counts are registers, `latency_cycles` for every bit of a word and for its valid flag, each
with the gates that let it stand still.
"""

from __future__ import annotations

from functools import cache

from rtl_models.transistors import BlockCount, transistor_counts
from rtl_models.transposition_unit import TranspositionGeometry
from tlm.analysis.area.block_size import BlockSize
from tlm.analysis.area.fit import Fit, Sample, fit
from tlm.analysis.technology.range import Range

BLOCK = "transposition_unit"
REGISTER_BITS, REGISTERS = "register bits", "registers"
_HELD_OUT_BLOCKS = 64  # the preset's unit, which no fit uses


def transposition_size(unit: TranspositionGeometry) -> BlockSize:
    """Return one unit, within the worst error on a size left out of the fit."""
    found, features = transposition_fit(), transposition_features(unit)
    return BlockSize(
        logic=Range.about(found.count(0.0, features), found.error),
        flip_flops=features[REGISTER_BITS] + features[REGISTERS],
    )


def transposition_features(unit: TranspositionGeometry) -> dict[str, float]:
    """Return what a unit grows with."""
    return {REGISTER_BITS: unit.latency_cycles * unit.width_bits, REGISTERS: unit.latency_cycles}


@cache
def transposition_fit() -> Fit:
    """Fit all synthesised units but the largest."""
    return fit(_samples(held_out=False), _samples(held_out=True))


def transposition_records(held_out: bool) -> list[BlockCount]:
    """Return the synthesised units that the fit uses, or the one that is kept out of it."""
    records = [record for record in transistor_counts().blocks if record.block == BLOCK]
    return [record for record in records if (int(record.geometry["blocks"]) >= _HELD_OUT_BLOCKS) == held_out]


def _samples(held_out: bool) -> list[Sample]:
    samples = []
    for record in transposition_records(held_out):
        unit = TranspositionGeometry(**{name: int(value) for name, value in record.geometry.items()})
        samples.append(Sample(str(record.geometry), 0.0, transposition_features(unit), record.transistors))
    return samples
