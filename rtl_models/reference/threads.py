"""Runs the parts of a kernel on threads. Parts write disjoint results, so their number changes no bit."""

from __future__ import annotations

import os
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any

_Answer = tuple[int, Any, BaseException | None]
_Call = tuple[int, Callable[..., Any], tuple[Any, ...], "SimpleQueue[_Answer]"]
_state: dict[str, Any] = {"threads": 0, "calls": None, "started": 0}


def thread_count() -> int:
    """Threads that kernels use: what `set_threads` asked for, else the processors this process may run on."""
    return int(_state["threads"]) or len(os.sched_getaffinity(0))


def set_threads(threads: int) -> None:
    """Use this many threads from now on; 0 means one for every processor."""
    _state["threads"] = threads
    _stop_threads()


def split(count: int, least: int = 1, multiple: int = 1) -> list[tuple[int, int]]:
    """Cut range(count) into at most one part a thread, each of at least `least` and (but the last) a multiple."""
    parts = max(1, min(thread_count(), count // max(least, 1)))
    step = -(-count // parts)
    step = max(1, -(-step // multiple) * multiple)
    return [(start, min(start + step, count)) for start in range(0, count, step)] or [(0, 0)]


def run_parts(kernel: Callable[..., Any], parts: list[tuple[int, int]], *arguments: Any) -> list[Any]:
    """Call kernel(*arguments, start, stop) for every part, at the same time, and return the results in order.

    Raises what the kernel raises.
    """
    if len(parts) == 1:
        return [kernel(*arguments, *parts[0])]
    if _state["calls"] is None:
        _start_threads(thread_count() - 1)
    answers: SimpleQueue[_Answer] = SimpleQueue()
    for number, part in enumerate(parts[1:], 1):
        _state["calls"].put((number, kernel, (*arguments, *part), answers))
    results = [kernel(*arguments, *parts[0]), *parts[1:]]
    for number, result, error in (answers.get() for _ in parts[1:]):
        if error is not None:
            raise error
        results[number] = result
    return results


def _start_threads(count: int) -> None:
    """Start threads that wait for calls: to hand over a call this way costs half of what an executor takes."""
    calls: SimpleQueue[_Call | None] = SimpleQueue()
    _state["calls"] = calls
    for number in range(max(1, count)):
        Thread(target=_serve, args=(calls,), name=f"reference_{number}", daemon=True).start()
    _state["started"] = max(1, count)


def _serve(calls: SimpleQueue[_Call | None]) -> None:
    while (call := calls.get()) is not None:
        number, kernel, arguments, answers = call
        try:
            answers.put((number, kernel(*arguments), None))
        except BaseException as error:  # noqa: BLE001 - raised where the call was made
            answers.put((number, None, error))
        del call, kernel, arguments, answers  # nothing is kept alive while waiting


def _stop_threads() -> None:
    if _state["calls"] is not None:
        for _ in range(_state["started"]):
            _state["calls"].put(None)
    _forget_threads()


def _forget_threads() -> None:
    _state["calls"] = None


os.register_at_fork(after_in_child=_forget_threads)
