"""A journal of the jobs that a long co-simulation has done, so that an interrupted one goes on where it was."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import zlib
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO

import rtl_models
import tlm
import workloads
from rtl_models.errors import InputError
from rtl_models.simulators.build import cache_folder
from tlm.cosim.result import Comparison

Counts = list[Comparison]


class Journal:
    """One line for every job done, with its counts; a line that a kill cut short does not count.

    Two runs of the same work do not share a journal: the second one keeps none (`recording` is False). Raises
    InputError where the folder cannot be written.
    """

    def __init__(self, identity: str, folder: Path | None = None) -> None:
        self.path = (folder or cache_folder() / "cosim") / f"{identity}.jsonl"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = self.path.open("a+b")
        except OSError as error:
            what = f"cannot write the journal of the co-simulation ({error.strerror})"
            raise InputError(what, str(self.path)) from error
        self.recording = True
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.recording = False
        self.done: dict[int, Counts] = self._read() if self.recording else {}
        """Counts of the jobs done, by number."""

    def add(self, job: int, counts: Counts) -> None:
        """Record a job that is done."""
        if not self.recording:
            return
        text = json.dumps({"job": job, "counts": [asdict(count) for count in counts]})
        self._file.write(f"{zlib.crc32(text.encode()):08x} {text}\n".encode())
        self._file.flush()
        os.fsync(self._file.fileno())

    def finish(self) -> None:
        """Forget everything: the co-simulation is complete."""
        if self.recording:
            self.path.unlink(missing_ok=True)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _read(self) -> dict[int, Counts]:
        """Read the whole lines; what follows the last of them is cut off."""
        self._file.seek(0)
        done: dict[int, Counts] = {}
        good = 0
        for line in self._file:
            checksum, _, text = line.partition(b" ")
            if not line.endswith(b"\n") or checksum != f"{zlib.crc32(text.rstrip()):08x}".encode():
                break
            entry = json.loads(text)
            done[int(entry["job"])] = [Comparison(**count) for count in entry["counts"]]
            good += len(line)
        self._file.truncate(good)
        return done


def run_identity(parts: Iterable[str]) -> str:
    """Return a name for a run of these parts (trace, configuration, hardware, ...) with the programs as they are."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\0")
    for package in (rtl_models, tlm, workloads):
        for folder in package.__path__:
            for path in sorted(Path(folder).rglob("*.py")):
                digest.update(path.read_bytes())
    return digest.hexdigest()[:32]
