"""Child processes end with the work that they were started for, and so do their own children."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path

import pytest

from rtl_models.simulators.children import Children, run_tool

WAIT_S = 120  # only a hang takes as long, however busy the machine

FAMILY = """
import os, subprocess, sys, time
from pathlib import Path
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
Path(sys.argv[1] + ".part").write_text(f"{os.getpid()} {child.pid}")
os.replace(sys.argv[1] + ".part", sys.argv[1])
time.sleep(600)
"""


def wait_until(reached: Callable[[], bool]) -> None:
    limit = time.monotonic() + WAIT_S
    while not reached():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"  # a zombie has ended


def test_a_tool_s_input_and_output() -> None:
    code = "import sys; print(sys.stdin.read().upper()); print('log', file=sys.stderr)"
    assert run_tool([sys.executable, "-c", code], b"text") == (0, b"TEXT\n")


def test_the_log_of_a_failure() -> None:
    code = "import sys; print('output', flush=True); print('log', file=sys.stderr); sys.exit(3)"
    assert run_tool([sys.executable, "-c", code]) == (3, b"output\nlog\n")


def test_the_environment_of_a_tool() -> None:
    code = "import os; print(os.environ.get('ONLY'), os.environ.get('HOME'))"
    assert run_tool([sys.executable, "-c", code], environment={"ONLY": "this"}) == (0, b"this None\n")


def test_stop_ends_the_tool_and_its_children(tmp_path: Path) -> None:
    children, told = Children(), tmp_path / "pids"
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(children.work, run_tool, [sys.executable, "-c", FAMILY, str(told)])
        wait_until(told.exists)
        pids = [int(pid) for pid in told.read_text().split()]
        assert all(alive(pid) for pid in pids)
        children.stop()
        assert work.result(timeout=WAIT_S)[0] == -signal.SIGTERM
    wait_until(lambda: not any(alive(pid) for pid in pids))


def test_what_is_stopped_starts_nothing_more() -> None:
    children = Children()
    children.stop()
    with pytest.raises(CancelledError):
        children.work(run_tool, ["true"])
    assert run_tool(["true"]) == (0, b"")  # others go on


def test_an_interrupted_call_ends_its_tool(tmp_path: Path) -> None:
    told = tmp_path / "pids"

    def interrupt() -> None:
        wait_until(told.exists)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_tool([sys.executable, "-c", FAMILY, str(told)])
    thread.join()
    pids = [int(pid) for pid in told.read_text().split()]
    wait_until(lambda: not any(alive(pid) for pid in pids))
