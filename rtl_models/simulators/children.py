"""Child processes of tools, which end together with the work that they were started for."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Children:
    """The child processes of one piece of work, in whatever threads: `stop` ends them and refuses later ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def work(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function`: what `run_tool` starts meanwhile in this thread is one of these children."""
        token = _current.set(self)
        try:
            return function(*args, **kwargs)
        finally:
            _current.reset(token)

    def run(self, command: Sequence[str], sent: bytes, environment: Mapping[str, str] | None) -> tuple[int, bytes]:
        """Run a command; see `run_tool`. Raises CancelledError once they are stopped."""
        with self._lock:
            if self._stopped:
                raise CancelledError
            # a session of its own: a tool's own children end with it, and Ctrl-C is ours to pass on
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
            self._running.add(process)
        try:
            output, log = process.communicate(sent)
        finally:
            with self._lock:
                self._running.discard(process)
            if process.poll() is None:
                _end(process)
                process.communicate()
        return process.returncode, output if process.returncode == 0 else output + log

    def stop(self) -> None:
        """End every child, and refuse to start another."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _end(process)


def run_tool(
    command: Sequence[str], sent: bytes = b"", environment: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Run a command with `sent` on its standard input; it ends where this call is interrupted.

    Returns its exit status and its standard output; where it failed, followed by what it wrote to standard error.
    """
    return (_current.get() or _OTHERS).run(command, sent, environment)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)


_current: ContextVar[Children | None] = ContextVar("children", default=None)
_OTHERS = Children()
