"""Files of DRAM requests: one burst per line, ``R 0xADDR`` or ``W 0xADDR``, plain or compressed by gzip.

Read: what follows ``#`` and blank lines are skipped, and Ramulator's ``LD`` and ``ST`` stand for ``R`` and ``W``.
Written: these lines, or Ramulator 2's load/store traces, which know neither comments nor compression
(github.com/CMU-SAFARI/ramulator2, src/ramulator/frontend/impl/memory_trace/loadstore_trace.cpp).
"""

from __future__ import annotations

import gzip
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtl_models.errors import InputError

Addresses = NDArray[np.int64]
Flags = NDArray[np.bool_]

Dialect = Literal["requests", "ramulator"]
KINDS: dict[Dialect, tuple[str, str]] = {"requests": ("R", "W"), "ramulator": ("LD", "ST")}

_GZIP_MAGIC = b"\x1f\x8b"
_LINE = "R 0xADDR or W 0xADDR"
_SHOWN_CHARACTERS = 40
_LINES_PER_CHUNK = 65_536
_TOO_LARGE = 1 << 60  # what the scanner stores for anything larger, so that no address wraps


def read_request_trace(
    path: str | os.PathLike[str], burst_bytes: int, capacity_bytes: int, align: bool = False
) -> tuple[Addresses, Flags]:
    """Return the requests of a file as (byte addresses int64[n], is_write bool[n]).

    Every address must be a multiple of `burst_bytes`, or is rounded down to one if `align` is set, and lie below
    `capacity_bytes`. Raises InputError with the line for whatever is wrong in the file.
    """
    data = _content(Path(path))
    most = int(np.count_nonzero(data == ord("\n"))) + 1
    addresses, is_write = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.bool_)
    count, bad = _scan(data, addresses, is_write)
    addresses, is_write = addresses[:count].copy(), is_write[:count].copy()
    _check_addresses(path, data, addresses, burst_bytes, capacity_bytes, align)
    if bad >= 0:
        number, text = _line_at(data, bad)
        raise InputError("malformed request", f"{path}:{number}", text, _LINE)
    if not count:
        raise InputError("no requests in the file", str(path), allowed=f"lines of {_LINE}")
    return addresses // burst_bytes * burst_bytes if align else addresses, is_write


def write_request_trace(
    path: str | os.PathLike[str],
    addresses: Addresses,
    is_write: Flags,
    comments: Iterable[str] | None = None,
    dialect: Dialect = "requests",
) -> None:
    """Write requests into a file that appears whole or not at all; one named ``*.gz`` is compressed.

    `comments` gives a text for the end of each line. Raises InputError if the file cannot be written, and if Ramulator
    could not read it; ValueError if there are not as many flags or comments as addresses.
    """
    compress = Path(path).suffix == ".gz"
    if dialect == "ramulator" and (compress or comments is not None):
        what = "compressed" if compress else "with comments"
        raise InputError(f"Ramulator reads no trace {what}", str(path), allowed="plain lines of LD 0xADDR or ST 0xADDR")
    with _replacing(Path(path)) as stream:
        out = gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=stream, mtime=0) if compress else stream
        for lines in _chunks(addresses, is_write, comments, KINDS[dialect]):
            out.write(lines)
        if compress:
            out.close()


