"""What a co-simulation found: counts per engine, layer and simulator, a verdict per unit, and the first failure.

`CosimResult.to_dict` is what ``h2learn cosim --json`` prints and ``result.json`` holds (docs/cosim.md describes it).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tlm.cosim.keys import ENGINES

PROVED = "proved"
REFUTED = "refuted"
NOT_YET = "not yet"


@dataclass
class Comparison:
    """Counts of one engine and layer in one simulator.

    `results` are values sent (all fields of the output) compared bit by bit with the reference; `trace_results` values
    that follow from them and were compared with what the trace holds. `transfers` are the beats whose cycle was
    compared with the law; the cycle counts add up the cycles of all streams.
    """

    engine: str
    layer: int
    layer_name: str
    simulator: str
    streams: int = 0
    stalled_streams: int = 0
    tiles: int = 0
    results: int = 0
    mismatched_results: int = 0
    mismatched_bits: int = 0
    trace_results: int = 0
    mismatched_trace_results: int = 0
    transfers: int = 0
    mismatched_transfers: int = 0
    law_cycles: int = 0
    measured_cycles: int = 0

    @property
    def difference_cycles(self) -> int:
        """Measured cycles less those by law."""
        return self.measured_cycles - self.law_cycles

    @property
    def passed(self) -> bool:
        """Whether every compared bit and cycle was equal."""
        return not (self.mismatched_results or self.mismatched_trace_results or self.mismatched_transfers)

    def add(self, other: Comparison) -> None:
        """Add the counts of `other`, a comparison of the same engine, layer and simulator."""
        for name, value in vars(other).items():
            if name not in ("engine", "layer", "layer_name", "simulator"):
                setattr(self, name, getattr(self, name) + value)


@dataclass(frozen=True)
class UnitVerdict:
    """Whether a unit's cycle law and bits are proved against its RTL: `proved`, `refuted` or `not yet`."""

    unit: str
    verdict: str
    reason: str


@dataclass(frozen=True)
class Failure:
    """The first mismatch: what differed in which stream of which unit, and the file that replays it, if any."""

    unit: str
    stream: str
    simulator: str
    difference: str
    tile_file: str | None


@dataclass
class CosimResult:
    """Outcome of one co-simulation.

    `available` counts per engine and layer the streams and tiles that the trace holds, against which `comparisons`
    tell how many were run; `seconds` is wall time by phase; `notes` are lines for the user.
    """

    trace_digest: str
    network: str
    config: str
    mode: str
    sample_seed: int
    simulators: tuple[str, ...]
    available: list[dict[str, Any]] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    units: list[UnitVerdict] = field(default_factory=list)
    failure: Failure | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        verdict = "every compared bit and cycle is equal" if self.passed else "not passed"
        compared = f"{self.total('streams')} streams, {self.total('results'):,} results"
        return f"CosimResult({self.network} on {self.config}, {self.mode}: {compared}; {verdict})"

    @property
    def passed(self) -> bool:
        """Whether something was compared and nothing differed."""
        return self.failure is None and bool(self.comparisons) and all(entry.passed for entry in self.comparisons)

    def total(self, name: str) -> int:
        """Sum of the count `name` over all comparisons."""
        return sum(int(getattr(entry, name)) for entry in self.comparisons)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        plain = asdict(self)
        plain["simulators"] = list(self.simulators)
        plain["passed"] = self.passed
        for entry, source in zip(plain["comparisons"], self.comparisons, strict=True):
            entry["difference_cycles"] = source.difference_cycles
        return plain


def verdicts(
    engines_of: Mapping[str, tuple[str, ...]], comparisons: list[Comparison], failure: Failure | None
) -> list[UnitVerdict]:
    """Judge every unit by the comparisons of its engines, `engines_of` it."""
    judged = []
    for unit, engines in engines_of.items():
        own = [entry for entry in comparisons if entry.engine in engines]
        if failure is not None and failure.unit == unit:
            judged.append(UnitVerdict(unit, REFUTED, f"{failure.stream}: {failure.difference}"))
        else:
            judged.append(_verdict(unit, own))
    return judged


def _verdict(unit: str, comparisons: list[Comparison]) -> UnitVerdict:
    free = sum(entry.streams - entry.stalled_streams for entry in comparisons)
    stalled = sum(entry.stalled_streams for entry in comparisons)
    if not free or not stalled:
        missing = "stream" if free == stalled else "free-running stream" if not free else "stalled stream"
        return UnitVerdict(unit, NOT_YET, f"no {missing} was compared")
    simulators = ", ".join(sorted({entry.simulator for entry in comparisons}))
    reason = f"{free} free-running and {stalled} stalled streams equal the law and the reference ({simulators})"
    return UnitVerdict(unit, PROVED, reason)


def merge(comparisons: list[Comparison]) -> list[Comparison]:
    """Add up comparisons of the same engine, layer and simulator, in that order."""
    merged: dict[tuple[str, int, str], Comparison] = {}
    for entry in comparisons:
        key = (entry.engine, entry.layer, entry.simulator)
        if key not in merged:
            merged[key] = Comparison(entry.engine, entry.layer, entry.layer_name, entry.simulator)
        merged[key].add(entry)
    order = {engine: number for number, engine in enumerate(ENGINES)}
    return [merged[key] for key in sorted(merged, key=lambda key: (order[key[0]], *key[1:]))]


def tile_path(out: Path, stream: str, simulator: str) -> Path:
    """Name of a failing tile's file in folder `out`."""
    return out / f"{stream.replace(' ', '-')}-{simulator}.tile"
