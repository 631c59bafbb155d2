"""The size of a LUT row of any geometry, told from the rows that were synthesised.

Known parts are adders and conversions, which were counted by themselves; the rest is fitted: transistors a bit of the
tables, of the partial sums and of pipeline registers, a lane and a row, and what an adder of widened operands saves.
"""

from __future__ import annotations

from functools import cache

from rtl_models.formats import FloatFormat, format_by_name
from rtl_models.lut_row import LutRowGeometry
from rtl_models.transistors import BlockCount, transistor_counts
from tlm.analysis.area.block_size import BlockSize
from tlm.analysis.area.fit import Fit, Sample, fit
from tlm.analysis.technology.range import Range

TABLE_BITS, PARTIAL_SUM_BITS, REGISTER_BITS = "table bits", "partial sum bits", "register bits"
MEMORIES = (TABLE_BITS, PARTIAL_SUM_BITS)
HELD_OUT_LANES = 8


def row_size(row: LutRowGeometry) -> BlockSize:
    """Return one row; its tables are latches, its accumulator memory is SRAM."""
    features = row_features(row)
    logic = {name: value for name, value in features.items() if name not in MEMORIES}
    transistors = row_fit().count(row_parts(row), logic)
    flip_flops = row_flip_flop_fit().count(0.0, logic)
    return BlockSize(
        logic=Range.about(transistors, row_fit().error),
        flip_flops=max(0.0, flip_flops),
        latch_bits=int(features[TABLE_BITS]),
        sram_bits=int(features[PARTIAL_SUM_BITS]),
    )


def row_parts(row: LutRowGeometry) -> float:
    """Return the transistors of a row's adders and conversions, as they count by themselves."""
    counts = transistor_counts()
    value, total = row.value_format.name, row.sum_format.name
    lane = counts.find("adder", format=total).transistors  # one a lane: lanes - 1 in the tree, one at the partial sums
    if row.k > 1:
        lane += counts.find("adder", format=value).transistors
    if value != total:
        lane += counts.find("widening", operand_format=value, result_format=total).transistors
    return float(row.lanes * lane)


def row_features(row: LutRowGeometry) -> dict[str, float]:
    """Return what the rest of a row grows with."""
    value, total = row.value_format, row.sum_format
    widened = row.lanes > 1 and value != total
    return {
        TABLE_BITS: 2 * (2**row.k - 1) * value.width_bits * row.lanes,  # two tables; entry 0 is not stored
        PARTIAL_SUM_BITS: row.depth * total.width_bits,
        REGISTER_BITS: _register_bits(row, value, total),
        "adders of widened operands": row.lanes // 2 if widened else 0,
        "lanes": row.lanes,
        "rows": 1,
    }


def _register_bits(row: LutRowGeometry, value: FloatFormat, total: FloatFormat) -> int:
    """Pipeline registers: behind the accumulator's adder, the tree's levels and the table builder's adder."""
    position = max(1, (row.depth - 1).bit_length())
    bits = (row.adder_latency_cycles - 1) * (total.width_bits + 2 + position)
    if row.tree_registers:
        leaf = 1 + total.exponent_bits + value.fraction_bits  # a widened value's low fraction bits are constant
        beside = total.width_bits + 5 + position  # the first partial sum, five flags and the position
        bits += (row.tree_levels + 1) * beside + row.lanes * leaf + (row.lanes - 1) * total.width_bits
    return bits + (row.build_latency_cycles - 1) * (value.width_bits + row.k + 1)


def geometry_of(record: BlockCount) -> LutRowGeometry:
    """Return the geometry of a synthesised row."""
    raw = dict(record.geometry)
    formats = {key: format_by_name(str(raw.pop(key))) for key in ("value_format", "sum_format")}
    return LutRowGeometry(**raw, **formats)  # type: ignore[arg-type]


def is_held_out(record: BlockCount) -> bool:
    """Whether a size is kept out of the fit, to tell how far it reaches: the largest row, with all registers."""
    return int(record.geometry["lanes"]) >= HELD_OUT_LANES


def row_samples(held_out: bool = False) -> list[Sample]:
    """Return the synthesised rows for the fit of their transistors, or those that are kept out of it."""
    return [_sample(record, float(record.transistors)) for record in _records(held_out)]


@cache
def row_fit() -> Fit:
    """Transistors of a row."""
    return fit(row_samples(), row_samples(held_out=True))


@cache
def row_flip_flop_fit() -> Fit:
    """Flip-flops of a row that are neither tables nor partial sums."""
    samples = []
    for record in _records():
        sample = _sample(record, float(record.flip_flops))
        rest = {name: value for name, value in sample.features.items() if name not in MEMORIES}
        memories = sum(sample.features[name] for name in MEMORIES)
        samples.append(Sample(sample.label, 0.0, rest, record.flip_flops - memories))
    return fit(samples)


def _records(held_out: bool = False) -> list[BlockCount]:
    rows = (record for record in transistor_counts().blocks if record.block == "lut_row")
    return [record for record in rows if is_held_out(record) == held_out]


def _sample(record: BlockCount, count: float) -> Sample:
    row = geometry_of(record)
    return Sample(str(record.geometry), row_parts(row), row_features(row), count)