def _content(path: Path) -> NDArray[np.uint8]:
    """Return a file's bytes, decompressed where it is a gzip file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the requests ({error.strerror or error})", str(path)) from error
    if content.startswith(_GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except EOFError as error:
            raise InputError("the gzip file is truncated", str(path)) from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"the gzip file is damaged ({error})", str(path)) from error
    return np.frombuffer(content, dtype=np.uint8)


def _check_addresses(
    path: str | os.PathLike[str],
    data: NDArray[np.uint8],
    addresses: Addresses,
    burst_bytes: int,
    capacity_bytes: int,
    align: bool,
) -> None:
    """Raise InputError for the first address beyond the capacity or, without `align`, between two bursts."""
    wrong = addresses >= capacity_bytes
    if not align:
        wrong |= addresses % burst_bytes != 0
    if not wrong.any():
        return
    index = int(wrong.argmax())
    _, position = _scan(data, np.empty(index, dtype=np.int64), np.empty(index, dtype=np.bool_))
    number, text = _line_at(data, position)
    if addresses[index] >= capacity_bytes:
        raise InputError("address beyond the capacity", f"{path}:{number}", text, f"below {capacity_bytes:#x}")
    what = "address not aligned to the burst"
    raise InputError(what, f"{path}:{number}", text, f"multiples of {burst_bytes} bytes, or rounding down (--align)")


def _line_at(data: NDArray[np.uint8], position: int) -> tuple[int, str]:
    """Return the number, from 1, of the line that starts at `position`, and its text, short enough for a message."""
    number = int(np.count_nonzero(data[:position] == ord("\n"))) + 1
    line = data[position : position + _SHOWN_CHARACTERS + 1].tobytes().split(b"\n")[0]
    text = line.decode("utf-8", "replace").strip()
    return number, text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


@njit(nogil=True, cache=True)
def _scan(data: NDArray[np.uint8], addresses: Addresses, is_write: Flags) -> tuple[int, int]:
    """Store the requests in `data`; return their number, and where the first line begins that is none, or -1.

    A line behind as many requests as the arrays can take counts as none.
    """
    count, position, length = 0, 0, len(data)
    while position < length:
        line = position
        position = _blanks_end(data, position)
        if position < length and data[position] != ord("\n") and data[position] != ord("#"):
            position, address, write = _request(data, position)
            if position < 0 or count == len(addresses):
                return count, line
            addresses[count], is_write[count] = address, write
            count += 1
            position = _blanks_end(data, position)
        if position < length and data[position] == ord("#"):
            while position < length and data[position] != ord("\n"):
                position += 1
        if position < length and data[position] != ord("\n"):
            return count - 1, line
        position += 1
    return count, -1


@njit(nogil=True, cache=True)
def _blanks_end(data: NDArray[np.uint8], position: int) -> int:
    """Return where the spaces, tabs and carriage returns from `position` on end."""
    while position < len(data) and (
        data[position] == ord(" ") or data[position] == ord("\t") or data[position] == ord("\r")
    ):
        position += 1
    return position


@njit(nogil=True, cache=True)
def _request(data: NDArray[np.uint8], position: int) -> tuple[int, int, bool]:
    """Return the end of the request at `position`, -1 where there is none, its address, and whether it writes."""
    kind_end = position
    while kind_end < len(data) and data[kind_end] >= ord("A"):
        kind_end += 1
    first = data[position]
    if kind_end - position == 1 and (first == ord("R") or first == ord("W")):
        write = first == ord("W")
    elif kind_end - position == 2 and (
        (first == ord("L") and data[position + 1] == ord("D")) or (first == ord("S") and data[position + 1] == ord("T"))
    ):
        write = first == ord("S")
    else:
        return -1, 0, False
    start = _blanks_end(data, kind_end)
    if (
        start == kind_end
        or start + 2 >= len(data)
        or data[start] != ord("0")
        or (data[start + 1] != ord("x") and data[start + 1] != ord("X"))
    ):
        return -1, 0, False
    end = start + 2
    address = 0
    while end < len(data):
        digit = _hex_digit(data[end])
        if digit < 0:
            break
        address = address * 16 + digit if address < _TOO_LARGE // 16 else _TOO_LARGE
        end += 1
    return (-1 if end == start + 2 else end), address, write


@njit(nogil=True, cache=True)
def _hex_digit(character: int) -> int:
    if ord("0") <= character <= ord("9"):
        return character - ord("0")
    if ord("a") <= character <= ord("f"):
        return character - ord("a") + 10
    if ord("A") <= character <= ord("F"):
        return character - ord("A") + 10
    return -1


def _chunks(
    addresses: Addresses, is_write: Flags, comments: Iterable[str] | None, kinds: tuple[str, str]
) -> Iterator[bytes]:
    """Give the lines of a file, many at a time."""
    if len(addresses) != len(is_write):
        raise ValueError(f"{len(addresses)} addresses, but {len(is_write)} flags")
    texts = None if comments is None else iter(comments)
    for start in range(0, len(addresses), _LINES_PER_CHUNK):
        chunk = slice(start, start + _LINES_PER_CHUNK)
        requests = zip(addresses[chunk].tolist(), is_write[chunk].tolist(), strict=True)
        lines = [f"{kinds[write]} {address:#x}" for address, write in requests]
        if texts is not None:
            ends = list(islice(texts, len(lines)))
            if len(ends) < len(lines):
                raise ValueError(f"{start + len(ends)} comments, but {len(addresses)} addresses")
            lines = [f"{line}  # {end}" for line, end in zip(lines, ends, strict=True)]
        yield ("\n".join(lines) + "\n").encode()
    if texts is not None and next(texts, None) is not None:
        raise ValueError(f"more comments than {len(addresses)} addresses")


@contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    """Give a temporary file beside `target` that takes its place in the end, and vanishes on any exception."""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(handle)
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise InputError(f"cannot write the requests ({error.strerror or error})", str(target)) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
