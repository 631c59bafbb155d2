"""No damaged, foreign or future file is taken for a trace; each refusal has its own words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_models.errors import InputError
from tests.workloads.synthetic import digits_record, random_record, small_network
from workloads.sealed_file import HEADER_BYTES, Kind, write_sealed
from workloads.trace_file import open_trace, write_trace
from workloads.trace_schema import TRACE


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "step.h5"
    write_trace(random_record(small_network()), path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damage")


def refuse(folder: Path, content: bytes, text: str) -> None:
    path = folder / "step.h5"
    path.write_bytes(content)
    with pytest.raises(InputError, match=text) as caught:
        open_trace(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@given(position=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
@settings(deadline=None, derandomize=True, max_examples=200)
def test_any_flipped_byte_is_found(good: bytes, folder: Path, position: float, bits: int) -> None:
    damaged = bytearray(good)
    damaged[int(position * len(good))] ^= bits
    refuse(folder, bytes(damaged), "wrong checksum|header|schema version|truncated|longer|not an? ")


def test_every_byte_of_the_header_counts(good: bytes, folder: Path) -> None:
    for position in range(HEADER_BYTES):
        for bits in (1, 0x20, 0xFF):
            damaged = bytearray(good)
            damaged[position] ^= bits
            refuse(folder, bytes(damaged), "wrong checksum|header|schema version|truncated|longer|not an? ")


@given(length=st.floats(0, 1, exclude_max=True))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_any_truncation_is_found(good: bytes, folder: Path, length: float) -> None:
    refuse(folder, good[: int(length * len(good))], "truncated|not an HDF5 file")


def test_words_for_truncated(good: bytes, folder: Path) -> None:
    cut = len(good) - 1
    refuse(folder, good[:cut], f"step.h5: the trace is truncated, got '{cut} bytes', allowed: {len(good)} bytes$")
    refuse(folder, good[:100], "the trace is truncated, got '100 bytes', allowed: a header of 512 bytes and data$")


def test_words_for_too_long(good: bytes, folder: Path) -> None:
    refuse(folder, good + b"\0", "the trace is longer than its header says")


def test_words_for_wrong_checksum(good: bytes, folder: Path) -> None:
    digest = hashlib.sha256(good[HEADER_BYTES:]).hexdigest()
    damaged = good[:-1] + bytes([good[-1] ^ 1])
    refuse(folder, damaged, f"the trace is damaged: wrong checksum, got '[0-9a-f]{{64}}', allowed: {digest}$")


@pytest.mark.parametrize("length", [len(b"h2learn"), 10**6])
def test_words_for_not_hdf5(folder: Path, length: int) -> None:
    refuse(folder, b"#!/bin/sh\n" * length, "not an HDF5 file, got b'#!/bin/s', allowed: a trace written by h2learn$")


def test_words_for_an_empty_file(folder: Path) -> None:
    refuse(folder, b"", "not an HDF5 file, got b'', allowed")


def test_words_for_another_hdf5_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros(3)
    refuse(tmp_path, (tmp_path / "other.h5").read_bytes(), "an HDF5 file, but without the header of a trace of h2learn")


def test_words_for_a_damaged_header(good: bytes, folder: Path) -> None:
    refuse(folder, good[:300] + b"x" + good[301:], "the trace is damaged: its header is not readable")
    padded = good.replace(b"\nschema 1\n", b"\nschema 01\n", 1).replace(b"\0", b"", 1)
    refuse(folder, padded, "the trace is damaged: its header is not readable")


def test_words_for_another_kind(tmp_path: Path) -> None:
    write_sealed(tmp_path / "step.h5", Kind("checkpoint", 1), lambda file: None)
    refuse(tmp_path, (tmp_path / "step.h5").read_bytes(), "not a trace, got 'checkpoint', allowed: trace$")


def test_schema_version_is_checked_before_size_and_checksum(good: bytes, folder: Path) -> None:
    future = good.replace(b"\nschema 1\n", b"\nschema 7\n", 1)
    text = "the trace has another schema version, got 7, allowed: 1$"
    refuse(folder, future, text)
    refuse(folder, future[:-10], text)
    refuse(folder, future[:-1] + b"?", text)


def test_words_for_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.h5: cannot read the trace \(No such file or directory\)$"):
        open_trace(tmp_path / "none.h5")
    with pytest.raises(InputError, match=r"cannot read the trace \(Is a directory\)$"):
        open_trace(tmp_path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda file: file.pop("labels"), "does not hold what schema 1 of a trace demands"),
        (lambda file: file.attrs.pop("step"), "does not hold what schema 1 of a trace demands"),
        (lambda file: file.pop("layers/1/weights"), "does not hold what schema 1 of a trace demands"),
        (lambda file: file["arithmetic"].attrs.update({"value": "posit16"}), "unknown number format, got 'posit16'"),
    ],
)
def test_words_for_a_well_sealed_file_of_other_content(
    good: bytes, tmp_path: Path, change: Callable[[h5py.File], object], text: str
) -> None:
    (tmp_path / "good.h5").write_bytes(good)

    def fill(file: h5py.File) -> None:
        with h5py.File(tmp_path / "good.h5", "r") as source:
            for name in source:
                source.copy(name, file)
            file.attrs.update(dict(source.attrs))
        change(file)

    write_sealed(tmp_path / "other.h5", TRACE, fill)
    with pytest.raises(InputError, match=text):
        open_trace(tmp_path / "other.h5")


def test_words_for_a_tensor_of_another_shape(good: bytes, tmp_path: Path) -> None:
    def fill(file: h5py.File) -> None:
        with h5py.File(tmp_path / "good.h5", "r") as source:
            for name in source:
                source.copy(name, file)
            file.attrs.update(dict(source.attrs))
        del file["labels"]
        file["labels"] = np.zeros(5, np.int64)

    (tmp_path / "good.h5").write_bytes(good)
    write_sealed(tmp_path / "other.h5", TRACE, fill)
    with pytest.raises(InputError, match=r"labels: wrong tensor, got 'int64 \[5\]', allowed: int64 \[4\]$"):
        open_trace(tmp_path / "other.h5")


def test_damage_after_opening_is_found_by_the_chunk_checksums(tmp_path: Path) -> None:
    path = tmp_path / "step.h5"
    record = digits_record()
    write_trace(record, path)
    pattern = np.ascontiguousarray(record.layers[0].master).tobytes()[:64]
    with open_trace(path) as trace:
        position = path.read_bytes().index(pattern)
        with open(path, "r+b") as raw:
            raw.seek(position)
            raw.write(b"\xff")
        with pytest.raises(InputError, match="the trace is damaged: cannot read layers/0/master"):
            trace.master(0)
        trace.new_master(0)  # the other chunks are sound
