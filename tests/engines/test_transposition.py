"""The transposition unit: a word a cycle, latency at the first tile of a layer, order, room for two tiles an array."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tlm.config import TranspositionUnitConfig
from tlm.engines.transposition import TranspositionUnit
from tlm.kernel import Clock, Simulation, State
from tlm.kernel.process import Steps
from tlm.memory.buffer import BufferPorts


@pytest.fixture
def unit(simulation: Simulation) -> TranspositionUnit:
    """Words of 16 bits, as many as the buffer's port gives, five cycles of latency, two arrays."""
    config = SimpleNamespace(transposition_unit=TranspositionUnitConfig(width=16, latency_cycles=5))
    ports = {"spikes": BufferPorts("spikes", simulation, Clock(1000), 2)}
    context: Any = SimpleNamespace(config=config, clock=Clock(1000), ports=ports)
    return TranspositionUnit("transposition", simulation, context, 2)


def feed(unit: TranspositionUnit, array: int, words: list[int], fill: bool = False, bits: int = 16) -> None:
    """Request tiles of these words, of `bits` spikes each; with `fill` the first is the first of its layer."""

    def run(process: Any) -> Steps:
        for number, count in enumerate(words):
            yield from unit.request(array, count, count * bits, fill=fill and number == 0)

    unit.simulation.process(run, f"feed{array}")


def take(unit: TranspositionUnit, array: int, count: int, every_ps: int = 0) -> list[int]:
    """Take tiles and return the times, which fill up as the simulation runs."""
    times: list[int] = []

    def run(process: Any) -> Steps:
        for _ in range(count):
            yield from process.work(every_ps)
            yield from unit.take(array)
            times.append(unit.simulation.now_ps)

    unit.simulation.process(run, f"take{array}")
    return times


def test_a_word_a_cycle(simulation: Simulation, unit: TranspositionUnit) -> None:
    feed(unit, 0, [1, 2, 1])
    times = take(unit, 0, 3)
    simulation.run()
    assert times == [1000, 3000, 4000]


def test_the_spikes_come_through_the_ports_of_their_buffer(simulation: Simulation, unit: TranspositionUnit) -> None:
    feed(unit, 0, [1], bits=32)
    times = take(unit, 0, 1)
    simulation.run()
    assert times == [2000]


def test_the_first_tile_of_a_layer_pays_the_latency(simulation: Simulation, unit: TranspositionUnit) -> None:
    feed(unit, 0, [1, 1], fill=True)
    times = take(unit, 0, 2)
    simulation.run()
    assert times == [6000, 7000]
    assert unit.account.state_ps(State.BUSY) == 7000


def test_arrays_are_served_in_the_order_of_their_requests(simulation: Simulation, unit: TranspositionUnit) -> None:
    feed(unit, 0, [1])
    feed(unit, 1, [2])
    first, second = take(unit, 0, 1), take(unit, 1, 1)
    simulation.run()
    assert (first, second) == ([1000], [3000])


def test_an_array_that_takes_late_has_two_tiles_waiting(simulation: Simulation, unit: TranspositionUnit) -> None:
    feed(unit, 0, [1] * 4)
    times = take(unit, 0, 4, every_ps=10_000)
    simulation.run()
    assert times == [10_000, 20_000, 30_000, 40_000]
    assert unit._requests.peak_level <= 2


def test_it_waits_for_spikes(simulation: Simulation, unit: TranspositionUnit) -> None:
    feed(unit, 0, [1])
    take(unit, 0, 1, every_ps=50_000)
    simulation.run()
    assert unit.account.totals_ps() == {(State.BUSY, ""): 1000, (State.STARVED, "spikes"): 49_000}
