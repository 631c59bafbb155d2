"""Errors of the simulation kernel.

Constructors take positional values only and hand all of them to ``Exception``, because SimPy rebuilds a
failing process's exception as ``type(e)(*e.args)``; the text is made in ``__str__`` only.
"""

from __future__ import annotations


class KernelError(Exception):
    """Base of every kernel error: what is wrong, where, the value got and the values allowed."""

    def __init__(self, what: str, where: str = "", got: object = None, allowed: str = "") -> None:
        super().__init__(what, where, got, allowed)

    def __str__(self) -> str:
        what, where, got, allowed = self.args
        text = f"{where}: {what}" if where else str(what)
        if got is not None:
            text += f", got {got!r}"
        if allowed:
            text += f", allowed: {allowed}"
        return text


class ElaborationError(KernelError):
    """The model is put together wrongly: a name taken twice, a socket bound twice or not at all."""


class TimeValueError(KernelError):
    """A time that is negative, not whole, or does not divide."""


class CapacityError(KernelError):
    """A channel's capacity, an item's size or a release that cannot be."""


class LevelError(KernelError):
    """A watermark that is asked to fall."""


class ProcessError(KernelError):
    """A kernel operation outside a kernel process, or an interrupt, which kernel processes do not take."""


class ProtocolError(KernelError):
    """A transaction phase out of order, or a response that was never given."""


class AddressMapError(KernelError):
    """An address map with overlapping regions, holes or nothing in it."""


class TransportError(KernelError):
    """A transaction that came back with another response than OK."""


class Deadlock(KernelError):
    """No event is left and processes still wait: time in ps, then one line per waiting process."""

    def __init__(self, now_ps: int, waits: tuple[str, ...]) -> None:
        Exception.__init__(self, now_ps, waits)

    @property
    def now_ps(self) -> int:
        """Time at which the last event happened."""
        return int(self.args[0])

    @property
    def waits(self) -> tuple[str, ...]:
        """One line for each waiting process: who waits for what on which channel."""
        return tuple(self.args[1])

    def __str__(self) -> str:
        return f"deadlock at {self.now_ps} ps: " + "; ".join(self.waits)


class TimeLimitExceeded(KernelError):
    """The simulation ran past its time limit: limit in ps, then one line per process still alive."""

    def __init__(self, limit_ps: int, activities: tuple[str, ...]) -> None:
        Exception.__init__(self, limit_ps, activities)

    def __str__(self) -> str:
        limit_ps, activities = self.args
        return f"time limit of {limit_ps} ps exceeded: " + "; ".join(activities)
