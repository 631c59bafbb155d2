"""AEDAT 3.1 files, written here field by field."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_models.errors import InputError
from tests.workloads.files import Row, aedat_bytes, aedat_packet
from workloads.aedat import read_aedat

ROWS = st.lists(
    st.tuples(
        st.integers(0, (1 << 31) - 1), st.integers(0, (1 << 15) - 1), st.integers(0, (1 << 15) - 1), st.integers(0, 1)
    ),
    max_size=8,
)
ONE = aedat_packet([(5, 1, 2, 1)])


def read(path: Path, content: bytes) -> list[Row]:
    path.write_bytes(content)
    events = read_aedat(path)
    return list(zip(events.time_us, events.y, events.x, events.on, strict=True))


@settings(derandomize=True, deadline=None)
@given(packets=st.lists(st.tuples(ROWS, st.integers(0, 3)), max_size=4), end=st.booleans())
def test_events_come_back(
    tmp_path_factory: pytest.TempPathFactory, packets: list[tuple[list[Row], int]], end: bool
) -> None:
    content = aedat_bytes([aedat_packet(rows, overflow) for rows, overflow in packets], end=end)
    expected = [(t + (overflow << 31), y, x, on) for rows, overflow in packets for t, y, x, on in rows]
    assert read(tmp_path_factory.mktemp("aedat") / "a.aedat", content) == expected


def test_packets_of_other_kinds_are_passed_over(tmp_path: Path) -> None:
    special = struct.pack("<HHIIIIII", 0, 1, 4, 0, 0, 3, 3, 3) + bytes(12)
    assert read(tmp_path / "a", aedat_bytes([special, ONE, special])) == [(5, 1, 2, 1)]


def test_events_marked_as_invalid_are_left_out(tmp_path: Path) -> None:
    rows = [(1, 1, 1, 1), (2, 2, 2, 0), (3, 3, 3, 1)]
    packet = aedat_packet(rows, valid=[True, False, True])
    assert read(tmp_path / "a", aedat_bytes([packet])) == [rows[0], rows[2]]
    unmarked = bytearray(aedat_packet(rows, valid=[False] * 3))
    unmarked[24:28] = struct.pack("<I", 3)  # all are said to be valid: the marks play no part
    assert read(tmp_path / "a", aedat_bytes([bytes(unmarked)])) == rows


def packet_header(kind: int, size: int, overflow: int, number: int) -> bytes:
    return struct.pack("<hhiiiiii", kind, 0, size, 4, overflow, number, number, number)


NO_HEADER = "byte 105: not the header of a packet, got"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            aedat_bytes([ONE], version="2.0"),
            r"unknown format of a recording, got '#!AER-DAT2\.0', allowed: #!AER-DAT3\.1$",
        ),
        (aedat_bytes([ONE], version="3.10"), r"unknown format of a recording, got '#!AER-DAT3\.10'"),
        (b"", "unknown format of a recording, got ''"),
        (b"\xff\xfe", "unknown format of a recording"),
        (b"#!AER-DAT3.1\r\n#Format", "byte 21: the recording is cut off in its header$"),
        (
            aedat_bytes([ONE, ONE[:10]]),
            "byte 141: the recording is cut off in a packet's header, got '10 bytes', allowed: 28 bytes$",
        ),
        (aedat_bytes([ONE[:-1]]), "byte 105: the recording is cut off in a packet, got '7 bytes', allowed: 8 bytes$"),
        (
            aedat_bytes([packet_header(1, 12, 0, 1) + bytes(12)]),
            f"{NO_HEADER} 'type 1, 1 events of 12 bytes, overflow 0', allowed: polarity events of 8 bytes$",
        ),
        (aedat_bytes([packet_header(2, 8, 0, -1)]), f"{NO_HEADER} 'type 2, -1 events"),
        (aedat_bytes([packet_header(2, 0, 0, 1)]), f"{NO_HEADER} 'type 2, 1 events of 0 bytes"),
        (aedat_bytes([packet_header(1, 8, -1, 1)]), f"{NO_HEADER} 'type 1, 1 events of 8 bytes, overflow -1'"),
    ],
)
def test_words_for_broken_files(tmp_path: Path, content: bytes, text: str) -> None:
    with pytest.raises(InputError, match=rf"a\.aedat: {text}"):
        read(tmp_path / "a.aedat", content)


def test_words_for_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none: cannot read the recording \(No such file or directory\)$"):
        read_aedat(tmp_path / "none")
