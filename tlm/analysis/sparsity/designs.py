"""The machines of the study: how forward and weight update meet spikes decides what sparsity can do for them."""

from __future__ import annotations

from typing import Any

from tlm.analysis.evaluation.ablations import Ablation
from tlm.config import ADDERS, LUT, ZERO_SKIPPING, Config

TABLES, SKIPPED_TILES, SKIPPING_ADDERS = "tables", "tables, zero tiles skipped", "zero-skipping adders"


def list_designs(config: Config) -> dict[str, Config]:
    """Return the designs by name: `config` with tables, with tables whose zero tiles are skipped, with adders.

    The backward engine has both of its skips in all of them.
    """
    changes = {
        TABLES: _elements(LUT, skip=False),
        SKIPPED_TILES: _elements(LUT, skip=True),
        SKIPPING_ADDERS: _elements(ZERO_SKIPPING, skip=False),
    }
    return {
        name: Ablation("sparsity", name, (*_backward(True), *made)).config_of(config) for name, made in changes.items()
    }


def dense(design: Config) -> Config:
    """Return a design without what makes use of zeros: what analytical models multiply a density with."""
    adders = design.forward_engine.element == ZERO_SKIPPING
    changes = (*_backward(skip=False), *_elements(ADDERS if adders else LUT, skip=False))
    return Ablation("sparsity", f"{design.name}, dense", changes).config_of(design)


def _elements(element: str, skip: bool) -> tuple[tuple[str, Any], ...]:
    engines = tuple((f"{engine}.element", element) for engine in ("forward_engine", "weight_update_engine"))
    return (*engines, ("lut.skip_zero_tiles", skip))


def _backward(skip: bool) -> tuple[tuple[str, Any], ...]:
    return (("backward_engine.skip_zero_gradients", skip), ("backward_engine.skip_inactive_outputs", skip))
