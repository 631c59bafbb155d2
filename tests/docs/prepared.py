"""The files that examples may take for granted: the trace of the tutorial, also where `h2learn run` would put one."""

from __future__ import annotations

import shutil
from pathlib import Path

import tlm

TRACES = ("step.h5", "h2learn-run/trace.h5")


def prepare(folder: Path, source: Path | None = None) -> None:
    """Put the traces into `folder`: copies of those in `source`, or made as the tutorial makes them."""
    first, *others = (folder / name for name in TRACES)
    if source is None:
        tlm.train("digits-mlp", first, "edge", steps=45, batch=16)
    else:
        shutil.copy(source / TRACES[0], first)
    for other in others:
        other.parent.mkdir(exist_ok=True)
        shutil.copy(first, other)
