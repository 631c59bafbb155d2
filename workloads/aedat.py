"""AEDAT 3.1 files: packets of events of many kinds, of which polarity events are read.

A header of lines that begin with ``#`` and end with CR LF, the first one ``#!AER-DAT3.1``, the last one (which some
recordings lack) ``#!END-HEADER``; then packets. A packet is a header of 28 bytes and its events, little-endian:

    bytes    0-1        2-3          4-7         8-11           12-15            16-19          20-23        24-27
             eventType  eventSource  eventSize   eventTSOffset  eventTSOverflow  eventCapacity  eventNumber  eventValid

A polarity event (type 1) is 8 bytes: data (valid mark in bit 0, polarity in bit 1, y in bits 2-16, x in bits 17-31) and
microseconds (31 bits, eventTSOverflow counting how often they ran over). Where all events of a packet are said to be
valid, the marks play no part. Sources: iniVation, "AEDAT 3.1" (docs.inivation.com, File Formats), and the README of the
DVS128 Gesture data set (research.ibm.com/interactive/dvsgesture).
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from rtl_models.errors import InputError
from workloads.events import Events

VERSION = b"#!AER-DAT3.1"
_END_OF_HEADER = b"#!END-HEADER"
_PACKET = struct.Struct("<hhiiiiii")
_POLARITY_TYPE = 1
_POLARITY_BYTES = 8
_TIME_BITS = 31
_COORDINATE = 0x7FFF


def read_aedat(path: Path) -> Events:
    """Read all polarity events; raises InputError, with file and byte, for another version and a file cut off."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the recording ({error.strerror})", str(path)) from error
    position = _skip_header(raw, path)
    words, overflows = [], []
    while position < len(raw):
        packet = _packet(raw, position, path)
        kind, size, overflow, number, valid = packet
        position += _PACKET.size
        if kind == _POLARITY_TYPE:
            pairs = np.frombuffer(raw, "<u4", 2 * number, position).reshape(-1, 2)
            if valid != number:
                pairs = pairs[pairs[:, 0] & 1 == 1]
            words.append(pairs.astype(np.int64))
            overflows.append(np.full(len(pairs), overflow << _TIME_BITS, np.int64))
        position += size * number
    pairs = np.concatenate(words) if words else np.empty((0, 2), np.int64)
    data, late = pairs[:, 0], np.concatenate(overflows) if overflows else np.empty(0, np.int64)
    return Events(pairs[:, 1] + late, data >> 2 & _COORDINATE, data >> 17 & _COORDINATE, data >> 1 & 1)


def _skip_header(raw: bytes, path: Path) -> int:
    """Return where the packets begin."""
    first = raw.split(b"\n", 1)[0].rstrip(b"\r")
    if first != VERSION:
        got = first[:40].decode("ascii", "replace")
        raise InputError("unknown format of a recording", str(path), got, VERSION.decode())
    position = 0
    while raw[position : position + 1] == b"#":
        end = raw.find(b"\n", position)
        if end < 0:
            raise InputError("the recording is cut off in its header", f"{path}: byte {len(raw)}")
        line, position = raw[position:end].rstrip(b"\r"), end + 1
        if line == _END_OF_HEADER:
            break
    return position


def _packet(raw: bytes, position: int, path: Path) -> tuple[int, int, int, int, int]:
    """Return type, event size, overflow count, events and valid events of the packet at `position`."""
    where = f"{path}: byte {position}"
    left = len(raw) - position - _PACKET.size
    if left < 0:
        left_bytes = f"{len(raw) - position} bytes"
        raise InputError("the recording is cut off in a packet's header", where, left_bytes, f"{_PACKET.size} bytes")
    kind, _, size, _, overflow, _, number, valid = _PACKET.unpack_from(raw, position)
    if number < 0 or size < 1 or overflow < 0 or (kind == _POLARITY_TYPE and size != _POLARITY_BYTES):
        got = f"type {kind}, {number} events of {size} bytes, overflow {overflow}"
        raise InputError("not the header of a packet", where, got, f"polarity events of {_POLARITY_BYTES} bytes")
    if size * number > left:
        raise InputError("the recording is cut off in a packet", where, f"{left} bytes", f"{size * number} bytes")
    return kind, size, overflow, number, valid
