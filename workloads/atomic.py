"""Files that appear whole or not at all: written beside their target, then renamed onto it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rtl_models.errors import InputError

_SUFFIX = ".partial"


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give the path of a temporary file in `target`'s folder; on success sync it and rename it onto `target`.

    On any exception, Ctrl-C included, the temporary file is removed and `target` stays as it was. What a killed process
    of this machine left behind is removed as well. Raises InputError if the folder cannot be written or the disk is
    full.
    """
    target = Path(os.path.realpath(target))
    try:
        _remove_leftovers(target)
        temporary = target.with_name(f"{_stem(target)}{os.getpid()}{_SUFFIX}")
        try:
            yield temporary
            _sync(temporary)
            os.replace(temporary, target)
            _sync(target.parent)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"cannot write the file ({error.strerror or error})", str(target)) from error


def check_writable(target: Path) -> None:
    """Raise InputError if a file cannot be put at `target`: found out before hours of work, not after."""
    if target.is_dir():
        raise InputError("is a folder", str(target), allowed="the name of a file")
    folder = Path(os.path.realpath(target)).parent
    if not folder.is_dir():
        raise InputError("the output folder does not exist", str(folder), allowed="an existing, writable folder")
    probe = folder / f"{_stem(target)}{os.getpid()}.probe"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        what = f"the output folder cannot be written ({error.strerror or error})"
        raise InputError(what, str(folder), allowed="an existing, writable folder") from error


def _stem(target: Path) -> str:
    return f".{target.name}.{platform.node()}-"


def _remove_leftovers(target: Path) -> None:
    """Remove temporary files of `target` whose writer, a process of this machine, no longer lives."""
    stem = _stem(target)
    for entry in os.scandir(target.parent):
        if not (entry.name.startswith(stem) and entry.name.endswith(_SUFFIX)):
            continue
        writer = entry.name[len(stem) : -len(_SUFFIX)]
        if writer.isdecimal() and not _lives(int(writer)):
            with suppress(OSError):
                os.unlink(entry.path)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _sync(path: Path) -> None:
    """Push a file's content, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
