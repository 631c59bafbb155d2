"""The backward unit: one set of requirements, four views (reference, MyHDL, Verilated, cycle law).

A view answers with bits, with cycles, or with both; whatever it answers must equal the oracle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from rtl_models.backward_unit import BackwardUnitGeometry, backward_unit
from rtl_models.formats import BFLOAT16, BINARY16, BINARY32, Bits, encode
from rtl_models.reference.backward_items import (
    BackwardTask,
    backward_item_sums,
    backward_outputs,
    backward_payloads,
    backward_stimulus,
)
from rtl_models.simulators import MyhdlSimulator, Simulator, VerilatorSimulator
from rtl_models.units import Pattern
from tests.rtl_models.simulation import needs_verilator
from tests.units import backward_oracle
from tests.units.test_lut_row import hostile_bits
from tlm.engines.backward_law import BackwardUnitTiming

SMALL = BackwardUnitGeometry(lanes=2, channel_tile=5, items_in_flight=2, adder_latency_cycles=4)
PIPELINED = BackwardUnitGeometry(
    lanes=3, channel_tile=10, items_in_flight=3, adder_latency_cycles=9, value_format=BFLOAT16
)
ONE = BackwardUnitGeometry(lanes=1, channel_tile=1, items_in_flight=1, adder_latency_cycles=1, value_format=BINARY32)
NARROW = BackwardUnitGeometry(
    lanes=3, channel_tile=3, items_in_flight=4, adder_latency_cycles=2, sum_format=BINARY16
)  # one chunk an item
LONG = BackwardUnitGeometry(lanes=4, channel_tile=70, items_in_flight=5, adder_latency_cycles=3)
ALL = (SMALL, PIPELINED, ONE, NARROW, LONG)


@dataclass(frozen=True)
class Case:
    """A task and the patterns of its sources and sink."""

    task: BackwardTask
    valid: dict[str, Pattern] = field(default_factory=dict)
    ready: dict[str, Pattern] = field(default_factory=dict)


@dataclass(frozen=True)
class Observed:
    """What a view says of a case: bits, cycles of all transfers, or both."""

    bits: Bits | None
    transfers: dict[str, NDArray[np.int64]] | None


def random_task(rng: np.random.Generator, geometry: BackwardUnitGeometry, groups: int, most: int = 9) -> BackwardTask:
    """Return groups of random sizes; items of random density with up to `most` hostile gradients, many with none."""
    g = geometry
    group_items = rng.integers(1, g.items_in_flight + 1, groups)
    items = int(group_items.sum())
    masks = rng.random((items, g.channel_tile)) < rng.choice([0.1, 0.5, 1.0], (items, 1))
    masks[np.arange(items), rng.integers(0, g.channel_tile, items)] = True
    counts = rng.integers(0, most + 1, items) * (rng.random(items) < 0.8)
    elements = int(counts.sum())
    return BackwardTask(
        masks=masks.astype(np.uint8),
        group_items=group_items,
        counts=counts,
        values=hostile_bits(rng, g.value_format, (elements,)),
        rows=rng.integers(0, 7, elements),
        weights=hostile_bits(rng, g.value_format, (7, g.channel_tile)),
    )


def plain_task(geometry: BackwardUnitGeometry, groups: int, gradients: int, active: int) -> BackwardTask:
    """Return full groups of equal items: `gradients` each, the first `active` channels wanted."""
    g = geometry
    items = groups * g.items_in_flight
    elements = items * gradients
    return BackwardTask(
        masks=np.tile((np.arange(g.channel_tile) < active).astype(np.uint8), (items, 1)),
        group_items=np.full(groups, g.items_in_flight),
        counts=np.full(items, gradients),
        values=encode(np.arange(elements).astype(np.float32) % 7 - 3, g.value_format),
        rows=np.arange(elements) % 3,
        weights=encode(np.arange(3 * g.channel_tile, dtype=np.float32).reshape(3, -1) - 4, g.value_format),
    )


def stalls(rng: np.random.Generator, case: Case) -> Case:
    """Return the case with a random pattern of random density on each stream."""

    def pattern() -> Pattern:
        return (rng.random(rng.integers(20, 300)) < rng.choice([0.1, 0.4, 0.8])).astype(np.uint8)

    return replace(case, valid={"item": pattern(), "gradient": pattern()}, ready={"sums": pattern()})


class UnitContract:
    """What every view of the unit must show; a view overrides `observe`."""

    shapes: ClassVar[tuple[BackwardUnitGeometry, ...]] = ()
    """Geometries that the view is tried on, the first for directed tests."""
    tasks_per_shape = 1

    def observe(self, geometry: BackwardUnitGeometry, cases: Sequence[Case]) -> list[Observed]:
        raise NotImplementedError

    def check(self, geometry: BackwardUnitGeometry, cases: Sequence[Case]) -> list[Observed]:
        """Compare what the view shows with the oracle, bit by bit and cycle by cycle."""
        observed = self.observe(geometry, cases)
        assert len(observed) == len(cases)
        for case, seen in zip(cases, observed, strict=True):
            assert seen.bits is not None or seen.transfers is not None
            if seen.bits is not None:
                expected = backward_oracle.sums(case.task, geometry.value_format, geometry.sum_format)
                assert [hex(b) for b in seen.bits] == [hex(b) for b in expected]
            if seen.transfers is not None:
                cycles = backward_oracle.transfers(geometry, case.task, case.valid, case.ready)
                assert {name: t.tolist() for name, t in seen.transfers.items()} == cycles
        return observed

    def test_hostile_operands_without_stalls(self) -> None:
        for seed, geometry in enumerate(self.shapes):
            rng = np.random.default_rng(seed)
            self.check(geometry, [Case(random_task(rng, geometry, 4)) for _ in range(self.tasks_per_shape)])

    def test_random_stalls_on_all_streams(self) -> None:
        for seed, geometry in enumerate(self.shapes):
            rng = np.random.default_rng(100 + seed)
            cases = [stalls(rng, Case(random_task(rng, geometry, 4))) for _ in range(self.tasks_per_shape)]
            self.check(geometry, cases)

    def test_short_groups_wait_for_compactor_and_drain(self) -> None:
        for seed, geometry in enumerate(self.shapes):
            rng = np.random.default_rng(200 + seed)
            cases = [Case(random_task(rng, geometry, 7, most=1)) for _ in range(self.tasks_per_shape)]
            self.check(geometry, [*cases, *(stalls(rng, c) for c in cases)])

    def test_first_transfers_are_tight(self) -> None:
        """Not a cycle sooner, not a cycle later: compaction, issue of one group, pipeline, drain."""
        for geometry in self.shapes[:2]:
            g = geometry
            tasks = [plain_task(g, 1, 3, active) for active in (1, g.lanes, g.channel_tile)]
            for task, seen in zip(tasks, self.check(g, [Case(t) for t in tasks]), strict=True):
                active = int(task.active[0])
                if seen.transfers is None:
                    continue
                compacted = active * g.items_in_flight
                assert seen.transfers["gradient"][0] == compacted + 1
                chunks = -(-active // g.lanes)
                turn = max(g.items_in_flight * chunks, g.adder_latency_cycles)
                last = compacted + 1 + 2 * turn + (g.items_in_flight - 1) * chunks
                assert seen.transfers["gradient"][-1] == last
                # two cycles to select and multiply, the adder, and the output register
                assert seen.transfers["sums"][0] == last + chunks + 2 + g.adder_latency_cycles + 1

    def test_interlock_is_tight(self) -> None:
        """One item alone: each element waits for the adder, and not a cycle longer."""
        g = self.shapes[0]
        both = plain_task(g, 1, 3, 1)
        alone = replace(both, counts=np.array([3, 0]), values=both.values[:3], rows=both.rows[:3])
        (seen,) = self.check(g, [Case(alone)])
        if seen.transfers is not None:
            assert np.diff(seen.transfers["gradient"]).tolist() == [g.adder_latency_cycles] * 2

    def test_items_without_gradients_deliver_plus_zero(self) -> None:
        g = self.shapes[0]
        before = plain_task(g, 2, 3, g.channel_tile)  # fills both halves of the accumulators
        items = 3 * g.items_in_flight
        empty = plain_task(g, 3, 0, g.channel_tile)
        task = BackwardTask(
            masks=np.concatenate([before.masks, empty.masks]),
            group_items=np.concatenate([before.group_items, empty.group_items]),
            counts=np.concatenate([before.counts, empty.counts]),
            values=before.values,
            rows=before.rows,
            weights=before.weights,
        )
        (seen,) = self.check(g, [Case(task)])
        if seen.bits is not None:
            assert seen.bits[-items * g.channel_tile :].tolist() == [0] * items * g.channel_tile

    def test_zeros_infinities_and_nan(self) -> None:
        g = self.shapes[0]
        value, total = g.value_format, g.sum_format
        infinity = value.canonical_nan & ~(1 << (value.fraction_bits - 1))
        minus = 1 << (value.width_bits - 1)
        one = value.bias << value.fraction_bits
        # (gradients, the weights they meet) of items with one wanted channel
        chains = [
            ([0, minus], [one, one]),  # +0 + +0 + -0
            ([minus], [one]),  # the first product is added to +0, not stored
            ([one, one], [infinity, infinity | minus]),  # not a number
            ([0], [infinity]),  # not a number either
            ([infinity | 1], [0]),  # a NaN that is not canonical
            ([1, 1], [1, 1]),  # below the sum's least number, or exact
            ([infinity - 1] * 2, [infinity - 1] * 2),
        ]
        elements = [(v, w) for values, weights in chains for v, w in zip(values, weights, strict=True)]
        table = np.zeros((len(elements), g.channel_tile), value.bits_dtype)
        table[:, -1] = [w for _, w in elements]
        masks = np.zeros((len(chains), g.channel_tile), np.uint8)
        masks[:, -1] = 1
        task = BackwardTask(
            masks=masks,
            group_items=np.ones(len(chains), np.int64),
            counts=np.array([len(values) for values, _ in chains]),
            values=np.array([v for v, _ in elements], value.bits_dtype),
            rows=np.arange(len(elements)),
            weights=table,
        )
        (seen,) = self.check(g, [Case(task)])
        if seen.bits is not None:
            assert seen.bits[:5].tolist() == [0, 0, total.canonical_nan, total.canonical_nan, total.canonical_nan]


class TestReference(UnitContract):
    shapes = ALL
    tasks_per_shape = 4

    def observe(self, geometry: BackwardUnitGeometry, cases: Sequence[Case]) -> list[Observed]:
        g = geometry
        return [Observed(backward_item_sums(c.task, g.value_format, g.sum_format), None) for c in cases]


class TestLaw(UnitContract):
    shapes = ALL
    tasks_per_shape = 30

    def observe(self, geometry: BackwardUnitGeometry, cases: Sequence[Case]) -> list[Observed]:
        law = timing(geometry)
        observed = []
        for case in cases:
            counts = (case.task.group_items, case.task.counts, case.task.active)
            t = law.transfers(*counts, case.valid, case.ready)
            if not case.valid and not case.ready:
                assert law.stall_free_cycles(*counts) == t.cycles_total
            observed.append(Observed(None, {"item": t.item, "gradient": t.gradient, "sums": t.sums}))
        return observed


class SimulatedUnit(UnitContract):
    """The hardware: bits and cycles; the cycles are compared with the law as well, and every field of the output."""

    simulator: ClassVar[Simulator]

    def observe(self, geometry: BackwardUnitGeometry, cases: Sequence[Case]) -> list[Observed]:
        g = geometry
        stimuli = [backward_stimulus(g, c.task, c.valid, c.ready) for c in cases]
        responses = self.simulator.run(backward_unit(g), stimuli)
        law = timing(g)
        for case, response in zip(cases, responses, strict=True):
            said = law.transfers(case.task.group_items, case.task.counts, case.task.active, case.valid, case.ready)
            assert response.cycles_total == said.cycles_total
            for name, cycles in response.transfers.items():
                np.testing.assert_array_equal(getattr(said, name), cycles)
            sums = backward_item_sums(case.task, g.value_format, g.sum_format)
            for name, words in backward_payloads(g, case.task, sums).items():
                np.testing.assert_array_equal(response.payloads["sums"][name], words, name)
        return [Observed(backward_outputs(g, r), r.transfers) for r in responses]

    @pytest.mark.parametrize("elements", [0, 1, 4])
    def test_reset_in_mid_stream_leaves_a_clean_unit(self, elements: int) -> None:
        g = self.shapes[0]
        # a group computed, half of the next one compacted, then the reset before the next stimulus
        task = plain_task(g, 3, 4, g.channel_tile)
        after = backward_stimulus(g, task)
        cut = replace(
            after,
            beats={
                "item": {name: words[:3] for name, words in after.beats["item"].items()},
                "gradient": {name: words[:elements] for name, words in after.beats["gradient"].items()},
            },
            outputs={"sums": 0},
        )
        responses = self.simulator.run(backward_unit(g), [cut, after])
        clean = self.simulator.run(backward_unit(g), [after])[0]
        np.testing.assert_array_equal(backward_outputs(g, responses[1]), backward_outputs(g, clean))
        for name, cycles in clean.transfers.items():
            np.testing.assert_array_equal(responses[1].transfers[name], cycles)


class TestMyhdl(SimulatedUnit):
    simulator = MyhdlSimulator()
    shapes = (SMALL, PIPELINED, ONE)


@needs_verilator
class TestVerilated(SimulatedUnit):
    simulator = VerilatorSimulator()
    shapes = ALL
    tasks_per_shape = 20


def timing(geometry: BackwardUnitGeometry) -> BackwardUnitTiming:
    """Return the law of a geometry."""
    return BackwardUnitTiming(geometry.lanes, geometry.adder_latency_cycles)
