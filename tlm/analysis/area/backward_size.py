"""The size of a sparse backward unit of any geometry, told from the units that were synthesised.

Known parts are a multiplier and an adder a lane, and pipeline registers; the rest is fitted: transistors a bit of the
lists and sums, a bit of the weight row's registers, a bit of a lane's weight selection, a lane and a unit.
"""

from __future__ import annotations

from rtl_models.backward_unit import BackwardUnitGeometry
from rtl_models.transistors import transistor_counts
from tlm.analysis.area.block_size import FLIP_FLOP_TRANSISTORS, BlockSize
from tlm.analysis.area.size_model import SizeModel

MEMORY_BITS, WEIGHT_BITS, SELECTION_BITS = "list and sum bits", "weight row bits", "weight selection bits"
LANES, UNITS = "lanes", "units"


def backward_size(unit: BackwardUnitGeometry) -> BlockSize:
    """Return one unit; its lists of channels, counts and sums are latches, its weight row stays in flip-flops."""
    return BlockSize(
        logic=UNIT.logic_transistors(unit),
        flip_flops=UNIT.logic_flip_flops(unit),
        latch_bits=int(backward_features(unit)[MEMORY_BITS]),
    )


def backward_parts(unit: BackwardUnitGeometry) -> float:
    """Return the transistors of a unit's multipliers, adders and pipeline registers, as they count by themselves."""
    counts = transistor_counts()
    value, total = unit.value_format.name, unit.sum_format.name
    multiplier = counts.find("multiplier", a_format=value, b_format=value, result_format=total)
    lane = multiplier.transistors + counts.find("adder", format=total).transistors
    return float(unit.lanes * lane + FLIP_FLOP_TRANSISTORS * _register_bits(unit))


def backward_features(unit: BackwardUnitGeometry) -> dict[str, float]:
    """Return what the rest of a unit grows with."""
    value, total = unit.value_format.width_bits, unit.sum_format.width_bits
    channel_bits = max(1, (unit.channel_tile - 1).bit_length())
    lists_and_sums = unit.lanes * (total + channel_bits) << _address_bits(unit)
    counts = (unit.channel_tile + 1).bit_length() * 4 << unit.slot_bits
    return {
        MEMORY_BITS: lists_and_sums + counts,
        WEIGHT_BITS: unit.channel_tile * value,
        SELECTION_BITS: unit.lanes * (unit.channel_tile - 1) * value,
        LANES: unit.lanes,
        UNITS: 1,
    }


def _known_flip_flops(unit: BackwardUnitGeometry) -> float:
    """The weight row and the pipeline registers."""
    return float(unit.channel_tile * unit.value_format.width_bits + _register_bits(unit))


def _register_bits(unit: BackwardUnitGeometry) -> int:
    """Pipeline registers behind the adders: every lane's result, and beside them its address and flags."""
    return (unit.adder_latency_cycles - 1) * (unit.lanes * unit.sum_format.width_bits + _address_bits(unit) + 3)


def _address_bits(unit: BackwardUnitGeometry) -> int:
    """Width of an address of the lists and sums: bank, slot, chunk."""
    chunks = -(-unit.channel_tile // unit.lanes)
    return 1 + unit.slot_bits + max(1, (chunks - 1).bit_length())


UNIT = SizeModel(
    block="backward_unit",
    geometry=BackwardUnitGeometry,
    parts=backward_parts,
    features=backward_features,
    memories=(MEMORY_BITS,),
    flip_flops=_known_flip_flops,
    flip_flop_features=(LANES, UNITS),
    held_out=("channel_tile", 32),  # the widest
)
