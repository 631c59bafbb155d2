"""The DRAM that a configuration asks for."""

from __future__ import annotations

from rtl_models.errors import InputError
from tlm.config import DramConfig
from tlm.kernel.module import Parent
from tlm.memory.banked_dram import BankedDram, check_channels
from tlm.memory.controller import CONTROLLERS, ControllerConfig, DramChannel
from tlm.memory.dram import Dram
from tlm.memory.flat_dram import FlatDram, FlatTiming
from tlm.memory.interleaving import Interleaving
from tlm.memory.standard import DramStandard, load_standard


def build_dram(name: str, parent: Parent, config: DramConfig, capacity_bytes: int) -> Dram:
    """Return a DRAM of at least `capacity_bytes`; raises InputError as `check_dram`."""
    if config.model == "flat":
        timing = FlatTiming(config.channels, config.channel_bytes_per_us, config.latency_ps, config.interleave_bytes)
        return FlatDram(name, parent, timing, max(1, capacity_bytes))
    standard, controller, interleaving = _banked(config)
    return BankedDram(name, parent, standard, controller, interleaving, max(1, capacity_bytes))


def check_dram(config: DramConfig, capacity_bytes: int) -> None:
    """Raise InputError for an unknown standard or controller, and where they do not go together or hold too little."""
    if config.model == "banked":
        standard, controller, interleaving = _banked(config)
        check_channels(standard, interleaving, capacity_bytes)
        DramChannel(standard, controller)


def _banked(config: DramConfig) -> tuple[DramStandard, ControllerConfig, Interleaving]:
    standard = load_standard(config.standard)
    if config.controller not in CONTROLLERS:
        raise InputError("unknown controller", "dram.controller", config.controller, ", ".join(CONTROLLERS))
    interleaving = Interleaving(config.channels, config.interleave_bytes, standard.burst_bytes)
    return standard, CONTROLLERS[config.controller], interleaving
