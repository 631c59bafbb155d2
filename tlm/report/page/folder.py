"""Reads what a run or a sweep left behind, and makes the page of its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from tlm.report.page.run_page import run_page
from tlm.report.page.sweep_page import sweep_page
from tlm.report.result import SCHEMA
from tlm.sweep.store import FORMAT, STORE, read_store
from tlm.sweep.summary import SUMMARY

RESULT, TIMELINE = "result.json", "timeline.json"
PAGE = "report.html"
_ALLOWED = "a folder that h2learn run or h2learn sweep wrote"
_UNTOUCHED = "files as h2learn wrote them"
_DAMAGE = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError)
"""What a file raises that is JSON or Parquet, and not what h2learn wrote."""


def folder_page(folder: Path) -> str:
    """Return the page of the run or the sweep in `folder`.

    Raises InputError if there is no such folder, neither in it, or one that is damaged, not at its end, or of another
    version.
    """
    if not folder.is_dir():
        raise InputError("is not a folder" if folder.exists() else "no such folder", str(folder), None, _ALLOWED)
    makers = {RESULT: _run_page, SUMMARY: _sweep_page}
    make = next((make for name, make in makers.items() if (folder / name).exists()), None)
    if make is None:
        raise InputError(f"has neither {' nor '.join(makers)}", str(folder), None, _ALLOWED)
    try:
        return make(folder)
    except InputError:
        raise
    except _DAMAGE as error:
        what = f"is damaged ({type(error).__name__}: {error})"
        raise InputError(what, str(folder), None, _UNTOUCHED) from error


def _run_page(folder: Path) -> str:
    content = _read(folder / RESULT, SCHEMA)
    return run_page(content, _json(folder / TIMELINE)["traceEvents"])


def _sweep_page(folder: Path) -> str:
    summary = _read(folder / SUMMARY, FORMAT)
    if not summary["complete"]:
        raise InputError("the sweep has not come to its end", str(folder), None, "h2learn sweep again: it goes on")
    rows, _ = read_store(folder / STORE)
    return sweep_page(summary, rows)


def _read(path: Path, schema: str) -> dict[str, Any]:
    """The content of a file of one version."""
    content = _json(path)
    version = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(content, dict) or version != schema:
        raise InputError("is of another version", str(path), version, f"{schema}: run it again")
    return content


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError("is missing", str(path), None, _UNTOUCHED) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON ({error})", str(path), None, _UNTOUCHED) from error
