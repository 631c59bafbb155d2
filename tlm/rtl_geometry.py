"""The RTL blocks of a configuration: the geometry of its LUT row, sparse backward and transposition unit."""

from __future__ import annotations

from rtl_models.backward_unit import BackwardUnitGeometry
from rtl_models.errors import InputError
from rtl_models.lut_row import LutRowGeometry
from rtl_models.transposition_unit import TranspositionGeometry
from tlm.config import LUT, Config


def check_has_rtl(config: Config) -> None:
    """Raise InputError for a configuration with elements that are cycle laws only: rows of adders have no RTL."""
    for name in ("forward_engine", "weight_update_engine"):
        element = getattr(config, name).element
        if element != LUT:
            what = "rows of adders are a baseline without RTL and cannot be co-simulated"
            raise InputError(what, f"config: {name}.element", element, LUT)


def row_geometry(config: Config, depth: int) -> LutRowGeometry:
    """The LUT row of a configuration, with an accumulator memory of `depth` positions."""
    return LutRowGeometry(
        k=config.lut.k,
        lanes=config.lut.lanes,
        value_format=config.contract.value,
        sum_format=config.contract.sum,
        depth=depth,
        build_latency_cycles=config.lut.build_latency_cycles,
        adder_latency_cycles=config.lut.adder_latency_cycles,
        tree_registers=config.lut.tree_registers,
    )


def backward_geometry(config: Config) -> BackwardUnitGeometry:
    """The sparse backward unit of a configuration."""
    engine, contract = config.backward_engine, config.contract
    return BackwardUnitGeometry(
        lanes=engine.lanes,
        channel_tile=engine.channel_tile,
        items_in_flight=engine.items_in_flight,
        adder_latency_cycles=engine.adder_latency_cycles,
        value_format=contract.value,
        sum_format=contract.sum,
    )


def transposition_geometry(config: Config) -> TranspositionGeometry:
    """The transposition unit of a configuration."""
    return TranspositionGeometry(
        k=config.lut.k, blocks=config.transposition_blocks, latency_cycles=config.transposition_unit.latency_cycles
    )
