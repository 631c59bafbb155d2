"""The DRAMs that a study compares: standards by channels, plain bandwidths, and one that is never in the way."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from rtl_models.errors import InputError
from tlm.config import Config
from tlm.memory.standard import load_standard

BANKED, FLAT = "banked", "flat"
DEFAULT_CHANNELS = (1, 2, 3, 4, 6, 8, 12, 16)
_ALLOWED = "STANDARDxCHANNELS, e.g. HBM2x4, or a bandwidth, e.g. 64GB/s"
_BY_CHANNELS = re.compile(r"(?P<standard>.+)x(?P<channels>\d+)")
_BY_BANDWIDTH = re.compile(r"(?P<rate>\d+(\.\d+)?)\s?GB/s")
_UNLIMITED_BYTES_PER_US = 10**12  # an exabyte a second: 64 KiB in less than a picosecond
_LARGEST_GB_PER_S = 10**6


@dataclass(frozen=True)
class DramChoice:
    """One DRAM: `label` as the user wrote it; `family` is what differs only in bandwidth from others of that family."""

    label: str
    family: str
    overrides: tuple[str, ...]
    unlimited: bool = False


UNLIMITED = DramChoice(
    "unlimited",
    "unlimited",
    (f"dram.model={FLAT}", "dram.channels=1", f"dram.channel_bytes_per_us={_UNLIMITED_BYTES_PER_US}"),
    unlimited=True,
)
"""All the bandwidth there could be, after the latency of the flat model."""


def parse_dram(text: str | None, config: Config) -> tuple[DramChoice, ...]:
    """Return the DRAMs of a list such as ``HBM2x1,LPDDR5x2,64GB/s``; None is the configured one by channels.

    Raises InputError for an entry that is neither, an unknown standard, no channels, and a DRAM that is named twice.
    """
    if text is None:
        return tuple(_by_default(config, channels) for channels in DEFAULT_CHANNELS)
    choices = tuple(_parse(entry.strip()) for entry in text.split(","))
    for number, choice in enumerate(choices):
        if choice in choices[:number]:
            raise InputError("is named twice", "--dram", choice.label)
    return choices


def _by_default(config: Config, channels: int) -> DramChoice:
    dram = config.dram
    family = FLAT if dram.model == FLAT else dram.standard
    return DramChoice(f"{family}x{channels}", family, (f"dram.channels={channels}",))


def _parse(entry: str) -> DramChoice:
    if not entry:
        raise InputError("an empty entry in the list", "--dram", entry, _ALLOWED)
    rate = _BY_BANDWIDTH.fullmatch(entry)
    if rate:
        return _by_bandwidth(entry, Decimal(rate["rate"]))
    parts = _BY_CHANNELS.fullmatch(entry)
    if not parts:
        raise InputError("neither a standard with channels nor a bandwidth", "--dram", entry, _ALLOWED)
    channels = int(parts["channels"])
    if not channels:
        raise InputError("no channels", "--dram", entry, "1 channel or more")
    standard = parts["standard"]
    load_standard(standard)
    keys = (f"dram.model={BANKED}", f"dram.standard={standard}", f"dram.channels={channels}")
    return DramChoice(f"{standard}x{channels}", standard, keys)


def _by_bandwidth(entry: str, gb_per_s: Decimal) -> DramChoice:
    bytes_per_us = gb_per_s * 1000
    if not 0 < gb_per_s <= _LARGEST_GB_PER_S or bytes_per_us != int(bytes_per_us):
        allowed = f"more than 0 and up to {_LARGEST_GB_PER_S} GB/s, in steps of 0.001"
        raise InputError("wrong bandwidth", "--dram", entry, allowed)
    keys = (f"dram.model={FLAT}", "dram.channels=1", f"dram.channel_bytes_per_us={int(bytes_per_us)}")
    return DramChoice(f"{gb_per_s.normalize():f}GB/s", FLAT, keys)
