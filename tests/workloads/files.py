"""Tiny files in the formats of public data sets, written value by value as their descriptions say."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

Row = tuple[int, int, int, int]  # time_us, y, x, on
CIFAR_FILES = ("data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin")


def cifar_record(label: int, first: int) -> bytes:
    """A record whose pixel at row y, column x has red first + y, green x and blue 7 y + x, modulo 256."""
    planes = [(lambda y, x: first + y), (lambda y, x: x), (lambda y, x: 7 * y + x)]
    pixels = [plane(y, x) % 256 for plane in planes for y in range(32) for x in range(32)]
    return bytes([label, *pixels])


def write_cifar(folder: Path, records: int = 4) -> Path:
    """Five training files and a test file; record n of file f has label (f + n) mod 10 and first value 20 f + n."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate((*CIFAR_FILES, "test_batch.bin")):
        rows = (cifar_record((number + n) % 10, 20 * number + n) for n in range(records))
        (folder / name).write_bytes(b"".join(rows))
    return folder


def nmnist_bytes(rows: Iterable[Row]) -> bytes:
    """Events of 40 bits: x, y, polarity above 23 bits of microseconds."""
    content = b""
    for time_us, y, x, on in rows:
        word = x << 32 | y << 24 | on << 23 | time_us
        content += word.to_bytes(5, "big")
    return content


def write_nmnist(folder: Path, each: int = 2) -> Path:
    """`each` recordings of every digit on both sides; digit d's n-th lights up pixel (d, n), ON, then (33, 33), OFF."""
    for side in ("Train", "Test"):
        for digit in range(10):
            (folder / side / str(digit)).mkdir(parents=True)
            for n in range(each):
                rows = [(100, digit, n, 1), (300_000, 33, 33, 0)]
                (folder / side / str(digit) / f"{n:05d}.bin").write_bytes(nmnist_bytes(rows))
    return folder


def aedat_packet(rows: Sequence[Row], overflow: int = 0, kind: int = 1, valid: Sequence[bool] | None = None) -> bytes:
    """A packet of polarity events (`kind` 1), or of another kind in the same form."""
    marks = [True] * len(rows) if valid is None else list(valid)
    header = struct.pack("<HHIIIIII", kind, 0, 8, 4, overflow, len(rows), len(rows), sum(marks))
    events = b"".join(
        struct.pack("<II", x << 17 | y << 2 | on << 1 | mark, time_us)
        for (time_us, y, x, on), mark in zip(rows, marks, strict=True)
    )
    return header + events


def aedat_bytes(packets: Sequence[bytes], version: str = "3.1", end: bool = True) -> bytes:
    """A file: header lines, then packets."""
    lines = [f"#!AER-DAT{version}", "#Format: RAW", "#Source 0: DVS128", "#Start-Time: 2016-01-01 00:00:00 (TZ+0000)"]
    lines += ["#!END-HEADER"] if end else []
    return "".join(f"{line}\r\n" for line in lines).encode() + b"".join(packets)


def write_gestures(folder: Path, users: int = 2) -> Path:
    """Recordings of `users` people a side with all 11 gestures of 1,000 us, one after the other from 10,000 us on.

    Gesture g (0..10) of user u lights up pixel (4 g, 4 u), ON, in its first microsecond, (127, 127), OFF, in its last.
    """
    folder.mkdir(exist_ok=True)
    for side, first in (("train", 0), ("test", users)):
        names = [f"user{user:02d}_led" for user in range(first, first + users)]
        (folder / f"trials_to_{side}.txt").write_text("".join(f"{name}.aedat\n" for name in names))
        for user, name in enumerate(names):
            rows, table = [], ["class,startTime_usec,endTime_usec"]
            for g in range(11):
                start = 10_000 + 1_000 * g
                rows += [(start, 4 * g, 4 * user, 1), (start + 999, 127, 127, 0)]
                table.append(f"{g + 1},{start},{start + 1_000}")
            packets = [aedat_packet(rows[:10]), aedat_packet([(1, 0, 0, 0)], kind=0), aedat_packet(rows[10:])]
            (folder / f"{name}.aedat").write_bytes(aedat_bytes(packets))
            (folder / f"{name}_labels.csv").write_text("\n".join(table) + "\n")
    return folder
