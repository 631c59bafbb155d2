"""The size of a sparse backward unit of any geometry, told from the units that were synthesised.

Known parts are a multiplier and an adder a lane, and pipeline registers; the rest is fitted: transistors a bit of the
lists and sums, a bit of the weight row's registers, a bit of a lane's weight selection, a lane and a unit.
"""

from __future__ import annotations

from functools import cache

from rtl_models.backward_unit import BackwardUnitGeometry
from rtl_models.formats import format_by_name
from rtl_models.transistors import BlockCount, transistor_counts
from tlm.analysis.area.block_size import FLIP_FLOP_TRANSISTORS, BlockSize
from tlm.analysis.area.fit import Features, Fit, Sample, fit
from tlm.analysis.technology.range import Range

MEMORY_BITS, WEIGHT_BITS = "list and sum bits", "weight row bits"
HELD_OUT_CHANNELS = 32


def backward_size(unit: BackwardUnitGeometry) -> BlockSize:
    """Return one unit; its lists of channels, counts and sums are latches, its weight row stays in flip-flops."""
    features = backward_features(unit)
    logic = {name: value for name, value in features.items() if name != MEMORY_BITS}
    transistors = backward_fit().count(backward_parts(unit), logic)
    known = features[WEIGHT_BITS] + register_bits(unit)
    flip_flops = backward_flip_flop_fit().count(known, _without_memories(features))
    return BlockSize(
        logic=Range.about(transistors, backward_fit().error),
        flip_flops=max(0.0, flip_flops),
        latch_bits=int(features[MEMORY_BITS]),
    )


def backward_parts(unit: BackwardUnitGeometry) -> float:
    """Return the transistors of a unit's multipliers, adders and pipeline registers, as they count by themselves."""
    counts = transistor_counts()
    value, total = unit.value_format.name, unit.sum_format.name
    multiplier = counts.find("multiplier", a_format=value, b_format=value, result_format=total)
    adder = counts.find("adder", format=total)
    lane = multiplier.transistors + adder.transistors
    return float(unit.lanes * lane + FLIP_FLOP_TRANSISTORS * register_bits(unit))


def register_bits(unit: BackwardUnitGeometry) -> int:
    """Return the pipeline registers behind the adders: every lane's result, and beside them its address and flags."""
    return (unit.adder_latency_cycles - 1) * (unit.lanes * unit.sum_format.width_bits + _address_bits(unit) + 3)


def _address_bits(unit: BackwardUnitGeometry) -> int:
    """Width of an address of the lists and sums: bank, slot, chunk."""
    chunks = -(-unit.channel_tile // unit.lanes)
    return 1 + unit.slot_bits + max(1, (chunks - 1).bit_length())


def backward_features(unit: BackwardUnitGeometry) -> dict[str, float]:
    """Return what the rest of a unit grows with."""
    value, total = unit.value_format.width_bits, unit.sum_format.width_bits
    channel_bits = max(1, (unit.channel_tile - 1).bit_length())
    lists_and_sums = unit.lanes * (total + channel_bits) << _address_bits(unit)
    counts = (unit.channel_tile + 1).bit_length() * 4 << unit.slot_bits
    return {
        MEMORY_BITS: lists_and_sums + counts,
        WEIGHT_BITS: unit.channel_tile * value,
        "weight selection bits": unit.lanes * (unit.channel_tile - 1) * value,
        "lanes": unit.lanes,
        "units": 1,
    }


def geometry_of(record: BlockCount) -> BackwardUnitGeometry:
    """Return the geometry of a synthesised unit."""
    raw = dict(record.geometry)
    formats = {key: format_by_name(str(raw.pop(key))) for key in ("value_format", "sum_format")}
    return BackwardUnitGeometry(**raw, **formats)  # type: ignore[arg-type]


def is_held_out(record: BlockCount) -> bool:
    """Whether a size is kept out of the fit, to tell how far it reaches: the one with the widest channel tile."""
    return int(record.geometry["channel_tile"]) >= HELD_OUT_CHANNELS


def backward_samples(held_out: bool = False) -> list[Sample]:
    """Return the synthesised units for the fit of their transistors, or those that are kept out of it."""
    return [_sample(record, float(record.transistors)) for record in _records(held_out)]


@cache
def backward_fit() -> Fit:
    """Transistors of a unit."""
    return fit(backward_samples(), backward_samples(held_out=True))


@cache
def backward_flip_flop_fit() -> Fit:
    """Flip-flops of a unit that are neither lists, sums, counts nor the weight row."""
    samples = []
    for record in _records():
        sample = _sample(record, float(record.flip_flops))
        memories = sample.features[MEMORY_BITS] + sample.features[WEIGHT_BITS]
        rest = _without_memories(sample.features)
        known = float(register_bits(geometry_of(record)))
        samples.append(Sample(sample.label, known, rest, record.flip_flops - memories))
    return fit(samples)


def _without_memories(features: Features) -> dict[str, float]:
    """Return the features that flip-flops of control and pipelines grow with."""
    return {name: features[name] for name in ("lanes", "units")}


def _records(held_out: bool = False) -> list[BlockCount]:
    units = (record for record in transistor_counts().blocks if record.block == "backward_unit")
    return [record for record in units if is_held_out(record) == held_out]


def _sample(record: BlockCount, count: float) -> Sample:
    unit = geometry_of(record)
    return Sample(str(record.geometry), backward_parts(unit), backward_features(unit), count)
