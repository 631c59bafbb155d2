"""The FIFO: order, capacity and cycles, in MyHDL and Verilated, held to a state machine and to the law."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtl_models.errors import InputError
from rtl_models.fifo import fifo_unit
from rtl_models.simulators import MyhdlSimulator, Simulator, VerilatorSimulator
from rtl_models.units import Pattern, Response, Stimulus, Words
from tests.rtl_models.simulation import needs_verilator
from tests.units.pipeline_oracle import fifo_transfers
from tlm.engines.pipeline_law import FifoTiming

ALWAYS: Pattern = np.zeros(0, np.uint8)
patterns = st.lists(st.integers(0, 1), max_size=30).map(lambda flags: np.array(flags, np.uint8))


def beats(rng: np.random.Generator, count: int, width_bits: int) -> Words:
    words = rng.integers(0, 1 << 64, (count, -(-width_bits // 64)), dtype=np.uint64)
    words[:, -1] &= np.uint64((1 << ((width_bits - 1) % 64 + 1)) - 1)
    return words


class FifoContract:
    simulator: ClassVar[Simulator]
    shapes: ClassVar[tuple[tuple[int, int], ...]] = ((3, 100), (1, 1), (5, 64))

    def run(self, depth: int, width_bits: int, stimuli: Sequence[Stimulus]) -> list[Response]:
        """Run all stimuli; what comes out is what went in, and every transfer is in its cycle."""
        responses = self.simulator.run(fifo_unit(depth, width_bits), stimuli)
        for stimulus, response in zip(stimuli, responses, strict=True):
            count, put, get = stimulus.outputs["get"], stimulus.valid.get("put"), stimulus.ready.get("get")
            np.testing.assert_array_equal(response.payloads["get"]["data"], stimulus.beats["put"]["data"][:count])
            said = FifoTiming(depth).transfers(count, *(ALWAYS if p is None else p for p in (put, get)))
            assert {name: t.tolist() for name, t in response.transfers.items()} == fifo_transfers(
                count, depth, put, get
            )
            assert response.transfers["put"].tolist() == said.put.tolist()
            assert response.transfers["get"].tolist() == said.get.tolist()
            assert response.cycles_total == said.cycles_total
        return responses

    def test_nothing_is_lost_twice_or_out_of_order_under_stalls(self) -> None:
        for depth, width in self.shapes:
            rng = np.random.default_rng(depth)

            def pattern(rng: np.random.Generator = rng) -> Pattern:
                return (rng.random(150) < rng.choice([0.1, 0.4, 0.8])).astype(np.uint8)

            stimuli = [
                Stimulus({"put": {"data": beats(rng, 60, width)}}, {"get": 60}, {"put": pattern()}, {"get": pattern()})
                for _ in range(10)
            ]
            self.run(depth, width, stimuli)

    def test_one_beat_a_cycle_and_never_more_than_the_depth(self) -> None:
        for depth, width in self.shapes:
            data = {"put": {"data": beats(np.random.default_rng(1), 2 * depth + 2, width)}}
            blocked = np.zeros(depth + 5, np.uint8)
            free, full = self.run(
                depth,
                width,
                [Stimulus(data, {"get": 2 * depth + 2}), Stimulus(data, {"get": 2 * depth + 2}, {}, {"get": blocked})],
            )
            if depth > 1:
                assert free.transfers["put"].tolist() == list(range(2 * depth + 2))
            assert free.transfers["get"].tolist() == [c + 1 for c in free.transfers["put"].tolist()]
            # full after `depth` beats; a beat leaves in the first ready cycle, the next one is taken a cycle later
            assert full.transfers["put"].tolist()[: depth + 1] == [*range(depth), depth + 6]
            assert full.transfers["get"][0] == depth + 5

    def test_reset_empties_it(self) -> None:
        depth, width = self.shapes[0]
        data = {"put": {"data": beats(np.random.default_rng(2), depth, width)}}
        fill = Stimulus(data, {"get": 0}, {}, {"get": np.zeros(100, np.uint8)})
        after = Stimulus({"put": {"data": beats(np.random.default_rng(3), 9, width)}}, {"get": 9})
        unit = fifo_unit(depth, width)
        response = self.simulator.run(unit, [fill, after])[1]
        np.testing.assert_array_equal(response.payloads["get"]["data"], after.beats["put"]["data"])
        assert response.transfers["get"].tolist() == list(range(1, 10))


class TestMyhdl(FifoContract):
    simulator = MyhdlSimulator()


@needs_verilator
class TestVerilated(FifoContract):
    simulator = VerilatorSimulator()


@given(st.integers(1, 5), st.integers(1, 20), patterns, patterns)
def test_law_equals_the_state_machine(depth: int, count: int, put: Pattern, get: Pattern) -> None:
    said = FifoTiming(depth).transfers(count, put, get)
    assert {"put": said.put.tolist(), "get": said.get.tolist()} == fifo_transfers(count, depth, put, get)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, 8), "^FIFO: depth, got 0, allowed: 1 or more$"), ((2, 0), "^FIFO: width_bits, got 0, allowed: 1 or more$")],
)
def test_fifos_that_cannot_be_built(arguments: tuple[int, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fifo_unit(*arguments)


def test_laws_of_fifos_that_cannot_be() -> None:
    with pytest.raises(InputError, match=r"^FIFO law: depth, got 0, allowed: 1 or more$"):
        FifoTiming(0)
    with pytest.raises(InputError, match=r"^pipeline law: number of elements, got \[0\], allowed: 1 or more, in"):
        FifoTiming(1).transfers(0)
