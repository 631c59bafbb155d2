"""The generic payload of a memory-mapped transaction, its phases and the answers of the non-blocking calls.

Names and meanings follow IEEE 1666-2011 (TLM-2.0), clauses 14.2 to 14.8 and 15.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import NamedTuple

from tlm.kernel.errors import TransportError


class Command(StrEnum):
    """What a transaction does, seen from the initiator."""

    READ = "read"
    WRITE = "write"


class Response(StrEnum):
    """How a transaction went; the target sets it."""

    INCOMPLETE = "incomplete"
    OK = "ok"
    GENERIC_ERROR = "generic error"
    ADDRESS_ERROR = "address error"
    COMMAND_ERROR = "command error"
    BURST_ERROR = "burst error"


READ, OK, INCOMPLETE = Command.READ, Response.OK, Response.INCOMPLETE
"""Members by themselves: looking one up in its Enum is slow in Python 3.11."""


class Phase(StrEnum):
    """The four timing points of a non-blocking transaction, in their order."""

    BEGIN_REQ = "BEGIN_REQ"
    END_REQ = "END_REQ"
    BEGIN_RESP = "BEGIN_RESP"
    END_RESP = "END_RESP"


class Sync(Enum):
    """Answer of a non-blocking call: nothing new, the phase moved on, or the transaction is over."""

    ACCEPTED = 0
    UPDATED = 1
    COMPLETED = 2


class Reply(NamedTuple):
    """What a non-blocking call returns: answer, phase after the call, and delay until it takes effect."""

    sync: Sync
    phase: Phase
    delay_ps: int


@dataclass(eq=False, slots=True)
class Payload:
    """One transaction: `length` bytes from byte address `address`, labelled with its data `stream`.

    `data` is optional: timing models leave it out. Two payloads are never equal; identity is what counts.
    Raises TransportError if the address is negative or the length below 1.
    """

    command: Command
    address: int
    length: int
    stream: str = ""
    data: bytearray | None = None
    response: Response = Response.INCOMPLETE

    def __post_init__(self) -> None:
        if self.address < 0:
            raise TransportError("address is negative", "payload", self.address, "at least 0")
        if self.length < 1:
            raise TransportError("length is too small", "payload", self.length, "at least 1 byte")

    @property
    def end_address(self) -> int:
        """First byte address after the transaction."""
        return self.address + self.length

    def require_ok(self) -> None:
        """Raise TransportError unless the response is OK."""
        if self.response is not OK:
            what = f"{self.command} of {self.length} bytes at {self.address:#x} failed"
            raise TransportError(what, self.stream, str(self.response), str(Response.OK))
