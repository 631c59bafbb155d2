"""Builds the Verilated units of a co-simulation, side by side, and before they are needed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from rtl_models.simulators import available_simulators
from rtl_models.simulators.children import Children
from tlm.config import Config
from tlm.cosim.hardware import Hardware
from tlm.cosim.under_test import UnderTest
from tlm.cosim.units import ENGINES
from workloads.network import Network

Wanted = tuple[Hardware[Any, Any], Any]
"""A kind of hardware and its geometry."""


def build_all(under_test: UnderTest, wanted: Iterable[Wanted]) -> None:
    """Build what is not built yet, as many at a time as there are processors.

    Raises the first error, in the order of `wanted`, once all that was begun has ended.
    """
    with _started(under_test, list(wanted), _processors()) as builds:
        for build in builds:
            build.result()


@contextmanager
def built_meanwhile(network: Network, batch: int, config: Config, simulator: str) -> Iterator[None]:
    """Build our units for a step of `network` meanwhile, on all processors but one; at the end, stop what still runs.

    Nothing is built where `simulator` is, or can only be, another than Verilator. A build that fails here says nothing:
    whoever needs the unit builds it again, and is told why it fails.
    """
    if simulator not in ("auto", "verilator") or "verilator" not in available_simulators():
        yield
        return
    kinds = [kind for kind in ENGINES if kind.layers_of(network)]
    geometries = {kind.hardware.name: (kind.hardware, kind.geometry_of(network, batch, config)) for kind in kinds}
    with _started(UnderTest(), list(geometries.values()), max(1, _processors() - 1)):
        yield


@contextmanager
def _started(under_test: UnderTest, wanted: list[Wanted], threads: int) -> Iterator[list[Future[None]]]:
    """Start builds in threads of their own; at the end, drop those that wait and stop those that run."""
    # hashed here: CPython 3.11 cannot parse in two threads at once, and a hash that is known is not made again
    for hardware, geometry in wanted:
        under_test.identity(hardware, geometry)
    children = Children()
    with ThreadPoolExecutor(threads) as pool:
        try:
            yield [pool.submit(children.work, under_test.build, *unit) for unit in wanted]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            children.stop()


def _processors() -> int:
    return len(os.sched_getaffinity(0))
