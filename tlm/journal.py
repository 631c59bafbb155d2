"""A journal of the parts of a long job that are done, so that an interrupted one goes on where it was."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType, TracebackType
from typing import IO, Any, Generic, Self, TypeVar

import rtl_models
import tlm
import workloads
from rtl_models.errors import InputError

Key = TypeVar("Key", int, str)
Value = TypeVar("Value")


class Journal(Generic[Key, Value]):
    """One line for every part done, with its result; a line that a kill cut short does not count.

    `pack` turns a result into what JSON holds and `unpack` turns it back. Two processes do not share a journal: the
    second one keeps none (`recording` is False). Raises InputError where the file cannot be written; `what` is the job
    in its text.
    """

    def __init__(self, path: Path, what: str, pack: Callable[[Value], Any], unpack: Callable[[Any], Value]) -> None:
        self.path, self._what = path, what
        self._pack, self._unpack = pack, unpack
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = self.path.open("a+b")
        except OSError as error:
            raise self._cannot_write(error) from error
        self.recording = True
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.recording = False
        self.done: dict[Key, Value] = self._read() if self.recording else {}
        """Results of the parts done, by key."""

    def add(self, key: Key, value: Value) -> None:
        """Record a part that is done; raises InputError where the disk is full."""
        if not self.recording:
            return
        text = json.dumps({"key": key, "value": self._pack(value)})
        try:
            self._file.write(f"{zlib.crc32(text.encode()):08x} {text}\n".encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._cannot_write(error) from error

    def finish(self) -> None:
        """Forget everything: the job is complete."""
        if self.recording:
            self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # what a full disk did not take was said already
            self._file.close()

    def _cannot_write(self, error: OSError) -> InputError:
        return InputError(f"cannot write the journal of {self._what} ({error.strerror})", str(self.path))

    def _read(self) -> dict[Key, Value]:
        """Read the whole lines; what follows the last of them is cut off."""
        self._file.seek(0)
        done: dict[Key, Value] = {}
        good = 0
        for line in self._file:
            checksum, _, text = line.partition(b" ")
            if not line.endswith(b"\n") or checksum != f"{zlib.crc32(text.rstrip()):08x}".encode():
                break
            entry = json.loads(text)
            done[entry["key"]] = self._unpack(entry["value"])
            good += len(line)
        self._file.truncate(good)
        return done


def run_identity(parts: Iterable[str], packages: tuple[ModuleType, ...] = (rtl_models, tlm, workloads)) -> str:
    """Return a name for a run of these parts (trace, configuration, hardware, ...) with the programs as they are.

    `packages` are those whose programs decide the outcome.
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\0")
    digest.update(_programs(packages))
    return digest.hexdigest()[:32]


@cache
def _programs(packages: tuple[ModuleType, ...]) -> bytes:
    """Digest of every source file and table of some packages."""
    digest = hashlib.sha256()
    for package in packages:
        for folder in package.__path__:
            for path in sorted(Path(folder).rglob("*")):
                if path.suffix in (".py", ".yaml"):
                    digest.update(path.read_bytes())
    return digest.digest()
