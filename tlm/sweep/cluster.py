"""A sweep on a Dask cluster that is there already, with what happens when it goes away."""

from __future__ import annotations

import logging
import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

from rtl_models.errors import InputError
from rtl_models.reference.threads import set_threads
from tlm.analysis.simulations import Done, Processes, Task, Worker
from tlm.journal import run_identity
from tlm.processes import Died

SCHEDULER = "--scheduler"
WAIT, LOCAL = "wait", "local"
CONNECT_S = 10
ANSWER_S = 60
"""How long the scheduler may take to hand over a result that is there."""
POLL_S = 2
PATIENCE_S = 20
"""How long a cluster may be without a worker before it counts as gone."""
TASKS_A_THREAD = 2
"""One under way and one on its way, so that no worker waits for the next."""

Outcome = Generator[tuple[Task, Done | Died], None, None]


class _Lost(Exception):
    """The scheduler, or the last of its workers, is gone; the text says which."""


class Cluster:
    """Simulates on the workers of the cluster whose scheduler is at `address`, which see the same files as we do.

    When it goes away, `on_lost` says what happens to the points that are left: ``wait`` until it is there again, or
    ``local``: go on in `processes`. `say` gets a line for people. Raises InputError where nothing answers at the
    address, the package `distributed` is missing, or a worker is of another version or does not see a trace.
    """

    def __init__(self, address: str, on_lost: str, processes: Processes, say: Callable[[str], None]) -> None:
        self._address, self._on_lost, self._processes, self._say = address, on_lost, processes, say
        self._programs = run_identity(())
        try:
            import distributed
        except ModuleNotFoundError as error:
            what = "a cluster needs the package distributed: pip install 'h2learn[distributed]'"
            raise InputError(what, SCHEDULER, address) from error
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what it says of lost connections, we say
        self._distributed: Any = distributed
        try:
            self._client: Any = self._connect()
        except (OSError, ValueError) as error:
            what, allowed = (
                f"no scheduler answers ({error})",
                "the address of a Dask scheduler, such as tcp://host:8786",
            )
            raise InputError(what, SCHEDULER, address, allowed) from error

    def run(self, tasks: Sequence[Task]) -> Outcome:
        """Yield every task with what came of it, in the order in which they finish."""
        if self._client is None:  # it went away in an earlier round, and we did not wait
            yield from self._processes.run(tasks)
            return
        left = {task.key: task for task in tasks}
        while left:
            try:
                for task, done in self._on_cluster(list(left.values())):
                    del left[task.key]
                    yield task, done
            except _Lost as lost:
                self._close()
                if self._on_lost == LOCAL:
                    self._say(f"{lost}: {len(left)} points left go on in processes of this machine")
                    yield from self._processes.run(list(left.values()))
                    return
                self._say(f"{lost}: waiting for it with {len(left)} points left")
                self._client = self._connect_again()
                self._say(f"the cluster at {self._address} is there again")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._close()

    def _on_cluster(self, tasks: Sequence[Task]) -> Outcome:
        """Give tasks to the cluster, a few for each of its threads; raises `_Lost`."""
        waiting, running = deque(tasks), dict[Any, Task]()
        finished: SimpleQueue[Any] = SimpleQueue()
        threads = self._threads()
        looked_s = seen_s = time.monotonic()
        try:
            while waiting or running:
                while waiting and len(running) < TASKS_A_THREAD * max(1, threads):
                    future = self._submit(waiting.popleft(), running)
                    future.add_done_callback(finished.put)
                with suppress(Empty):
                    future = finished.get(timeout=POLL_S)
                    task = running.pop(future)
                    yield task, self._outcome(future)
                now_s = time.monotonic()
                if now_s - looked_s < POLL_S:
                    continue
                threads, looked_s = self._threads(), now_s  # workers come and go
                seen_s = now_s if threads else seen_s
                if now_s - seen_s > PATIENCE_S:
                    raise _Lost(f"the cluster at {self._address} has no worker")
        finally:
            if self._client is not None:
                with suppress(OSError, RuntimeError):
                    self._client.cancel(list(running))

    def _submit(self, task: Task, running: dict[Any, Task]) -> Any:
        try:
            future = self._client.submit(simulate_here, _absolute(task), self._programs, pure=False)
        except (OSError, RuntimeError) as error:
            raise self._gone() from error
        running[future] = task
        return future

    def _outcome(self, future: Any) -> Done | Died:
        """What a task came to; raises what its worker raised, `_Lost` where its result never arrives."""
        try:
            if future.status == "finished":
                done: Done = future.result(timeout=ANSWER_S)
                return done
            error = future.exception(timeout=ANSWER_S) if future.status == "error" else None
        except (OSError, CancelledError) as lost:
            raise self._gone() from lost
        if error is None:
            raise self._gone()
        if isinstance(error, self._distributed.KilledWorker):
            return Died(error.allowed_failures + 1)
        if isinstance(error, ImportError):
            raise InputError(f"a worker of the cluster has no h2learn ({error})", SCHEDULER, self._address)
        raise error

    def _threads(self) -> int:
        """The threads of all workers; raises `_Lost` where the scheduler does not answer."""
        if self._client.status != "running":
            raise self._gone()
        try:
            return sum(self._client.nthreads().values())
        except (OSError, RuntimeError) as error:
            raise self._gone() from error

    def _gone(self) -> _Lost:
        return _Lost(f"the cluster at {self._address} is gone")

    def _connect(self) -> Any:
        return self._distributed.Client(self._address, timeout=CONNECT_S, set_as_default=False)

    def _connect_again(self) -> Any:
        while True:
            with suppress(OSError):
                return self._connect()
            time.sleep(POLL_S)

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(OSError, RuntimeError):
                client.close(timeout=POLL_S)


_lock = threading.Lock()
_workers: list[Worker] = []


def simulate_here(task: Task, programs: str) -> Done:
    """Simulate a task in a worker's process, one at a time: neither SimPy nor HDF5 gain from threads.

    `programs` names the sender's; raises InputError where ours are others, and where the trace is not to be seen.
    """
    if run_identity(()) != programs:
        raise InputError("a worker of the cluster has another version of h2learn", SCHEDULER, platform.node())
    if not task.trace.exists():
        what = f"a worker of the cluster, {platform.node()}, does not see the trace"
        raise InputError(what, SCHEDULER, str(task.trace), "a file system that all workers share with this machine")
    with _lock:
        if not _workers:
            set_threads(1)  # every processor has a worker of its own
            _workers.append(Worker())
        return _workers[0].do(task)


def _absolute(task: Task) -> Task:
    """The task with paths that do not depend on the folder in which a process was started."""
    settings = task.settings
    table = Path(str(settings["dram"]["standard"]))  # a name, or a user's own table
    if table.is_file():
        settings = settings | {"dram": settings["dram"] | {"standard": str(table.resolve())}}
    return replace(task, trace=task.trace.resolve(), settings=settings)
