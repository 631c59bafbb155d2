"""Requirements that every element-wise unit meets in every view (reference, MyHDL, Verilated), and hostile operands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rtl_models.formats import BFLOAT16, BINARY16, BINARY32, Bits, FloatFormat
from rtl_models.pipeline import PipelineGeometry
from rtl_models.pipeline_task import Payload, PipelineTask, pipeline_outputs, pipeline_stimulus
from rtl_models.simulators import Simulator
from rtl_models.units import Pattern, Unit
from tests.units import pipeline_oracle
from tlm.engines.pipeline_law import PipelineTiming

HALF = PipelineGeometry(BINARY16, BINARY32, latency_cycles=1)
BRAIN = PipelineGeometry(BFLOAT16, BINARY32, latency_cycles=3)
NARROW = PipelineGeometry(BINARY16, BINARY16, latency_cycles=2)  # sums are no wider than values
ANY_HALF, ANY_BRAIN, ANY_NARROW = (replace(shape, any_reset=True) for shape in (HALF, BRAIN, NARROW))
SINGLE = PipelineGeometry(BINARY32, BINARY32, latency_cycles=4)

Shown = Mapping[str, NDArray[np.unsignedinteger]]  # each field of the results


@dataclass(frozen=True)
class Case:
    """A task and the patterns of its sources and sink."""

    task: PipelineTask
    valid: dict[str, Pattern] = field(default_factory=dict)
    ready: dict[str, Pattern] = field(default_factory=dict)


def corners(fmt: FloatFormat) -> NDArray[np.uint64]:
    """Return patterns at every edge of a format, of both signs, and NaNs that are not canonical."""
    infinity = ((1 << fmt.exponent_bits) - 1) << fmt.fraction_bits
    least_normal = 1 << fmt.fraction_bits
    one = fmt.bias << fmt.fraction_bits
    positive = [0, 1, least_normal - 1, least_normal, one - 1, one, infinity - 1, infinity, infinity + 1]
    both = [p | s for p in (*positive, fmt.canonical_nan) for s in (0, 1 << (fmt.width_bits - 1))]
    return np.array(both, np.uint64)


def hostile(rng: np.random.Generator, fmt: FloatFormat, count: int) -> Bits:
    """Return patterns: many of like size, so that sums cancel and round; the rest anything at all, and corners."""
    sign, fraction = 1 << (fmt.width_bits - 1), fmt.fraction_bits
    near = rng.integers(fmt.bias - 4, fmt.bias + 3, count, dtype=np.uint64) << np.uint64(fraction)
    near |= rng.integers(0, 1 << fraction, count, dtype=np.uint64)
    near |= np.uint64(sign) * rng.integers(0, 2, count, dtype=np.uint64)
    anything = rng.integers(0, 1 << fmt.width_bits, count, dtype=np.uint64)
    kind = rng.random(count)
    chosen = np.select([kind < 0.6, kind < 0.85], [near, anything], rng.choice(corners(fmt), count))
    return chosen.astype(fmt.bits_dtype)


def flags(rng: np.random.Generator, count: int) -> NDArray[np.uint8]:
    return rng.integers(0, 2, count).astype(np.uint8)


def stalled(rng: np.random.Generator, task: PipelineTask) -> Case:
    """Return the task with a random pattern of random density on each stream."""

    def pattern() -> Pattern:
        return (rng.random(rng.integers(20, 200)) < rng.choice([0.1, 0.4, 0.8])).astype(np.uint8)

    return Case(task, {"constants": pattern(), "element": pattern()}, {"out": pattern()})


class PipelineContract:
    """What every view of every unit must show.

    A unit's own contract gives `make`, `oracle` and `random_task` and its directed cases; a view gives `observe`.
    """

    shapes: ClassVar[tuple[PipelineGeometry, ...]] = (HALF, BRAIN, NARROW, SINGLE)
    tasks_per_shape: ClassVar[int] = 4
    elements: ClassVar[int] = 400

    def make(self, geometry: PipelineGeometry) -> Unit:
        raise NotImplementedError

    def oracle(self, task: PipelineTask, geometry: PipelineGeometry) -> dict[str, Bits]:
        raise NotImplementedError

    def reference(self, task: PipelineTask, geometry: PipelineGeometry) -> dict[str, Payload]:
        raise NotImplementedError

    def random_task(self, rng: np.random.Generator, g: PipelineGeometry, counts: NDArray[np.int64]) -> PipelineTask:
        raise NotImplementedError

    def observe(self, geometry: PipelineGeometry, cases: Sequence[Case]) -> list[Shown]:
        raise NotImplementedError

    def check(self, geometry: PipelineGeometry, cases: Sequence[Case]) -> list[Shown]:
        """Compare what the view shows with the oracle, bit by bit."""
        observed = self.observe(geometry, cases)
        assert len(observed) == len(cases)
        for case, seen in zip(cases, observed, strict=True):
            expected = self.oracle(case.task, geometry)
            assert set(seen) == set(expected)
            for name, bits in expected.items():
                np.testing.assert_array_equal(np.asarray(seen[name], np.uint64), np.asarray(bits, np.uint64), name)
        return observed

    def groups(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return counts of a few groups that add up to about `elements`."""
        return rng.integers(1, 2 * self.elements // 3, 3)

    def test_hostile_operands_without_stalls(self) -> None:
        for seed, geometry in enumerate(self.shapes):
            rng = np.random.default_rng(seed)
            tasks = [self.random_task(rng, geometry, self.groups(rng)) for _ in range(self.tasks_per_shape)]
            self.check(geometry, [Case(task) for task in tasks])

    def test_random_stalls_on_all_streams(self) -> None:
        for seed, geometry in enumerate(self.shapes):
            rng = np.random.default_rng(100 + seed)
            tasks = [self.random_task(rng, geometry, self.groups(rng)) for _ in range(self.tasks_per_shape)]
            single = self.random_task(rng, geometry, np.ones(7, np.int64))  # new constants after every element
            self.check(geometry, [stalled(rng, task) for task in (*tasks, single)])


class ReferenceView(PipelineContract):
    """The reference function: bits only."""

    def observe(self, geometry: PipelineGeometry, cases: Sequence[Case]) -> list[Shown]:
        return [self.reference(case.task, geometry) for case in cases]


class SimulatedView(PipelineContract):
    """The hardware: bits, and every cycle, which must be those of the oracle and of the law."""

    simulator: ClassVar[Simulator]

    def observe(self, geometry: PipelineGeometry, cases: Sequence[Case]) -> list[Shown]:
        unit = self.make(geometry)
        stimuli = [pipeline_stimulus(unit, c.task, c.valid, c.ready) for c in cases]
        responses = self.simulator.run(unit, stimuli)
        law = PipelineTiming(geometry.latency_cycles)
        for case, response in zip(cases, responses, strict=True):
            counts = case.task.counts
            stepped = pipeline_oracle.pipeline_transfers(counts, geometry.latency_cycles, case.valid, case.ready)
            said = law.transfers(counts, case.valid, case.ready)
            for name, cycles in response.transfers.items():
                np.testing.assert_array_equal(cycles, stepped[name])
                np.testing.assert_array_equal(cycles, getattr(said, name))
            assert response.cycles_total == said.cycles_total
        return [pipeline_outputs(response) for response in responses]

    def test_closed_form_is_tight(self) -> None:
        for geometry in self.shapes[:2]:
            rng, unit, latency = np.random.default_rng(7), self.make(geometry), geometry.latency_cycles
            counts = np.array([1, 5, latency, 2 * latency + 1])
            task = self.random_task(rng, geometry, counts)
            (response,) = self.simulator.run(unit, [pipeline_stimulus(unit, task)])
            starts = np.cumsum([0, *(1 + counts + latency)])  # constants, one element a cycle, until the last has left
            elements = [start + 1 + np.arange(n) for start, n in zip(starts[:-1], counts, strict=True)]
            assert response.transfers["constants"].tolist() == starts[:-1].tolist()
            assert response.transfers["element"].tolist() == np.concatenate(elements).tolist()
            assert response.transfers["out"].tolist() == (np.concatenate(elements) + latency).tolist()
            assert response.cycles_total == starts[-1] == PipelineTiming(latency).stream_cycles(counts)

    def test_nothing_happens_before_the_constants(self) -> None:
        geometry = self.shapes[0]
        task = self.random_task(np.random.default_rng(8), geometry, np.array([3]))
        late = np.array([0] * 9, np.uint8)
        self.check(geometry, [Case(task, {"constants": late})])

    def test_reset_in_mid_stream_leaves_a_clean_unit(self) -> None:
        for geometry in self.shapes[:2]:
            rng, unit = np.random.default_rng(9), self.make(geometry)
            stimulus = pipeline_stimulus(unit, self.random_task(rng, geometry, np.array([12])))
            blocked = {"out": np.zeros(40, np.uint8)}
            full = {
                name: {f: words[: geometry.latency_cycles] for f, words in fields.items()}
                for name, fields in stimulus.beats.items()
            }
            cut = replace(stimulus, beats=full, outputs={"out": 0}, ready={"out": np.zeros(200, np.uint8)})
            after = replace(stimulus, ready=blocked)
            broken, clean = self.simulator.run(unit, [cut, after])[1], self.simulator.run(unit, [after])[0]
            for name, cycles in clean.transfers.items():
                np.testing.assert_array_equal(broken.transfers[name], cycles)
            for name, words in clean.payloads["out"].items():
                np.testing.assert_array_equal(broken.payloads["out"][name], words)
