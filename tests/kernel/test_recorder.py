"""The transaction file: its rows, row groups, and that it appears whole or not at all."""

import os

import pyarrow.parquet as pq
import pytest

from tests.kernel.test_socket import Memory, bound
from tlm.kernel import Simulation
from tlm.kernel.payload import Command, Payload
from tlm.kernel.recorder import TransactionRecorder


def run_transactions(recorder, count):
    simulation = Simulation()
    socket = bound(simulation, Memory(simulation).socket)
    recorder.attach(socket)

    def body(process):
        for number in range(count):
            command = Command.WRITE if number % 2 else Command.READ
            yield from socket.b_transport(Payload(command, 64 * number, 32, "spikes"))

    simulation.process(body)
    simulation.run()


def test_rows_and_row_groups(tmp_path) -> None:
    path = tmp_path / "transactions.parquet"
    with TransactionRecorder(path, rows_per_group=4) as recorder:
        run_transactions(recorder, 10)
        assert not path.exists()
        assert len(recorder._rows) < 4
    assert recorder.row_count == 10
    table = pq.read_table(path)
    assert table.column_names == [
        "initiator", "target", "command", "address", "bytes", "stream", "response", "start_ps", "end_ps"
    ]  # fmt: skip
    assert [tuple(row.values()) for row in table.to_pylist()][:2] == [
        ("initiator", "memory", "read", 0, 32, "spikes", "ok", 0, 10),
        ("initiator", "memory", "write", 64, 32, "spikes", "ok", 10, 20),
    ]
    assert pq.ParquetFile(path).num_row_groups == 3
    assert os.listdir(tmp_path) == [path.name]


def test_an_empty_recording_is_a_file_too(tmp_path) -> None:
    with TransactionRecorder(tmp_path / "t.parquet"):
        pass
    assert pq.read_table(tmp_path / "t.parquet").num_rows == 0


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_of_a_recording_that_fails(tmp_path, error) -> None:
    path = tmp_path / "t.parquet"
    path.write_text("the file before")

    def fail():
        with TransactionRecorder(path, 4) as recorder:
            run_transactions(recorder, 10)
            raise error

    with pytest.raises(error):
        fail()
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_text() == "the file before"


def test_nothing_is_left_when_the_file_cannot_be_put_in_place(tmp_path) -> None:
    (tmp_path / "t.parquet").mkdir()
    with pytest.raises(OSError, match="directory"), TransactionRecorder(tmp_path / "t.parquet"):
        pass
    assert os.listdir(tmp_path) == ["t.parquet"]


def test_a_missing_folder_is_an_os_error(tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        TransactionRecorder(tmp_path / "nowhere" / "t.parquet")


def test_nothing_is_left_when_the_disk_is_full(tmp_path, monkeypatch) -> None:
    recorder = TransactionRecorder(tmp_path / "t.parquet")

    def full():
        raise OSError("No space left on device")

    monkeypatch.setattr(recorder._writer, "close", full)
    with pytest.raises(OSError, match=r"^No space left on device$"), recorder:
        run_transactions(recorder, 3)
    assert os.listdir(tmp_path) == []
