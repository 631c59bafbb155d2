"""DRAM standards as data: organisation and timings, read from tables, checked, resolved to clocks after overrides.

A table is YAML: the organisation of one channel and its timings, in clocks or in nanoseconds, with a source for the
whole table or beside a number. ``standards/`` holds ours; `load_standard` reads a user's own file the same way.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from rtl_models.errors import InputError
from tlm.memory.family import FAMILIES, Family

PS_PER_US = 10**6
_MOST_BANKS = 512
_ROUNDING = Fraction(974, 1000)
_TABLE_KEYS = ("name", "family", "source", "clock_period_ps", "organisation", "timings")
_SIZES = ("stack_ids", "bank_groups", "banks_per_group", "rows", "columns")


@dataclass(frozen=True)
class Organisation:
    """One channel: `units` (ranks or pseudo-channels) x stack ids x groups x banks x rows x columns (in bursts)."""

    channel_width_bits: int
    burst_length_beats: int
    units: int
    stack_ids: int
    bank_groups: int
    banks_per_group: int
    rows: int
    bursts_per_row: int

    @property
    def banks_per_unit(self) -> int:
        """Banks of one rank or pseudo-channel."""
        return self.stack_ids * self.bank_groups * self.banks_per_group

    @property
    def banks(self) -> int:
        """Banks of the channel."""
        return self.units * self.banks_per_unit


@dataclass(frozen=True)
class DramStandard:
    """One channel of a DRAM standard: timings in clocks, sizes in bytes; time is counted in ticks."""

    name: str
    family: str
    clock_period_ps: int
    organisation: Organisation
    timings: Mapping[str, int] = field(hash=False)

    @property
    def rules(self) -> Family:
        """What the standard's family fixes: command buses, length of commands, ticks of a clock."""
        return FAMILIES[self.family]

    @property
    def ticks_per_clock(self) -> int:
        """Ticks of a clock: 2 where commands may come at half clocks (HBM3), else 1."""
        return self.rules.ticks_per_clock

    @property
    def burst_bytes(self) -> int:
        """Bytes of one burst, the unit of every request."""
        return self.organisation.channel_width_bits * self.organisation.burst_length_beats // 8

    @property
    def capacity_bytes(self) -> int:
        """Bytes of one channel."""
        organisation = self.organisation
        return organisation.banks * organisation.rows * organisation.bursts_per_row * self.burst_bytes

    @property
    def peak_bytes_per_us(self) -> float:
        """Bandwidth of one channel whose data buses are never idle."""
        buses = self.organisation.units if self.rules.bus_per_unit else 1
        return buses * self.burst_bytes * PS_PER_US / (self.timings["nBL"] * self.clock_period_ps)

    @property
    def read_latency_ticks(self) -> int:
        """Ticks from a read command to the end of its last data beat."""
        return (self.timings["nCL"] + self.timings["nBL"]) * self.ticks_per_clock

    @property
    def write_latency_ticks(self) -> int:
        """Ticks from a write command to the end of its last data beat."""
        return (self.timings["nCWL"] + self.timings["nBL"]) * self.ticks_per_clock

    def tick_of_ps(self, ps: int) -> int:
        """Return the first tick that does not lie before `ps`."""
        return -(-ps * self.ticks_per_clock // self.clock_period_ps)

    def ps_of_tick(self, tick: int) -> int:
        """Return the time of a tick, rounded up to whole picoseconds."""
        return -(-tick * self.clock_period_ps // self.ticks_per_clock)

    def with_units(self, units: int) -> DramStandard:
        """Return the standard with another number of ranks or pseudo-channels."""
        return replace(self, organisation=replace(self.organisation, units=units))


def list_standards() -> list[str]:
    """Return the names of the tables that come with the project."""
    folder = resources.files("tlm").joinpath("memory", "standards")
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def standard_table(name_or_path: str) -> str:
    """Return the text of a standard's table. Raises InputError if there is no such table."""
    if name_or_path in list_standards():
        folder = resources.files("tlm").joinpath("memory", "standards")
        return folder.joinpath(f"{name_or_path}.yaml").read_text(encoding="utf-8")
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        raise InputError("unknown DRAM standard", "", name_or_path, ", ".join(list_standards()) + " or a .yaml file")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the table of a DRAM standard: {error}", name_or_path) from error


@lru_cache(maxsize=32)
def _parsed(text: str) -> Any:
    """Return the content of a table, parsed once: a search over many machines loads the same one for each of them."""
    return yaml.safe_load(text)


def load_standard(name_or_path: str, overrides: tuple[str, ...] = ()) -> DramStandard:
    """Return a standard by name or from a YAML file, with ``key=value`` overrides applied before anything is derived.

    A key is a timing (in clocks, or ``nRFC=350ns``), a size of the organisation or ``clock_period_ps``. Raises
    InputError for unknown or missing keys, malformed values and timings that contradict each other.
    """
    try:
        table = copy.deepcopy(_parsed(standard_table(name_or_path)))
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"not a YAML file: {error}", name_or_path) from error
    if not isinstance(table, dict):
        raise InputError("a table of a DRAM standard is a mapping", name_or_path, table, ", ".join(_TABLE_KEYS))
    for override in overrides:
        _override(table, override, name_or_path)
    return resolve_standard(table, name_or_path)


def resolve_standard(table: Mapping[str, Any], where: str) -> DramStandard:
    """Return the standard that a table describes; `where` names the table in errors. Raises InputError."""
    for key in table:
        if key not in _TABLE_KEYS:
            raise InputError("unknown key", f"{where}: {key}", allowed=", ".join(_TABLE_KEYS))
    for key in ("name", "family", "source"):
        if not isinstance(table.get(key), str):
            raise InputError("must be a text", f"{where}: {key}", table.get(key))
    family = FAMILIES.get(table["family"])
    if family is None:
        raise InputError("unknown family", f"{where}: family", table["family"], ", ".join(FAMILIES))
    clock = _whole(table.get("clock_period_ps"), f"{where}: clock_period_ps", 1)
    organisation = _organisation(_mapping(table, "organisation", where), family, f"{where}: organisation")
    timings = _timings(_mapping(table, "timings", where), family, clock, organisation, f"{where}: timings")
    standard = DramStandard(table["name"], table["family"], clock, organisation, timings)
    _check(standard, f"{where}: timings")
    return standard


def _override(table: dict[str, Any], override: str, where: str) -> None:
    key, equals, text = (part.strip() for part in override.partition("="))
    if not equals or not key or not text:
        raise InputError("an override of a DRAM standard is key=value", where, override)
    value: object = {"ns": text.removesuffix("ns")} if text.endswith("ns") else text
    if isinstance(value, str) and value.lstrip("-").isdigit():
        value = int(value)
    if key == "clock_period_ps":
        table[key] = value
        return
    section = "timings" if key.startswith("n") else "organisation"
    if not isinstance(table.get(section), dict):
        raise InputError("must be a mapping", f"{where}: {section}", table.get(section))
    table[section][key] = value


def _mapping(table: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = table.get(key)
    if not isinstance(value, dict):
        raise InputError("must be a mapping", f"{where}: {key}", value)
    return value


def _whole(value: object, where: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError("must be a whole number", where, value, f"{least} or more")
    return value


def _organisation(sizes: Mapping[str, Any], family: Family, where: str) -> Organisation:
    required = ("channel_width_bits", "burst_length_beats", family.units, *_SIZES)
    for key in sizes:
        if key not in required:
            raise InputError("unknown key", f"{where}: {key}", allowed=", ".join(required))
    numbers = {key: _whole(sizes.get(key, 1 if key == "stack_ids" else None), f"{where}: {key}", 1) for key in required}
    for key, number in numbers.items():
        if number & (number - 1):
            raise InputError("must be a power of two", f"{where}: {key}", number)
    if numbers["channel_width_bits"] * numbers["burst_length_beats"] < 8:
        raise InputError("a burst is less than a byte", f"{where}: channel_width_bits", numbers["channel_width_bits"])
    if numbers["columns"] < numbers["burst_length_beats"]:
        allowed = f"{numbers['burst_length_beats']} or more"
        raise InputError("a row holds less than one burst", f"{where}: columns", numbers["columns"], allowed)
    organisation = Organisation(
        numbers["channel_width_bits"],
        numbers["burst_length_beats"],
        numbers[family.units],
        numbers["stack_ids"],
        numbers["bank_groups"],
        numbers["banks_per_group"],
        numbers["rows"],
        numbers["columns"] // numbers["burst_length_beats"],
    )
    if organisation.banks > _MOST_BANKS:
        raise InputError("too many banks in a channel", where, organisation.banks, f"at most {_MOST_BANKS}")
    return organisation


def _timings(
    entries: Mapping[str, Any], family: Family, clock_period_ps: int, organisation: Organisation, where: str
) -> dict[str, int]:
    allowed = (*family.timings, *family.derived_timings)
    for key in entries:
        if key not in allowed:
            raise InputError("unknown timing", f"{where}: {key}", allowed=", ".join(allowed))
    missing = [key for key in family.timings if key not in entries]
    if missing:
        raise InputError("missing timings", where, allowed=", ".join(missing))
    timings = {key: _clocks(value, clock_period_ps, f"{where}: {key}") for key, value in entries.items()}
    timings.setdefault("nRC", timings["nRAS"] + timings["nRP"])
    if "nREFIpb" in allowed:
        together = organisation.banks_per_unit if family.refreshes_units_together else organisation.banks
        timings.setdefault("nREFIpb", -(-timings["nREFI"] // together))
    return timings


def _clocks(value: object, clock_period_ps: int, where: str) -> int:
    """Return a timing in clocks: a number of clocks, or nanoseconds as clocks and not below `at_least`.

    Nanoseconds are rounded up but for an excess of 2.6 % of a clock, as JEDEC rounds (JESD79-4, rounding algorithms):
    15 ns are 18 clocks of 833 ps.
    """
    if not isinstance(value, dict):
        return _whole(value, where, 0)
    unknown = set(value) - {"ns", "clocks", "at_least", "source"}
    if unknown or ("ns" in value) == ("clocks" in value):
        raise InputError(
            "must be clocks, or a mapping with ns or clocks", where, value, "at_least and source beside it"
        )
    if "clocks" in value:
        return max(_whole(value["clocks"], where, 0), _whole(value.get("at_least", 0), where, 0))
    try:
        ns = Fraction(str(value["ns"]))
    except (ValueError, ZeroDivisionError):
        raise InputError("must be a number of nanoseconds", where, value["ns"]) from None
    if ns < 0:
        raise InputError("must be a number of nanoseconds", where, value["ns"], "0 or more")
    return max(math.floor(ns * 1000 / clock_period_ps + _ROUNDING), _whole(value.get("at_least", 0), where, 0))


def _check(standard: DramStandard, where: str) -> None:
    """Refuse timings that contradict each other, and zero where a command or a burst would take no time."""
    t = standard.timings
    family = standard.rules
    for key in ("nBL", "nCL", "nCWL", "nRP", "nRAS", "nRRDS", "nRFC", "nREFI", family.row_to_read, family.row_to_write):
        _whole(t[key], f"{where}: {key}", 1)
    if t["nBL"] * family.beats_per_clock != standard.organisation.burst_length_beats:
        beats = standard.organisation.burst_length_beats
        raise InputError(
            f"contradicts burst_length_beats = {beats}", f"{where}: nBL", t["nBL"], f"{beats // family.beats_per_clock}"
        )
    contradictions = [
        ("nRC", "nRAS + nRP", t["nRAS"] + t["nRP"]),
        ("nRAS", family.row_to_read, t[family.row_to_read]),
        ("nCCDL", "nCCDS", t["nCCDS"]),
        ("nRRDL", "nRRDS", t["nRRDS"]),
        ("nWTRL", "nWTRS", t["nWTRS"]),
        ("nFAW", "nRRDS", t["nRRDS"]),
        ("nREFI", "nRFC + nRAS + nRP + 1", t["nRFC"] + t["nRAS"] + t["nRP"] + 1),
    ]
    for key, other, least in contradictions:
        if t[key] < least:
            raise InputError(f"{key} < {other}", f"{where}: {key}", t[key], f"{least} or more")
