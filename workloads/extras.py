"""Packages that only some users need: asked for by name, with the line that installs them where they are missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from rtl_models.errors import InputError


def require(module: str, extra: str) -> ModuleType:
    """Import and return `module`; raises InputError with the line that installs `extra` where its package is missing.

    A package that is there and fails to import keeps its own error.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise InputError(f"this needs the package {package}: pip install 'h2learn[{extra}]'") from error
