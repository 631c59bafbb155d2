"""Files of DRAM requests: what is read, what is written, and the words for everything else."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtl_models.errors import InputError
from tlm.memory.request_trace import read_request_trace, write_request_trace

CAPACITY = 1 << 30


def packed(content: bytes) -> bytes:
    """Compress without the time of day, which would give every worker process other names of tests."""
    return gzip.compress(content, mtime=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "requests.txt"


def read(path: Path, content: bytes, align: bool = False) -> list[tuple[bool, int]]:
    """Return what is read from `content` as (is_write, address)."""
    path.write_bytes(content)
    addresses, is_write = read_request_trace(path, 32, CAPACITY, align)
    assert addresses.dtype == np.int64
    assert is_write.dtype == np.bool_
    return list(zip(is_write.tolist(), addresses.tolist(), strict=True))


def words(path: Path, content: bytes) -> str:
    """Return the text of the error that reading `content` raises, without the file's path."""
    with pytest.raises(InputError) as caught:
        read(path, content)
    text = str(caught.value)
    assert text.startswith(str(path))
    return text.removeprefix(str(path))


@pytest.mark.parametrize(
    "content",
    [
        b"R 0x40\nW 0x3fffffe0\n",
        b"R 0x40\nW 0x3fffffe0",
        b"R 0X40\r\nW 0x3FFFFFE0\r\n",
        b"  R\t0x040   # first\n\n# comment\n \t\nW 0x00000003fffffe0#last\n\n",
        b"LD 0x40\nST 0x3fffffe0\n",
        packed(b"R 0x40\nW 0x3fffffe0\n"),
        packed(b"R 0x40\n") + packed(b"W 0x3fffffe0\n"),
    ],
)
def test_spellings(path: Path, content: bytes) -> None:
    assert read(path, content) == [(False, 0x40), (True, 0x3FFFFFE0)]


def test_align_rounds_down_to_the_burst(path: Path) -> None:
    assert read(path, b"R 0x3f\nW 0x41\n", align=True) == [(False, 0x20), (True, 0x40)]


@pytest.mark.parametrize(
    "line",
    [
        b"R",
        b"R 64",
        b"R0x40",
        b"r 0x40",
        b"X 0x40",
        b"RD 0x40",
        b"0x40 R",
        b"R 0x",
        b"R 0x4g",
        b"R 0x-4",
        b"R -0x40",
        b"R 0x40 0x60",
        b"R 0x40 W 0x60",
        b"R 0x40,",
        b"R 0x40 // comment",
        b"L 0x40",
        b"S 0x40",
        b"LT 0x40",
        b"R #",
    ],
)
def test_malformed_lines_are_named(path: Path, line: bytes) -> None:
    text = f":4: malformed request, got {line.decode()!r}, allowed: R 0xADDR or W 0xADDR"
    assert words(path, b"R 0x0\n# comment\n\n" + line + b"\nR 0x20\n") == text
    assert words(path, b"R 0x0\r\n# comment\r\n\r\n" + line) == text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", ": no requests in the file, allowed: lines of R 0xADDR or W 0xADDR"),
        (b"# nothing\n\n", ": no requests in the file, allowed: lines of R 0xADDR or W 0xADDR"),
        (packed(b""), ": no requests in the file, allowed: lines of R 0xADDR or W 0xADDR"),
        (
            b"R 0x20\n#\nW 0x40000000 \n",
            ":3: address beyond the capacity, got 'W 0x40000000', allowed: below 0x40000000",
        ),
        (
            b"R 0x" + 20 * b"f",
            ":1: address beyond the capacity, got 'R 0xffffffffffffffffffff', allowed: below 0x40000000",
        ),
        (
            b"R 0x10000000000000000\n",
            ":1: address beyond the capacity, got 'R 0x10000000000000000', allowed: below 0x40000000",
        ),
        (
            b"R 0x20\nW 0x30\nx\n",
            ":2: address not aligned to the burst, got 'W 0x30', "
            "allowed: multiples of 32 bytes, or rounding down (--align)",
        ),
        (
            bytes(range(256)) * 9,
            r":1: malformed request, got '\x00\x01\x02\x03\x04\x05\x06\x07\x08'"
            ", allowed: R 0xADDR or W 0xADDR",
        ),
        (
            b"R 0x20\n" + 99 * b"long ",
            f":2: malformed request, got '{(8 * 'long ')[:37]}...', allowed: R 0xADDR or W 0xADDR",
        ),
        ("R 0x20\nR 0x٣0\n".encode(), ":2: malformed request, got 'R 0x٣0', allowed: R 0xADDR or W 0xADDR"),
        ("R 0x20\n".encode("utf-16"), ":1: malformed request, got '\ufffd\ufffdR\\x00"),
        (packed(b"R 0x20\n" * 99)[:-9], ": the gzip file is truncated"),
        (packed(b"R 0x20\n" * 99)[:3], ": the gzip file is truncated"),
        (packed(b"R 0x20\n" * 99)[:-8] + bytes(8), ": the gzip file is damaged (CRC check failed"),
        (packed(b"R 0x20\n" * 99) + b"more", ": the gzip file is damaged (Not a gzipped file (b'mo'))"),
        (b"\x1f\x8b\x08" + bytes(7) + b"\xff" * 40, ": the gzip file is damaged (Error -3 while decompressing data"),
    ],
)
def test_words(path: Path, content: bytes, text: str) -> None:
    assert words(path, content).startswith(text)


