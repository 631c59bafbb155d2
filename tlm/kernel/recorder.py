"""Transactions as a columnar file: one row each, written in bounded memory, in place only when complete."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tlm.kernel.payload import Payload
from tlm.kernel.socket import InitiatorSocket, TargetSocket

SCHEMA = pa.schema(
    [
        ("initiator", pa.string()),
        ("target", pa.string()),
        ("command", pa.string()),
        ("address", pa.uint64()),
        ("bytes", pa.uint64()),
        ("stream", pa.string()),
        ("response", pa.string()),
        ("start_ps", pa.int64()),
        ("end_ps", pa.int64()),
    ]
)
"""Columns of the file: times are whole picoseconds, start at the call, end when the transaction is over."""

ROWS_PER_GROUP = 65_536
"""Rows kept in memory before they are written: about 20 MB of Python objects, and a usual Parquet row group."""


class TransactionRecorder:
    """Writes every transaction of the sockets it is attached to into a Parquet file.

    A context manager: the rows go to a temporary file in the same folder, which takes the place of `path` when
    the block ends well and is removed when it does not. Raises OSError if the folder cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], rows_per_group: int = ROWS_PER_GROUP) -> None:
        self.path = Path(path)
        self.row_count = 0
        self._rows_per_group = rows_per_group
        self._rows: list[tuple[object, ...]] = []
        handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", suffix=".part", dir=self.path.parent)
        os.close(handle)
        self._temporary = Path(name)
        self._writer: Any = pq.ParquetWriter(name, SCHEMA, compression="zstd")

    def __enter__(self) -> TransactionRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def attach(self, *sockets: InitiatorSocket) -> None:
        """Record the transactions that these initiator sockets begin from now on."""
        for socket in sockets:
            socket.observers.append(self.record)

    def record(
        self, initiator: InitiatorSocket, target: TargetSocket, payload: Payload, start_ps: int, end_ps: int
    ) -> None:
        """Add one row (an observer of `InitiatorSocket`)."""
        self._rows.append(
            (
                initiator.name,
                target.name,
                payload.command.value,
                payload.address,
                payload.length,
                payload.stream,
                payload.response.value,
                start_ps,
                end_ps,
            )
        )
        self.row_count += 1
        if len(self._rows) >= self._rows_per_group:
            self._flush()

    def close(self) -> None:
        """Write the rest and move the file into place."""
        try:
            self._flush()
            self._writer.close()
            os.chmod(self._temporary, 0o666 & ~_umask())
            os.replace(self._temporary, self.path)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Remove the temporary file; nothing appears at `path`."""
        try:
            self._writer.close()
        finally:
            self._temporary.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._rows:
            columns = [
                pa.array(list(column), field.type)
                for column, field in zip(zip(*self._rows, strict=True), SCHEMA, strict=True)
            ]
            self._writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))
            self._rows.clear()


def _umask() -> int:
    """Return the process's file mode mask, which can be read only by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
