"""The one error that a user's mistake raises, whichever package finds it."""

from __future__ import annotations


class InputError(ValueError):
    """A user's mistake: what is wrong, where, the value got and the values allowed.

    Every argument is positional and handed to ``Exception``, because SimPy rebuilds a failing process's
    exception from its ``args``; the text is made in ``__str__`` only.
    """

    def __init__(self, what: str, where: str = "", got: object = None, allowed: str = "") -> None:
        super().__init__(what, where, got, allowed)

    def __str__(self) -> str:
        what, where, got, allowed = self.args
        text = f"{where}: {what}" if where else str(what)
        if got is not None:
            text += f", got {got!r}"
        if allowed:
            text += f", allowed: {allowed}"
        return " ".join(text.split())