def test_words_for_what_is_no_file(tmp_path: Path) -> None:
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "none", "No such file or directory")):
        with pytest.raises(InputError) as caught:
            read_request_trace(path, 32, CAPACITY)
        assert str(caught.value) == f"{path}: cannot read the requests ({reason})"


REQUESTS = st.lists(st.tuples(st.booleans(), st.integers(0, CAPACITY // 32 - 1)), min_size=1, max_size=30)


@given(requests=REQUESTS, commented=st.booleans(), name=st.sampled_from(["a.txt", "a.gz"]))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, requests: list[tuple[bool, int]], commented: bool, name: str
) -> None:
    path = tmp_path_factory.mktemp("trace") / name
    addresses = np.array([32 * slot for _, slot in requests], dtype=np.int64)
    is_write = np.array([write for write, _ in requests], dtype=np.bool_)
    comments = [f"{cycle} weights" for cycle in range(len(requests))] if commented else None
    write_request_trace(path, addresses, is_write, comments)
    content = path.read_bytes()
    assert content.startswith(b"\x1f\x8b") == (name == "a.gz")
    read_addresses, read_is_write = read_request_trace(path, 32, CAPACITY)
    np.testing.assert_array_equal(read_addresses, addresses)
    np.testing.assert_array_equal(read_is_write, is_write)


@given(content=st.binary(max_size=60) | st.text(alphabet="RWLDST0x4 \t\r\n#", max_size=60).map(str.encode))
def test_any_content_gives_requests_or_an_input_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("trace") / "a"
    try:
        requests = read(path, content, align=True)
    except InputError:
        return
    lines = [line.split(b"#")[0].split() for line in content.split(b"\n")]
    tokens = [(kind in (b"W", b"ST"), int(address, 16)) for kind, address in filter(None, lines)]
    assert requests == [(write, address // 32 * 32) for write, address in tokens]


class TestWriting:
    ADDRESSES = np.array([0x40, 0x3FFFFFE0], dtype=np.int64)
    IS_WRITE = np.array([False, True])

    def test_content(self, path: Path) -> None:
        write_request_trace(path, self.ADDRESSES, self.IS_WRITE)
        assert path.read_bytes() == b"R 0x40\nW 0x3fffffe0\n"
        write_request_trace(path, self.ADDRESSES, self.IS_WRITE, comments=["12 weights", "13 masks"])
        assert path.read_bytes() == b"R 0x40  # 12 weights\nW 0x3fffffe0  # 13 masks\n"
        write_request_trace(path, self.ADDRESSES, self.IS_WRITE, dialect="ramulator")
        assert path.read_bytes() == b"LD 0x40\nST 0x3fffffe0\n"

    def test_a_compressed_file_depends_on_its_content_alone(self, tmp_path: Path) -> None:
        for name in ("a.gz", "b.gz"):
            write_request_trace(tmp_path / name, self.ADDRESSES, self.IS_WRITE)
        assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()

    def test_the_file_can_be_read_by_whom_the_umask_lets(self, path: Path) -> None:
        write_request_trace(path, self.ADDRESSES, self.IS_WRITE)
        other = path.with_name("other")
        other.touch()
        assert path.stat().st_mode == other.stat().st_mode

    def test_nothing_is_left_of_an_interrupted_file(self, path: Path) -> None:
        def comments() -> Iterator[str]:
            yield "first"
            raise KeyboardInterrupt

        path.write_text("before")
        with pytest.raises(KeyboardInterrupt):
            write_request_trace(path, self.ADDRESSES, self.IS_WRITE, comments())
        assert path.read_text() == "before"
        assert list(path.parent.iterdir()) == [path]

    @pytest.mark.parametrize(
        ("comments", "text"),
        [(["one"], "1 comments, but 2 addresses"), (["one", "two", "three"], "more comments than 2 addresses")],
    )
    def test_as_many_comments_as_addresses(self, path: Path, comments: list[str], text: str) -> None:
        with pytest.raises(ValueError, match=rf"^{text}$"):
            write_request_trace(path, self.ADDRESSES, self.IS_WRITE, comments)
        assert not path.exists()

    def test_as_many_flags_as_addresses(self, path: Path) -> None:
        with pytest.raises(ValueError, match=r"^2 addresses, but 1 flags$"):
            write_request_trace(path, self.ADDRESSES, self.IS_WRITE[:1])
        assert not path.exists()

    def test_ramulator_knows_neither_comments_nor_compression(self, path: Path) -> None:
        for target, comments, what in (
            (path, ["a", "b"], "with comments"),
            (path.with_suffix(".gz"), None, "compressed"),
        ):
            with pytest.raises(InputError) as caught:
                write_request_trace(target, self.ADDRESSES, self.IS_WRITE, comments, "ramulator")
            assert str(caught.value) == (
                f"{target}: Ramulator reads no trace {what}, allowed: plain lines of LD 0xADDR or ST 0xADDR"
            )

    def test_words_for_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        path = tmp_path / "none" / "a"
        with pytest.raises(InputError) as caught:
            write_request_trace(path, self.ADDRESSES, self.IS_WRITE)
        assert str(caught.value) == f"{path}: cannot write the requests (No such file or directory)"


@pytest.mark.benchmark
def test_a_million_requests_are_read_within_a_second(path: Path) -> None:
    addresses = np.arange(1_000_000, dtype=np.int64) * 32 % CAPACITY
    write_request_trace(path, addresses, addresses % 64 == 0)
    read_request_trace(path, 32, CAPACITY)
    begin = time.perf_counter()
    read_request_trace(path, 32, CAPACITY)
    assert time.perf_counter() - begin < 1
