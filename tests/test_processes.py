"""Pools of processes: results, processes that die, and a parent that is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tlm.processes import MOST_DEATHS, Died, Pool

ROOT = Path(__file__).parents[1]


def start(first: int) -> None:
    """Remember what the pool was given."""
    global _added
    _added = first


_added = 0


def add(number: int) -> int:
    """Add what the process was started with."""
    return number + _added


def die_at_three(number: int) -> int:
    """Kill the process that is asked for 3."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return number


def fail_at_three(number: int) -> int:
    """Raise what nobody expects."""
    if number == 3:
        raise ZeroDivisionError("three")
    return number


def sleep(_: int) -> None:
    """Take long."""
    time.sleep(60)


def test_every_task_has_its_result() -> None:
    assert sorted(Pool(2, start, (10,)).run(range(5), add)) == [(n, n + 10) for n in range(5)]


def test_the_task_that_kills_its_process_is_found_and_no_other_suffers() -> None:
    results = dict(Pool(2, start, (0,)).run(range(6), die_at_three))
    assert results == {n: n if n != 3 else Died(MOST_DEATHS) for n in range(6)}


def test_what_a_task_raises_ends_the_run() -> None:
    with pytest.raises(ZeroDivisionError, match="three"):
        dict(Pool(2, start, (0,)).run(range(4), fail_at_three))


def test_tasks_under_way_are_ended_with_the_run_where_that_is_asked_for() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    began = time.monotonic()
    signal.alarm(3)
    try:
        with pytest.raises(KeyboardInterrupt):
            dict(Pool(2, start, (0,), terminate=True).run(range(2), sleep))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < 30
    assert multiprocessing.active_children() == []


PARENT = """
import multiprocessing, sys
from tests.test_processes import sleep, start
from tlm.processes import Pool
if __name__ == "__main__":
    import threading, time
    def tell():
        while len(multiprocessing.active_children()) < 2:
            time.sleep(0.05)
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    threading.Thread(target=tell).start()
    dict(Pool(2, start, (0,)).run(range(2), sleep))
"""


def test_no_process_outlives_a_parent_that_is_killed() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as parent:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        time.sleep(2)
        parent.kill()
    end = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() and "Z" not in _state(pid) for pid in children):
        assert time.monotonic() < end, "still alive"
        time.sleep(0.1)
    assert len(children) == 2


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"
