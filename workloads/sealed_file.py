"""HDF5 files under a seal: a 512-byte text header with kind, schema version, size and SHA-256 of all that follows.

HDF5 leaves the first 512 bytes (its "user block") to the application, so a sealed file is an ordinary HDF5 file to
any reader of that format. The header is checked before the HDF5 library sees a byte, since that library is not made for
damaged files. Layout: docs/trace.md.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedRandom, BufferedReader
from pathlib import Path

import h5py

from rtl_models.errors import InputError
from workloads.atomic import replacing

HEADER_BYTES = 512  # the smallest user block, HDF5 file format specification 3.0, section II.A
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEADER = re.compile(rb"h2learn (\w{1,16})\nschema (\d{1,9})\nbytes (\d{1,19})\nsha256 ([0-9a-f]{64})\n\0+")
_MAGIC = b"h2learn "


@dataclass(frozen=True)
class Kind:
    """A kind of sealed file: one word, and the only schema version that this program reads and writes."""

    word: str
    schema: int


def write_sealed(path: Path, kind: Kind, fill: Callable[[h5py.File], None]) -> str:
    """Let `fill` write an HDF5 file, seal it and put it at `path` in one step; returns the SHA-256 in hex.

    Raises InputError if the folder cannot be written; nothing is left behind then.
    """
    with replacing(path) as temporary:
        with h5py.File(temporary, "w", userblock_size=HEADER_BYTES, locking=False) as file:
            fill(file)
        with open(temporary, "r+b") as raw:
            size = os.fstat(raw.fileno()).st_size
            digest = _digest(raw)
            raw.seek(0)
            raw.write(_header(kind, size, digest))
    return digest


def open_sealed(path: Path, kind: Kind) -> tuple[h5py.File, str]:
    """Check the seal of the file at `path` and open it; returns the HDF5 file and its SHA-256 in hex.

    Raises InputError, each with its own words, for a file that cannot be read, is not HDF5, is not of this `kind`, has
    another schema version (checked before size and checksum), is truncated, or differs from its checksum.
    """
    where = str(path)
    try:
        with open(path, "rb") as raw:
            size, digest = _parse_header(raw.read(HEADER_BYTES), kind, where)
            actual = os.fstat(raw.fileno()).st_size
            if actual != size:
                what = "truncated" if actual < size else "longer than its header says"
                raise InputError(f"the {kind.word} is {what}", where, f"{actual} bytes", f"{size} bytes")
            actual_digest = _digest(raw)
        if actual_digest != digest:
            raise InputError(f"the {kind.word} is damaged: wrong checksum", where, actual_digest, digest)
        return h5py.File(path, "r", locking=False), digest
    except OSError as error:
        raise InputError(f"cannot read the {kind.word} ({error.strerror or error})", where) from error


def _header(kind: Kind, size: int, digest: str) -> bytes:
    text = f"h2learn {kind.word}\nschema {kind.schema}\nbytes {size}\nsha256 {digest}\n"
    return text.encode("ascii").ljust(HEADER_BYTES, b"\0")


def _digest(raw: BufferedReader | BufferedRandom) -> str:
    """SHA-256 of everything after the header."""
    raw.seek(HEADER_BYTES)
    return hashlib.file_digest(raw, "sha256").hexdigest()


def _parse_header(header: bytes, kind: Kind, where: str) -> tuple[int, str]:
    """Return the size and digest that `header` states; raises InputError."""
    if len(header) < HEADER_BYTES and header.startswith(_MAGIC):
        raise InputError(
            f"the {kind.word} is truncated", where, f"{len(header)} bytes", "a header of 512 bytes and data"
        )
    match = _HEADER.fullmatch(header)
    if match is None:
        if header.startswith(_MAGIC):
            raise InputError(f"the {kind.word} is damaged: its header is not readable", where)
        if header.startswith(_HDF5_SIGNATURE) or h5py.is_hdf5(where):
            raise InputError(f"an HDF5 file, but without the header of a {kind.word} of h2learn", where)
        raise InputError("not an HDF5 file", where, header[:8], f"a {kind.word} written by h2learn")
    word, schema, size, digest = (part.decode("ascii") for part in match.groups())
    if word != kind.word:
        raise InputError(f"not a {kind.word}", where, word, kind.word)
    if int(schema) != kind.schema:
        raise InputError(f"the {kind.word} has another schema version", where, int(schema), str(kind.schema))
    if header != _header(kind, int(size), digest):
        raise InputError(f"the {kind.word} is damaged: its header is not readable", where)
    return int(size), digest
