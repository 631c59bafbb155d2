"""Imported networks as files: a network file, and beside it the file of its weights."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from rtl_models.errors import InputError
from workloads.atomic import check_writable, replacing
from workloads.importers.chain import Imported
from workloads.weights_file import write_weights

WEIGHTS_SUFFIX = ".weights.h5"


def write_network(imported: Imported, path: str | Path) -> tuple[Path, Path]:
    """Write ``NAME.yaml`` and ``NAME.weights.h5`` beside it; returns both paths.

    What the mapping changed stands at the head of the network file. Raises InputError for a path that does not end in
    .yaml and a folder that cannot be written.
    """
    path = Path(path)
    if path.suffix != ".yaml":
        raise InputError("a network file ends in .yaml", "out", str(path))
    check_writable(path)
    weights = path.with_suffix(WEIGHTS_SUFFIX)
    write_weights(weights, imported.network.layers, imported.weights)
    text = "".join(f"{line}\n" for line in _lines(imported, weights.name))
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path, weights


def _lines(imported: Imported, weights: str) -> Iterator[str]:
    """The lines of a network file: one for every key and every layer, behind the notes."""
    for note in imported.notes:
        yield from textwrap.wrap(note, 118, initial_indent="# ", subsequent_indent="#   ")
    for key, value in (imported.network.to_dict() | {"weights": weights}).items():
        if key == "layers":
            yield "layers:"
            yield from (f"  - {_flow(layer)}" for layer in value)
        else:
            yield f"{key}: {_flow(value)}"


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, sort_keys=False, default_flow_style=True, width=1 << 20)
    return text.removesuffix("...\n").strip()
