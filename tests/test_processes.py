"""Pools of processes: results, processes that die, and a parent that is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
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


def sleep(begun: str) -> None:
    """Say so in a file, then take long."""
    Path(begun).touch()
    time.sleep(600)


def wait_until(reached: Callable[[], bool]) -> None:
    """Wait for what must come, on a busy machine late."""
    limit = time.monotonic() + 120
    while not reached():
        assert time.monotonic() < limit, "waited 120 s in vain"
        time.sleep(0.02)


def test_every_task_has_its_result() -> None:
    assert sorted(Pool(2, start, (10,)).run(range(5), add)) == [(n, n + 10) for n in range(5)]


def test_the_task_that_kills_its_process_is_found_and_no_other_suffers() -> None:
    results = dict(Pool(2, start, (0,)).run(range(6), die_at_three))
    assert results == {n: n if n != 3 else Died(MOST_DEATHS) for n in range(6)}


def test_what_a_task_raises_ends_the_run() -> None:
    with pytest.raises(ZeroDivisionError, match="three"):
        dict(Pool(2, start, (0,)).run(range(4), fail_at_three))


def test_tasks_under_way_are_ended_with_the_run_where_that_is_asked_for(tmp_path: Path) -> None:
    begun = [str(tmp_path / name) for name in "ab"]

    def interrupt() -> None:
        wait_until(lambda: all(Path(name).exists() for name in begun))
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    began = time.monotonic()
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        dict(Pool(2, start, (0,), terminate=True).run(begun, sleep))
    thread.join()
    assert time.monotonic() - began < 300  # half of what a task takes
    assert multiprocessing.active_children() == []


PARENT = """
import multiprocessing, sys, threading
from pathlib import Path
from tests.test_processes import sleep, start, wait_until
from tlm.processes import Pool
def tell():
    wait_until(lambda: all(Path(name).exists() for name in sys.argv[1:]))
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
if __name__ == "__main__":
    threading.Thread(target=tell).start()
    dict(Pool(2, start, (0,)).run(sys.argv[1:], sleep))
"""


def test_no_process_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PARENT, str(tmp_path / "a"), str(tmp_path / "b")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as parent:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    wait_until(lambda: all(_state(pid) == "Z" for pid in children))
    assert len(children) == 2


def _state(pid: int) -> str:
    """The letter of a process's state, Z where it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"
