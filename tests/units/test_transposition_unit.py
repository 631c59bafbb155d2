"""The transposition unit: one set of requirements, three views (reference, MyHDL, Verilated)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rtl_models.errors import InputError
from rtl_models.reference.transposition import (
    TranspositionTask,
    transposed,
    transposition_outputs,
    transposition_stimulus,
)
from rtl_models.simulators import MyhdlSimulator, Simulator, VerilatorSimulator
from rtl_models.transposition_unit import TranspositionGeometry, transposition_unit
from rtl_models.units import Pattern
from tests.rtl_models.simulation import needs_verilator
from tests.units.pipeline_oracle import transposition_transfers
from tlm.engines.pipeline_law import TranspositionTiming

Indices = NDArray[np.uint8]
NO_PATTERN: Pattern = np.zeros(0, np.uint8)
PLAIN = TranspositionGeometry(k=4, blocks=5, latency_cycles=1)
ODD = TranspositionGeometry(k=3, blocks=8, latency_cycles=3)  # 72 bits: blocks lie across the words of a payload
WIDEST = TranspositionGeometry(k=8, blocks=2, latency_cycles=2)
LEAST = TranspositionGeometry(k=1, blocks=3, latency_cycles=4)
patterns = st.lists(st.integers(0, 1), max_size=40).map(lambda flags: np.array(flags, np.uint8))


@dataclass(frozen=True)
class Case:
    """A task and the patterns of its source and its sink."""

    task: TranspositionTask
    spikes: Pattern = field(default_factory=lambda: NO_PATTERN)
    indices: Pattern = field(default_factory=lambda: NO_PATTERN)


def one_tile(spikes: Any) -> TranspositionTask:
    words = np.asarray(spikes, np.uint8)
    return TranspositionTask(words, np.array([len(words)], np.int64))


def random_task(rng: np.random.Generator, geometry: TranspositionGeometry, words: int) -> TranspositionTask:
    return one_tile(rng.integers(0, 1 << geometry.k, (words, geometry.blocks, geometry.k)))


def stalled(rng: np.random.Generator, task: TranspositionTask) -> Case:
    """Return the task with a random pattern of random density on both streams."""

    def pattern() -> Pattern:
        return (rng.random(rng.integers(20, 200)) < rng.choice([0.1, 0.4, 0.8])).astype(np.uint8)

    return Case(task, pattern(), pattern())


def oracle(spikes: Indices) -> list[list[list[int]]]:
    """Transpose every block bit by bit."""
    k = spikes.shape[2]
    return [
        [[sum(((int(block[j]) >> i) & 1) << j for j in range(k)) for i in range(k)] for block in word]
        for word in spikes
    ]


class TranspositionContract:
    """What every view must show; a view gives `observe`."""

    shapes: ClassVar[tuple[TranspositionGeometry, ...]]
    words: ClassVar[int] = 200

    def observe(self, geometry: TranspositionGeometry, cases: Sequence[Case]) -> list[Indices]:
        raise NotImplementedError

    def check(self, geometry: TranspositionGeometry, cases: Sequence[Case]) -> list[Indices]:
        """Compare what the view shows with the oracle, bit by bit: nothing lost, twice or out of order."""
        observed = self.observe(geometry, cases)
        assert len(observed) == len(cases)
        for case, seen in zip(cases, observed, strict=True):
            assert seen.tolist() == oracle(case.task.spikes)
        return observed

    def test_random_words_without_stalls(self) -> None:
        for seed, geometry in enumerate(self.shapes):
            rng = np.random.default_rng(seed)
            self.check(geometry, [Case(random_task(rng, geometry, self.words)), Case(random_task(rng, geometry, 1))])

    def test_random_stalls_on_both_streams(self) -> None:
        for seed, geometry in enumerate(self.shapes):
            rng = np.random.default_rng(100 + seed)
            self.check(geometry, [stalled(rng, random_task(rng, geometry, self.words)) for _ in range(4)])

    def test_a_single_bit_goes_to_its_mirror_place(self) -> None:
        for geometry in self.shapes:
            k = geometry.k
            walk = np.zeros((geometry.blocks, k, k, geometry.blocks, k), np.uint8)
            for block, point, channel in np.ndindex(geometry.blocks, k, k):
                walk[block, point, channel, block, point] = 1 << channel
            (seen,) = self.check(geometry, [Case(one_tile(walk.reshape(-1, geometry.blocks, k)))])
            seen = seen.reshape(geometry.blocks, k, k, geometry.blocks, k)
            for block, point, channel in np.ndindex(geometry.blocks, k, k):
                assert seen[block, point, channel, block, channel] == 1 << point
            assert np.bitwise_count(seen).sum() == geometry.width_bits

    def test_diagonals_stay_and_twice_is_nothing(self) -> None:
        for geometry in self.shapes:
            k, blocks = geometry.k, geometry.blocks
            diagonal = np.tile(1 << np.arange(k), (2, blocks, 1)).astype(np.uint8)
            everything = np.full((1, blocks, k), (1 << k) - 1, np.uint8)
            words = np.concatenate([diagonal, everything, np.zeros_like(everything)])
            (seen,) = self.check(geometry, [Case(one_tile(words))])
            np.testing.assert_array_equal(seen, words)
            task = random_task(np.random.default_rng(5), geometry, 20)
            (once,) = self.check(geometry, [Case(task)])
            (twice,) = self.check(geometry, [Case(one_tile(once))])
            np.testing.assert_array_equal(twice, task.spikes)


class SimulatedView(TranspositionContract):
    """The hardware: bits, and every cycle, which must be those of the oracle and of the law."""

    simulator: ClassVar[Simulator]

    def observe(self, geometry: TranspositionGeometry, cases: Sequence[Case]) -> list[Indices]:
        latency = geometry.latency_cycles
        stimuli = [
            transposition_stimulus(geometry, case.task, {"spikes": case.spikes}, {"indices": case.indices})
            for case in cases
        ]
        responses = self.simulator.run(transposition_unit(geometry), stimuli)
        for case, response in zip(cases, responses, strict=True):
            words = len(case.task.spikes)
            said = TranspositionTiming(latency).transfers(words, case.spikes, case.indices)
            stepped = transposition_transfers(words, latency, case.spikes, case.indices)
            assert {name: cycles.tolist() for name, cycles in response.transfers.items()} == stepped
            assert (said.put.tolist(), said.get.tolist()) == (stepped["spikes"], stepped["indices"])
            assert response.cycles_total == said.cycles_total
        return [transposition_outputs(geometry, response) for response in responses]

    def test_a_word_a_cycle(self) -> None:
        for geometry in self.shapes:
            words, latency = 2 * geometry.latency_cycles + 3, geometry.latency_cycles
            stimulus = transposition_stimulus(geometry, random_task(np.random.default_rng(7), geometry, words))
            (response,) = self.simulator.run(transposition_unit(geometry), [stimulus])
            assert response.transfers["spikes"].tolist() == list(range(words))
            assert response.transfers["indices"].tolist() == list(range(latency, words + latency))
            assert response.cycles_total == TranspositionTiming(latency).stall_free_cycles(words)

    def test_it_takes_as_many_words_as_it_has_registers_while_nobody_takes_indices(self) -> None:
        for geometry in self.shapes:
            task = random_task(np.random.default_rng(8), geometry, geometry.latency_cycles + 1)
            blocked = np.zeros(30, np.uint8)
            stimulus = transposition_stimulus(geometry, task, ready={"indices": blocked})
            (response,) = self.simulator.run(transposition_unit(geometry), [stimulus])
            assert response.transfers["spikes"].tolist() == [*range(geometry.latency_cycles), 30]
            assert response.transfers["indices"][0] == 30

    def test_reset_in_mid_stream_leaves_a_clean_unit(self) -> None:
        for geometry in self.shapes:
            rng, unit = np.random.default_rng(9), transposition_unit(geometry)
            full = random_task(rng, geometry, geometry.latency_cycles)
            never = {"indices": np.zeros(100, np.uint8)}
            cut = replace(transposition_stimulus(geometry, full, ready=never), outputs={"indices": 0})
            after = transposition_stimulus(geometry, random_task(rng, geometry, 12))
            broken, clean = self.simulator.run(unit, [cut, after])[1], self.simulator.run(unit, [after])[0]
            for name, cycles in clean.transfers.items():
                np.testing.assert_array_equal(broken.transfers[name], cycles)
            for name, words in clean.payloads["indices"].items():
                np.testing.assert_array_equal(broken.payloads["indices"][name], words)


class TestReference(TranspositionContract):
    shapes = tuple(TranspositionGeometry(k=k, blocks=3) for k in range(1, 9))

    def observe(self, geometry: TranspositionGeometry, cases: Sequence[Case]) -> list[Indices]:
        return [transposed(case.task) for case in cases]


class TestMyhdl(SimulatedView):
    simulator = MyhdlSimulator()
    shapes = (ODD, LEAST)
    words = 40


@needs_verilator
class TestVerilated(SimulatedView):
    simulator = VerilatorSimulator()
    shapes = (PLAIN, ODD, WIDEST)


@given(st.integers(1, 6), st.integers(1, 20), patterns, patterns)
def test_law_equals_the_state_machine(latency: int, words: int, spikes: Pattern, indices: Pattern) -> None:
    said = TranspositionTiming(latency).transfers(words, spikes, indices)
    stepped = transposition_transfers(words, latency, spikes, indices)
    assert (said.put.tolist(), said.get.tolist()) == (stepped["spikes"], stepped["indices"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, r"^transposition unit: k, got 0, allowed: 1\.\.8$"),
        ({"k": 9}, r"^transposition unit: k, got 9, allowed: 1\.\.8$"),
        ({"blocks": 0}, r"^transposition unit: blocks, got 0, allowed: 1\.\.4096$"),
        ({"blocks": 4097}, r"^transposition unit: blocks, got 4097, allowed: 1\.\.4096$"),
        ({"latency_cycles": 0}, r"^transposition unit: latency_cycles, got 0, allowed: 1\.\.64$"),
        ({"latency_cycles": 65}, r"^transposition unit: latency_cycles, got 65, allowed: 1\.\.64$"),
    ],
)
def test_geometries_that_cannot_be_built(change: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TranspositionGeometry(**change)


def test_tasks_that_make_no_sense() -> None:
    spikes = np.zeros((3, 5, 4), np.uint8)
    with pytest.raises(InputError, match=r"^transposition task: words of a tile, got \[3, 0\], allowed: 1 or more, in"):
        TranspositionTask(spikes, np.array([3, 0]))
    with pytest.raises(InputError, match=r"^transposition task: shape of spikes, got \[3, 5, 4\], allowed: '?\[4, "):
        TranspositionTask(spikes, np.array([4]))
    with pytest.raises(
        InputError, match=r"^transposition task: blocks, k of the task, got \[5, 4\], allowed: '?\[8, 3"
    ):
        transposition_stimulus(ODD, one_tile(spikes))
    with pytest.raises(InputError, match=r"^transposition task: spikes, got 16, allowed: 0\.\.15$"):
        transposition_stimulus(PLAIN, one_tile(spikes + 16))


def test_the_law_refuses_what_cannot_be() -> None:
    with pytest.raises(InputError, match=r"^pipeline law: latency_cycles, got 0, allowed: 1 or more$"):
        TranspositionTiming(0)
    with pytest.raises(InputError, match=r"^pipeline law: number of elements, got \[0\], allowed: 1 or more, in 1 or"):
        TranspositionTiming(1).transfers(0)
