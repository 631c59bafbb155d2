"""A fresh Python process for MyHDL, whose simulations and conversions leak state into whatever comes after them."""

from __future__ import annotations

import importlib
import io
import operator
import os
import pickle
import signal
import sys
from typing import Any

from rtl_models.simulators.children import run_tool
from rtl_models.simulators.interface import SimulatorError

LOG_TAIL_LINES = 20


def tail(log: str) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.strip().splitlines()[-LOG_TAIL_LINES:])


class _RequestPickler(pickle.Pickler):
    """Pickles MyHDL blocks by name; they are objects around a function, which pickle does not follow."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj).__module__.startswith("myhdl.") and hasattr(obj, "__wrapped__"):
            return _find, (obj.__module__, obj.__qualname__)
        return NotImplemented


def _find(module: str, name: str) -> Any:
    return operator.attrgetter(name)(importlib.import_module(module))


def _dump(request: tuple[Any, ...]) -> bytes:
    buffer = io.BytesIO()
    _RequestPickler(buffer).dump(request)
    return buffer.getvalue()


def call_worker(module: str, request: tuple[Any, ...], unit_name: str) -> Any:
    """Run ``python -m module`` with `request` on its standard input and return what it answers.

    The hash seed is fixed, because converted text depends on it. Raises SimulatorError with the end of the worker's
    log where it fails.
    """
    environment = dict(os.environ, PYTHONHASHSEED="0", PYTHONPATH=os.pathsep.join(p or os.getcwd() for p in sys.path))
    status, answer = run_tool([sys.executable, "-m", module], _dump(request), environment)
    if status != 0:
        raise SimulatorError(unit_name, f"{module} failed:\n{tail(answer.decode(errors='replace'))}")
    return pickle.loads(answer)


def read_request() -> Any:
    """In the worker: return the request; from here on, a worker that is terminated removes its temporary files."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    return pickle.loads(sys.stdin.buffer.read())


def send_answer(answer: Any) -> None:
    """In the worker: send the one answer."""
    sys.stdout.buffer.write(pickle.dumps(answer))
    sys.stdout.buffer.flush()
