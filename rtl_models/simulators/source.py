"""Which Python sources a unit's hardware comes from, as one hash."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import threading
from pathlib import Path

from rtl_models.units import Unit

_PARSER = threading.Lock()  # CPython 3.11 counts the recursion of all threads' parsers together, and fails


def source_hash(unit: Unit) -> str:
    """Return a hash of the unit's block, parameters, ports, and every module of its package that it imports."""
    digest = hashlib.sha256()
    block = f"{unit.block.__module__}.{unit.block.__qualname__}"
    digest.update(repr((block, sorted(unit.parameters.items()), unit.inputs, unit.outputs)).encode())
    for path in sorted(_closure(unit.block.__module__)):
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()


def _closure(module: str) -> set[str]:
    """Return the files of `module` and of all modules under rtl_models or its own package that it needs."""
    packages = {module.split(".")[0], "rtl_models"}
    found: set[str] = set()
    to_do = [path for path in (_origin(module),) if path is not None]
    while to_do:
        path = to_do.pop()
        if path in found:
            continue
        found.add(path)
        for name in _imports(Path(path).read_bytes()):
            if name.split(".")[0] in packages:
                origin = _origin(name)
                if origin is not None:
                    to_do.append(origin)
    return found


@functools.cache
def _imports(text: bytes) -> list[str]:
    """Return the names that a source imports absolutely, with ``package.name`` for ``from package import name``."""
    names: list[str] = []
    with _PARSER:
        tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def _origin(name: str) -> str | None:
    """Return the file of module `name`, None where there is no such module (an attribute of one)."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    return spec.origin if spec is not None else None
