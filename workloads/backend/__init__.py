"""The machine as a backend of PyTorch: its forward pass, backward pass and weight update in an ordinary training loop.

PyTorch is imported when one of these names is first used; where it is missing, that raises InputError with the line
that installs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from workloads.extras import require

if TYPE_CHECKING:
    from workloads.backend.function import H2LearnFunction
    from workloads.backend.module import H2LearnModule
    from workloads.backend.optimiser import H2LearnSGD

__all__ = ["H2LearnFunction", "H2LearnModule", "H2LearnSGD"]

_MODULE_OF = {"H2LearnFunction": "function", "H2LearnModule": "module", "H2LearnSGD": "optimiser"}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require("torch", "torch")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
