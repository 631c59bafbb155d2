"""The journal of a long co-simulation: the counts of every job done, kept in the cache folder until all are."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rtl_models.simulators.build import cache_folder
from tlm import journal
from tlm.cosim.result import Comparison
from tlm.journal import run_identity

__all__ = ["Counts", "Journal", "run_identity"]

Counts = list[Comparison]


class Journal(journal.Journal[int, Counts]):
    """Counts by the number of the job, in the file that the run's identity names."""

    def __init__(self, identity: str, folder: Path | None = None) -> None:
        path = (folder or cache_folder() / "cosim") / f"{identity}.jsonl"
        super().__init__(path, "the co-simulation", _pack, _unpack)


def _pack(counts: Counts) -> list[dict[str, Any]]:
    return [asdict(count) for count in counts]


def _unpack(entries: list[dict[str, Any]]) -> Counts:
    return [Comparison(**entry) for entry in entries]
