"""The folder that an export is written into."""

from __future__ import annotations

from pathlib import Path

from rtl_models.errors import InputError


def make_folder(folder: Path) -> None:
    """Make `folder` and those above it where they are missing; raises InputError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder cannot be made ({error.strerror})", str(folder)) from error
