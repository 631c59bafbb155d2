"""Reads what a run left behind, and makes the page of its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from tlm.report.page.run_page import run_page
from tlm.report.result import SCHEMA

RESULT, TIMELINE = "result.json", "timeline.json"
PAGE = "report.html"
_ALLOWED = "a folder that h2learn run wrote"


def folder_page(folder: Path) -> str:
    """Return the page of the run in `folder`.

    Raises InputError if there is no such folder, no run in it, or one that is damaged or of another version.
    """
    if not folder.is_dir():
        raise InputError("is not a folder" if folder.exists() else "no such folder", str(folder), None, _ALLOWED)
    if not (folder / RESULT).exists():
        raise InputError(f"has no {RESULT}", str(folder), None, _ALLOWED)
    content = _read(folder / RESULT)
    version = content.get("schema") if isinstance(content, dict) else None
    if version != SCHEMA:
        raise InputError("is of another version", str(folder / RESULT), version, f"{SCHEMA}: run it again")
    timeline = _read(folder / TIMELINE)
    try:
        return run_page(content, timeline["traceEvents"])
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        what = f"is damaged ({type(error).__name__}: {error})"
        raise InputError(what, str(folder), None, "files as h2learn run wrote them") from error


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError("is missing", str(path), None, "files as h2learn run wrote them") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON ({error})", str(path), None, "a file as h2learn run wrote it") from error
