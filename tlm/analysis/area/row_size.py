"""The size of a LUT row of any geometry, told from the rows that were synthesised.

Known parts are adders and conversions, which were counted by themselves; the rest is fitted: transistors a bit of the
tables, of the partial sums and of pipeline registers, a lane and a row, and what an adder of widened operands saves.
"""

from __future__ import annotations

from rtl_models.lut_row import LutRowGeometry
from rtl_models.transistors import transistor_counts
from tlm.analysis.area.block_size import BlockSize
from tlm.analysis.area.size_model import SizeModel

TABLE_BITS, PARTIAL_SUM_BITS = "table bits", "partial sum bits"
REGISTER_BITS, NARROW_ADDERS, LANES, ROWS = "register bits", "adders of widened operands", "lanes", "rows"


def row_size(row: LutRowGeometry) -> BlockSize:
    """Return one row; its tables are latches, its accumulator memory is SRAM."""
    features = row_features(row)
    return BlockSize(
        logic=ROW.logic_transistors(row),
        flip_flops=ROW.logic_flip_flops(row),
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
        REGISTER_BITS: _register_bits(row),
        NARROW_ADDERS: row.lanes // 2 if widened else 0,
        LANES: row.lanes,
        ROWS: 1,
    }


def _register_bits(row: LutRowGeometry) -> int:
    """Pipeline registers: behind the accumulator's adder, the tree's levels and the table builder's adder."""
    value, total = row.value_format, row.sum_format
    position = max(1, (row.depth - 1).bit_length())
    bits = (row.adder_latency_cycles - 1) * (total.width_bits + 2 + position)
    if row.tree_registers:
        leaf = 1 + total.exponent_bits + value.fraction_bits  # a widened value's low fraction bits are constant
        beside = total.width_bits + 5 + position  # the first partial sum, five flags and the position
        bits += (row.tree_levels + 1) * beside + row.lanes * leaf + (row.lanes - 1) * total.width_bits
    return bits + (row.build_latency_cycles - 1) * (value.width_bits + row.k + 1)


ROW = SizeModel(
    block="lut_row",
    geometry=LutRowGeometry,
    parts=row_parts,
    features=row_features,
    memories=(TABLE_BITS, PARTIAL_SUM_BITS),
    flip_flops=lambda _: 0.0,
    flip_flop_features=(REGISTER_BITS, NARROW_ADDERS, LANES, ROWS),
    held_out=("lanes", 8),  # the largest row, with all registers at once
)
