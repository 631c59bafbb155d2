"""pytest plugin for unit tests of engine transactions: kernel, driver, monitor, scoreboard, stalls, watchdog.

Loaded by pytest wherever the package is installed, so it imports nothing heavier than SimPy.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Protocol

import pytest

from tlm.kernel import Clock, Process, Simulation
from tlm.testing.parts import Channel, Monitor, Scoreboard, Stalls, driver_body

ONE_NS = Clock(1000)
"""The clock where a test names none: 1 GHz, the machine's default."""

_SEED_LINE = pytest.StashKey[str]()
_CALL_FAILED = pytest.StashKey[bool]()


class Drive(Protocol):
    """Type of the `drive` fixture."""

    def __call__(
        self,
        channel: Channel,
        items: Iterable[Any],
        stalls: Stalls | None = None,
        size_bytes: Callable[[Any], int] | None = None,
    ) -> Process: ...


class Watch(Protocol):
    """Type of the `monitor` fixture."""

    def __call__(
        self,
        channel: Channel,
        count: int | None = None,
        stalls: Stalls | None = None,
        scoreboard: Scoreboard | None = None,
    ) -> Monitor: ...


class MakeStalls(Protocol):
    """Type of the `stalls` fixture."""

    def __call__(self, probability: float = 0.5, longest_cycles: int = 4, clock: Clock = ONE_NS) -> Stalls: ...


class Watchdog(Protocol):
    """Type of the `watchdog` fixture."""

    def __call__(self, limit_cycles: int, clock: Clock = ONE_NS) -> None: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--h2learn-seed`."""
    parser.getgroup("h2learn").addoption(
        "--h2learn-seed",
        default="1",
        metavar="SEED",
        help="seed of random stalls: an integer, or 'random' for a new one (default: 1)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Settle the seed once, before worker processes inherit the options."""
    text = str(config.option.h2learn_seed)
    if text == "random":
        config.option.h2learn_seed = str(secrets.randbits(32))
    elif not text.removeprefix("-").isdecimal():
        raise pytest.UsageError(f"--h2learn-seed: bad seed, got {text!r}, allowed: an integer or 'random'")


def pytest_report_header(config: pytest.Config) -> str:
    """Show the seed at the top of the report."""
    return f"h2learn: --h2learn-seed={config.option.h2learn_seed}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the seed with every failure of a test that stalls, and remember whether the test itself failed."""
    report = yield
    if call.when == "call":
        item.stash[_CALL_FAILED] = not report.passed
    if report.failed and _SEED_LINE in item.stash:
        report.sections.append(("h2learn", item.stash[_SEED_LINE]))
    return report


@pytest.fixture
def simulation() -> Simulation:
    """A fresh kernel at time 0."""
    return Simulation()


@pytest.fixture
def drive(simulation: Simulation) -> Drive:
    """Start a driver: ``drive(channel, items, stalls=None, size_bytes=None)``.

    It puts the items into the channel, pausing before each as `stalls` says. For a byte channel `size_bytes`
    maps an item to its size (default: ``len``). Returns the driver's process.
    """
    drivers = 0

    def start(
        channel: Channel,
        items: Iterable[Any],
        stalls: Stalls | None = None,
        size_bytes: Callable[[Any], int] | None = None,
    ) -> Process:
        nonlocal drivers
        drivers += 1
        body = driver_body(channel, list(items), stalls, size_bytes)
        return simulation.process(body, f"driver{drivers} of {channel.name}")

    return start


@pytest.fixture
def monitor(simulation: Simulation) -> Watch:
    """Start a monitor: ``monitor(channel, count=None, stalls=None, scoreboard=None)``.

    It takes `count` items, or all that come, keeps them in `.items` and their times in `.times_ps`, hands them
    to the scoreboard, and pauses after each as `stalls` says. With a count, a run in which fewer come ends in a
    Deadlock.
    """
    monitors = 0

    def start(
        channel: Channel,
        count: int | None = None,
        stalls: Stalls | None = None,
        scoreboard: Scoreboard | None = None,
    ) -> Monitor:
        nonlocal monitors
        monitors += 1
        part = Monitor(channel, count, stalls, scoreboard)
        simulation.process(part.run, f"monitor{monitors} of {channel.name}", daemon=count is None)
        return part

    return start


@pytest.fixture
def scoreboard(request: pytest.FixtureRequest, simulation: Simulation) -> Iterator[Scoreboard]:
    """Expected against received items, in order: ``expect(*items)``, ``receive(item)``.

    The test fails at its end if an expected item never came, or if the scoreboard saw nothing at all.
    """
    board = Scoreboard(simulation)
    yield board
    verdict = board.verdict()
    if verdict is not None and not request.node.stash.get(_CALL_FAILED, False):
        pytest.fail(verdict, pytrace=False)


@pytest.fixture
def stalls(request: pytest.FixtureRequest) -> MakeStalls:
    """Make random stalls: ``stalls(probability=0.5, longest_cycles=4, clock=ONE_NS)``.

    Every call gives another sequence; all depend on `--h2learn-seed` and on the test's name only.
    """
    seed = request.config.option.h2learn_seed
    request.node.stash[_SEED_LINE] = f"random stalls: repeat with --h2learn-seed={seed}"
    made = 0

    def make(probability: float = 0.5, longest_cycles: int = 4, clock: Clock = ONE_NS) -> Stalls:
        nonlocal made
        made += 1
        return Stalls(f"{seed}/{request.node.name}/{made}", probability, longest_cycles, clock)

    return make


@pytest.fixture
def watchdog(simulation: Simulation) -> Watchdog:
    """Set a limit: ``watchdog(limit_cycles, clock=ONE_NS)``; a run that goes on after it is a TimeLimitExceeded."""

    def start(limit_cycles: int, clock: Clock = ONE_NS) -> None:
        simulation.time_limit_ps = clock.to_ps(limit_cycles)

    return start
