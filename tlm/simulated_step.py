"""A simulated training step with the machine and the trace it belongs to: what a script or a notebook looks at."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from tlm.config import Config
from tlm.report.result import build_result
from tlm.simulation import EngineTime, SimulationResult, simulate
from workloads.trace_file import Trace

_HEADINGS = ("engine", "busy", "blocked", "starved", "waits mostly for")


@dataclass(frozen=True, repr=False, eq=False)
class SimulatedStep:
    """One training step on one machine. Times are whole picoseconds, `_us` are microseconds, shares are 0 to 1.

    `result` is all that the simulation found: spans, intervals, transfers, bytes by stream. In a notebook a step shows
    itself as a table of its engines.
    """

    config: Config
    result: SimulationResult
    _content: dict[str, Any]

    @property
    def cycles(self) -> int:
        """Clock cycles of the step, the last one counted whole."""
        return self.result.cycles

    @property
    def time_ps(self) -> int:
        """Time of the step."""
        return self.result.time_ps

    @property
    def time_us(self) -> float:
        """Time of the step in microseconds."""
        return self.result.time_ps / 1e6

    @property
    def engines(self) -> dict[str, EngineTime]:
        """Busy, blocked and starved time of each engine; the three add up to the time of the step."""
        return self.result.engines

    @property
    def stalls_ps(self) -> dict[tuple[str, str, str], int]:
        """Time by (engine, ``blocked`` or ``starved``, reason), the longest first."""
        found = {
            (name, state, reason): ps
            for name, engine in self.engines.items()
            for state, reasons in (("blocked", engine.blocked_ps), ("starved", engine.starved_ps))
            for reason, ps in reasons.items()
        }
        return dict(sorted(found.items(), key=lambda entry: -entry[1]))

    @property
    def dram_bytes(self) -> dict[str, int]:
        """Bytes read and written in DRAM, by stream."""
        read, written = self.result.dram_read_bytes, self.result.dram_written_bytes
        return {stream: read[stream] + written[stream] for stream in read}

    def busy_share(self, engine: str) -> float:
        """Share of the step that `engine` was busy; raises KeyError for one that the machine does not have."""
        return self.engines[engine].busy_ps / self.time_ps

    def to_dict(self) -> dict[str, Any]:
        """Return plain data under the keys of `result.json` (docs/result.md); `training` and `cosim` are None."""
        return copy.deepcopy(self._content)

    def __repr__(self) -> str:
        return f"SimulatedStep({self._title()}: {self.cycles:,} cycles, {self.time_us:,.2f} us)"

    def _repr_html_(self) -> str:
        """The engines as a table, as notebooks show it."""
        head = "".join(f"<th>{heading}</th>" for heading in _HEADINGS)
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self._rows())
        title = f"{self._title()}: {self.cycles:,} cycles, {self.time_us:,.2f} us"
        return f"<table><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def _title(self) -> str:
        network = self._content["network"]
        return f"{network['name']}, batch {network['batch']}, on {self.config.name}"

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for name, engine in self.engines.items():
            waits = engine.starved_ps | engine.blocked_ps
            longest = max(waits, key=lambda reason: waits[reason], default=None)
            main = "" if longest is None else f"{longest} ({waits[longest] / self.time_ps:.0%})"
            parts = (engine.busy_ps, sum(engine.blocked_ps.values()), sum(engine.starved_ps.values()))
            yield name.replace("_", " "), *(f"{part / self.time_ps:.1%}" for part in parts), main


def simulate_step(trace: Trace, config: Config, transactions: Path | None = None) -> SimulatedStep:
    """Simulate the step of `trace` on `config`, and keep what both say of themselves.

    `transactions` names a Parquet file for every DRAM transaction. Raises as `tlm.simulation.simulate` does.
    """
    result = simulate(trace, config, transactions)
    provenance = {"command": "", "trace": str(trace.path)}
    content = build_result(trace, config, result, training=None, cosim=None, provenance=provenance)
    return SimulatedStep(config, result, content)
