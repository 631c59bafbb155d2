"""What the layout of the project promises, as checks on source text; each returns one line per violation.

Kept apart from the test that runs them over the tree, so that the checks themselves can be tested on bad sources.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

PACKAGES = ("rtl_models", "workloads", "tlm")

# Which packages of the project a package may import, beside itself. The longest matching prefix counts.
MAY_IMPORT: Mapping[str, tuple[str, ...]] = {
    "rtl_models": (),
    "workloads": ("rtl_models",),
    "tlm": ("rtl_models", "workloads"),
    "tlm.kernel": (),
    "tlm.memory": ("tlm.kernel", "rtl_models.errors", "rtl_models.reference.threads"),
    "tlm.testing": ("tlm.kernel",),
    "tlm.schedule": ("tlm.config", "tlm.engines.lut_row_law", "rtl_models", "workloads"),
    "tlm.sweep": (
        "tlm.analysis",
        "tlm.config",
        "tlm.journal",
        "tlm.processes",
        "tlm.report.result",
        "tlm.schedule",
        "tlm.simulation",
        "tlm.trace_config",
        "rtl_models",
        "workloads",
    ),
    "tlm.engines": ("tlm.kernel", "tlm.memory", "tlm.schedule", "tlm.config", "rtl_models", "workloads"),
}

MOST_LINES = 400
_ABSOLUTE_PATH = re.compile(r"(?<![\w.~}])/(?:work|root|home)/\w")
_INDEX_HOST = re.compile(
    r"\b(?:[\w-]+\.)*(?:pypi|pythonhosted|anaconda|artifactory)\.(?:org|com|io|net)\b|--(?:extra-)?index-url"
)


def module_name(path: str) -> str:
    """Return the dotted name of the module at `path`, relative to the project: ``a/b/__init__.py`` is ``a.b``."""
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def wrong_imports(path: str, source: str) -> list[str]:
    """Imports against the arrows, wherever in the module they stand."""
    module = module_name(path)
    owner = _longest_prefix(module, MAY_IMPORT)
    if owner is None:
        return []
    allowed = (owner, *MAY_IMPORT[owner])
    return [
        f"{path}:{line}: {owner} must not import {name}"
        for line, name in _imported(source, module, is_package=path.endswith("__init__.py"))
        if name.split(".")[0] in PACKAGES and _longest_prefix(name, allowed) is None
    ]


def prints(path: str, source: str) -> list[str]:
    """Calls of ``print``: a library does not write to the terminal."""
    return [
        f"{path}:{node.lineno}: print"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


def bare_excepts(path: str, source: str) -> list[str]:
    """Handlers without a type: they swallow Ctrl-C."""
    return [
        f"{path}:{node.lineno}: bare except"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]


def too_long(path: str, source: str) -> list[str]:
    """Modules of more lines than a reader takes in."""
    lines = len(source.splitlines())
    return [f"{path}: {lines} lines, at most {MOST_LINES}"] if lines > MOST_LINES else []


def tied_to_a_machine(path: str, source: str) -> list[str]:
    """Absolute paths of somebody's machine and names of package indexes: neither belongs to the project."""
    return [
        f"{path}:{number}: {match.group()}"
        for number, line in enumerate(source.splitlines(), start=1)
        for pattern in (_ABSOLUTE_PATH, _INDEX_HOST)
        for match in pattern.finditer(line)
    ]


def _imported(source: str, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """Every imported name as (line, dotted name); ``from a import b`` counts as ``a.b``, which may be a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, module, is_package)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def _base(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    """Return the absolute module that a ``from ... import`` starts from."""
    if not node.level:
        return node.module or ""
    parents = module.split(".")
    climb = node.level - 1 if is_package else node.level
    return ".".join([*parents[: len(parents) - climb], *([node.module] if node.module else [])])


def _longest_prefix(name: str, prefixes: Mapping[str, object] | tuple[str, ...]) -> str | None:
    """Return the longest of `prefixes` that is `name` or a package around it."""
    fitting = [prefix for prefix in prefixes if name == prefix or name.startswith(f"{prefix}.")]
    return max(fitting, key=len, default=None)
