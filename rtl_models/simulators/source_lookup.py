"""Makes MyHDL's elaboration quick: what it asks `inspect` about the same source, over and over, is answered once."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from myhdl import _util as myhdl_util
from myhdl import _Waiter as myhdl_waiter


@contextmanager
def quick_source_lookup() -> Iterator[None]:
    """Within, `inspect` answers MyHDL from memory; for a worker process, since the change is seen by all its threads.

    MyHDL asks for the call stack, with lines of source that it does not use, and for the text and syntax of a process
    at each of a block's instances, twice: two thirds of the time in which a row of 16 lanes is converted. What is
    remembered belongs to a function's code, so every instance gets the answers that it would have got.
    """
    dedent = functools.cache(myhdl_util._dedent)
    changes = (
        (inspect, "stack", _stack),
        (inspect, "getsourcelines", _once_per_code(inspect.getsourcelines)),
        (inspect, "getsourcefile", _once_per_code(inspect.getsourcefile)),
        (myhdl_util, "_dedent", dedent),
        (myhdl_waiter, "_dedent", dedent),
    )
    before = [getattr(module, name) for module, name, _ in changes]
    try:
        for module, name, function in changes:
            setattr(module, name, function)
        yield
    finally:
        for (module, name, _), function in zip(changes, before, strict=True):
            setattr(module, name, function)


def _once_per_code(ask: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Remember the answers of `ask` for functions, by their code."""
    answers: dict[object, Any] = {}

    def answer(asked: Any) -> Any:
        code = getattr(asked, "__code__", None)
        if code is None:
            return ask(asked)
        if code not in answers:
            answers[code] = ask(asked)
        return answers[code]

    return answer


def _stack(context: int = 1) -> list[inspect.FrameInfo]:
    """Return what `inspect.stack` does, without the lines of source."""
    frames = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        frames.append(inspect.FrameInfo(frame, code.co_filename, frame.f_lineno, code.co_name, None, None))
        frame = frame.f_back
    return frames
