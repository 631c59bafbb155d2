"""A sweep on a Dask cluster in this process: the same bytes, and nothing lost when the cluster goes away."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rtl_models.errors import InputError
from tests.sweep.conftest import raw_spec
from tlm.analysis.simulations import Processes, Task
from tlm.processes import Died
from tlm.sweep import cluster as module
from tlm.sweep.cluster import LOCAL, WAIT, Cluster, simulate_here
from tlm.sweep.spec import SweepSpec, parse_spec
from tlm.sweep.store import STORE
from tlm.sweep.sweep import run_sweep

distributed = pytest.importorskip("distributed")
NOWHERE = "tcp://127.0.0.1:9"  # the discard service, which nobody runs


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short times, and the threads of this process left as they are."""
    monkeypatch.setattr(module, "POLL_S", 0.2)
    monkeypatch.setattr(module, "set_threads", lambda count: None)


def start(port: int = 0) -> Any:
    """A scheduler and one worker in threads of this process."""
    return distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tcp://",
        scheduler_port=port,
        dashboard_address=":0",
        silence_logs=50,
    )


@pytest.fixture
def dask() -> Iterator[Any]:
    """A cluster that the test may close."""
    with start() as found:
        yield found


@pytest.fixture
def spec(trace_path: Path) -> SweepSpec:
    return parse_spec(raw_spec(trace_path), "spec")


@pytest.fixture
def expected(spec: SweepSpec, here: Processes, tmp_path: Path) -> bytes:
    """The store that processes of this machine write."""
    run_sweep(spec, tmp_path / "expected", here)
    return (tmp_path / "expected" / STORE).read_bytes()


def test_the_same_bytes_as_from_processes(
    dask: Any, spec: SweepSpec, here: Processes, expected: bytes, tmp_path: Path
) -> None:
    said: list[str] = []
    with Cluster(dask.scheduler_address, WAIT, here, said.append) as cluster:
        assert run_sweep(spec, tmp_path, cluster).taken_over == 0
    assert (tmp_path / STORE).read_bytes() == expected
    assert said == []


def when(done: int, action: Callable[[], None]) -> Callable[[str, int, int], None]:
    """A report that acts once so many points are done."""
    left = [action]

    def report(_: str, now: int, __: int) -> None:
        if now == done and left:
            left.pop()()

    return report


def test_a_cluster_that_goes_away_leaves_the_rest_to_processes(
    dask: Any, spec: SweepSpec, here: Processes, expected: bytes, tmp_path: Path
) -> None:
    said: list[str] = []
    with Cluster(dask.scheduler_address, LOCAL, here, said.append) as cluster:
        run_sweep(spec, tmp_path, cluster, report=when(3, dask.close))
    assert (tmp_path / STORE).read_bytes() == expected
    assert said == [
        f"the cluster at {dask.scheduler_address} is gone: 3 points left go on in processes of this machine"
    ]


def test_a_cluster_that_goes_away_is_waited_for(
    dask: Any, spec: SweepSpec, here: Processes, expected: bytes, tmp_path: Path
) -> None:
    address, said = dask.scheduler_address, list[str]()
    port = int(address.rpartition(":")[2])
    with ThreadPoolExecutor(1) as thread, contextlib.ExitStack() as clusters:

        def say(line: str) -> None:
            said.append(line)
            if "waiting" in line:
                thread.submit(lambda: (time.sleep(0.5), clusters.enter_context(start(port))))

        with Cluster(address, WAIT, here, say) as cluster:
            run_sweep(spec, tmp_path, cluster, report=when(4, dask.close))
        thread.shutdown()  # the second cluster may serve before it is here to be closed
    assert (tmp_path / STORE).read_bytes() == expected
    assert said == [
        f"the cluster at {address} is gone: waiting for it with 2 points left",
        f"the cluster at {address} is there again",
    ]


def test_a_cluster_without_workers_counts_as_gone(
    spec: SweepSpec, here: Processes, expected: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.5)
    said: list[str] = []
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0", silence_logs=50) as empty,
        Cluster(empty.scheduler_address, LOCAL, here, said.append) as cluster,
    ):
        run_sweep(spec, tmp_path, cluster)
        assert list(cluster.run([])) == []  # a later round of a search asks no more for the cluster
    assert (tmp_path / STORE).read_bytes() == expected
    assert "has no worker: 4 points left go on in processes of this machine" in said[0]


def test_a_point_that_kills_its_workers_has_died(dask: Any, here: Processes) -> None:
    class Killed:
        status = "error"

        def exception(self, timeout: float) -> Exception:
            return distributed.KilledWorker("task", None, 3)  # type: ignore[no-any-return]

    with Cluster(dask.scheduler_address, WAIT, here, print) as cluster:
        assert cluster._outcome(Killed()) == Died(4)


def test_workers_that_cannot_do_the_work(dask: Any, here: Processes, trace_path: Path, tmp_path: Path) -> None:
    """What a worker raises ends the sweep, whose journal has what was done; no point is blamed for it."""
    spec = parse_spec(raw_spec(trace_path), "spec")
    with Cluster(dask.scheduler_address, WAIT, here, print) as cluster:
        cluster._programs = "others"
        words = r"^--scheduler: a worker of the cluster has another version of h2learn, got '"
        with pytest.raises(InputError, match=words):
            run_sweep(spec, tmp_path, cluster)
    task = Task("a point", tmp_path / "none.h5", "0", 1, {"dram": {"standard": "HBM2"}}, lambda *_: {})
    words = r"^--scheduler: a worker of the cluster, .*, does not see the trace, got '.*none.h5', allowed: "
    with pytest.raises(InputError, match=words):
        simulate_here(task, module.run_identity(()))


class WithoutH2learn:
    """A future whose worker cannot import what it was given."""

    status = "error"

    def exception(self, timeout: float) -> Exception:
        return ModuleNotFoundError("No module named 'tlm'")


def test_workers_without_h2learn(dask: Any, here: Processes) -> None:
    words = r"^--scheduler: a worker of the cluster has no h2learn \(No module named 'tlm'\), got 'tcp://"
    with Cluster(dask.scheduler_address, WAIT, here, print) as cluster, pytest.raises(InputError, match=words):
        cluster._outcome(WithoutH2learn())


@pytest.mark.parametrize("address", [NOWHERE, "none://x"])
def test_no_scheduler(address: str, here: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_S", 1)
    words = rf"^--scheduler: no scheduler answers \(.*, got '{address}', allowed: the address of a Dask scheduler"
    with pytest.raises(InputError, match=words):
        Cluster(address, WAIT, here, print)


def test_without_the_package(here: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    words = r"^--scheduler: a cluster needs the package distributed: pip install 'h2learn\[distributed\]', got"
    with pytest.raises(InputError, match=words):
        Cluster(NOWHERE, WAIT, here, print)
