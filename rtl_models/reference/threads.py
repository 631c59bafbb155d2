"""Runs the parts of a kernel on threads. Parts write disjoint results, so their number changes no bit."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_state: dict[str, Any] = {"threads": 0, "pool": None}


def thread_count() -> int:
    """Threads that kernels use: what `set_threads` asked for, else the processors this process may run on."""
    return int(_state["threads"]) or len(os.sched_getaffinity(0))


def set_threads(threads: int) -> None:
    """Use this many threads from now on; 0 means one for every processor."""
    _state["threads"] = threads
    _forget_pool()


def split(count: int, least: int = 1, multiple: int = 1) -> list[tuple[int, int]]:
    """Cut range(count) into at most one part a thread, each of at least `least` and (but the last) a multiple."""
    parts = max(1, min(thread_count(), count // max(least, 1)))
    step = -(-count // parts)
    step = max(1, -(-step // multiple) * multiple)
    return [(start, min(start + step, count)) for start in range(0, count, step)] or [(0, 0)]


def run_parts(kernel: Callable[..., Any], parts: list[tuple[int, int]], *arguments: Any) -> list[Any]:
    """Call kernel(*arguments, start, stop) for every part, at the same time, and return the results in order."""
    if len(parts) == 1:
        return [kernel(*arguments, *parts[0])]
    if _state["pool"] is None:
        _state["pool"] = ThreadPoolExecutor(thread_count(), "reference")
    waiting = [_state["pool"].submit(kernel, *arguments, *part) for part in parts[1:]]
    return [kernel(*arguments, *parts[0]), *(future.result() for future in waiting)]


def _forget_pool() -> None:
    _state["pool"] = None


os.register_at_fork(after_in_child=_forget_pool)
