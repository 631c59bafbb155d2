"""Verilated units are built side by side, once each, and what runs in the background ends with what it was for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rtl_models.simulators import SimulatorError, build
from rtl_models.simulators.build import build_unit
from tests.cosim.test_cosimulate import needs_verilator
from tlm.config import Config
from tlm.cosim import builds
from tlm.cosim.builds import build_all, built_meanwhile
from tlm.cosim.under_test import UnderTest
from tlm.cosim.units import HARDWARE, open_engines
from workloads.trace_file import open_trace

pytestmark = needs_verilator
WAIT_S = 120.0  # only a hang takes as long, however busy the machine


@dataclass
class Tools:
    """Stands for the tools: says which units are under way, and lets them finish when told."""

    begun: list[str]
    may_end: threading.Event
    broken: str = ""

    def __call__(self, _module: str, request: tuple[Any, ...], name: str) -> str:
        self.begun.append(name)
        assert self.may_end.wait(WAIT_S)
        if name == self.broken:
            raise SimulatorError(name, "convert failed")
        return "text"


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tools:
    """No tool runs, and the cache is empty."""
    monkeypatch.setenv("H2LEARN_CACHE", str(tmp_path / "cache"))
    tools = Tools([], threading.Event())
    monkeypatch.setattr(build, "call_worker", tools)
    monkeypatch.setattr(build, "compile_verilog", lambda text, unit, library, variant: library.write_text(text))
    monkeypatch.setattr("tlm.cosim.under_test._loads", lambda library: library.exists())
    monkeypatch.setattr(builds.os, "sched_getaffinity", lambda _: {0, 1, 2})
    return tools


@pytest.fixture
def wanted(trace_path: Path, config: Config) -> list[builds.Wanted]:
    with open_trace(trace_path) as trace:
        engines = open_engines(trace, config)
        return list({e.hardware.name: (e.hardware, e.geometry) for e in engines.values()}.values())


def wait_until(reached: Callable[[], bool]) -> None:
    limit = time.monotonic() + WAIT_S
    while not reached():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.01)


def models(tmp_path: Path) -> list[str]:
    """What the cache holds, the hidden folders of unfinished builds included."""
    return sorted(path.name.rpartition("-")[0] for path in (tmp_path / "cache").iterdir())


def test_as_many_at_a_time_as_there_are_processors(tools: Tools, wanted: list[builds.Wanted], tmp_path: Path) -> None:
    thread = threading.Thread(target=build_all, args=(UnderTest(), wanted))
    thread.start()
    wait_until(lambda: len(tools.begun) == 3)
    time.sleep(0.1)
    assert len(tools.begun) == 3
    tools.may_end.set()
    thread.join(WAIT_S)
    names = [hardware.unit(geometry).name for hardware, geometry in wanted]
    assert sorted(tools.begun) == sorted(names)
    assert models(tmp_path) == sorted(names)


def test_a_failing_build_is_raised_and_the_rest_is_dropped(
    tools: Tools, wanted: list[builds.Wanted], tmp_path: Path
) -> None:
    tools.broken = wanted[0][0].unit(wanted[0][1]).name
    tools.may_end.set()
    with pytest.raises(SimulatorError, match=f"^{tools.broken}: convert failed$"):
        build_all(UnderTest(), wanted)
    assert tools.broken not in models(tmp_path)
    assert not [name for name in models(tmp_path) if name.startswith(".")]


def test_a_unit_that_is_under_way_is_waited_for_not_built_twice(
    tools: Tools, trace_path: Path, config: Config, wanted: list[builds.Wanted]
) -> None:
    hardware, geometry = wanted[0]
    with open_trace(trace_path) as trace:
        network, batch = trace.network, trace.batch
    with built_meanwhile(network, batch, config, "auto"):
        wait_until(lambda: len(tools.begun) == 2)  # one processor is left to the job itself
        assert hardware.unit(geometry).name in tools.begun
        threading.Timer(0.1, tools.may_end.set).start()
        assert build_unit(hardware.unit(geometry)).exists()
        build_all(UnderTest(), wanted)
    assert sorted(tools.begun) == sorted(set(tools.begun))
    assert len(tools.begun) == len(HARDWARE)


@pytest.mark.parametrize("simulator", ["myhdl", "auto"])
def test_nothing_is_built_for_another_simulator(
    simulator: str, tools: Tools, trace_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builds, "available_simulators", lambda: ("myhdl",))
    with open_trace(trace_path) as trace, built_meanwhile(trace.network, trace.batch, config, simulator):
        time.sleep(0.1)
    assert tools.begun == []


def test_what_still_runs_at_the_end_is_stopped(
    trace_path: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real tools: the first unit is being converted when the job fails."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("H2LEARN_CACHE", str(cache))
    started = time.monotonic()

    def fail() -> None:
        with open_trace(trace_path) as trace, built_meanwhile(trace.network, trace.batch, config, "verilator"):
            wait_until(lambda: cache.exists() and any(cache.iterdir()))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(cache.iterdir()) == []
    assert time.monotonic() - started < WAIT_S
