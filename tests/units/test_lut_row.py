"""The LUT row: one set of requirements, four views (reference, MyHDL, Verilated, cycle law).

A view answers with bits, with cycles, or with both; whatever it answers must equal the oracle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from rtl_models.formats import BFLOAT16, BINARY16, BINARY32, Bits, FloatFormat, encode
from rtl_models.lut_row import LutRowGeometry, lut_row_unit
from rtl_models.reference.row import RowTask, lut_row, row_outputs, row_stimulus
from rtl_models.simulators import MyhdlSimulator, Simulator, VerilatorSimulator
from rtl_models.units import Pattern
from tests.rtl_models.simulation import needs_verilator
from tests.units import row_oracle
from tlm.engines.lut_row_law import LutRowTiming

SMALL = LutRowGeometry(k=2, lanes=2, depth=8)
PIPELINED = LutRowGeometry(
    k=3, lanes=4, value_format=BFLOAT16, depth=12, build_latency_cycles=4, adder_latency_cycles=3, tree_registers=True
)
ONE_LANE = LutRowGeometry(k=1, lanes=1, depth=6, adder_latency_cycles=4)
SINGLE = LutRowGeometry(k=5, lanes=1, value_format=BINARY32, depth=4, build_latency_cycles=5, tree_registers=True)
LARGEST_TABLE = LutRowGeometry(k=8, lanes=1, sum_format=BINARY16, depth=3, build_latency_cycles=2)
WIDE = LutRowGeometry(k=4, lanes=16, depth=16, adder_latency_cycles=2, tree_registers=True)
ALL = (SMALL, PIPELINED, ONE_LANE, SINGLE, LARGEST_TABLE, WIDE)


@dataclass(frozen=True)
class Case:
    """A task and the patterns of its sources and sink."""

    task: RowTask
    valid: dict[str, Pattern] = field(default_factory=dict)
    ready: dict[str, Pattern] = field(default_factory=dict)


@dataclass(frozen=True)
class Observed:
    """What a view says of a case: bits, cycles of all transfers, or both."""

    bits: Bits | None
    transfers: dict[str, NDArray[np.int64]] | None


def hostile_bits(rng: np.random.Generator, fmt: FloatFormat, shape: tuple[int, ...]) -> Bits:
    """Return finite patterns whose sums depend on their order.

    Large and tiny ones in about equal numbers, a few with any exponent of the format; many an operand is another one
    with the opposite sign, so that what was rounded away in between shows; some are zeros and subnormals.
    """
    count = int(np.prod(shape))
    fraction, sign = np.uint64(fmt.fraction_bits), np.uint64(1 << (fmt.width_bits - 1))
    large, tiny = rng.integers(fmt.bias + 9, fmt.bias + 13, count), rng.integers(fmt.bias - 26, fmt.bias - 8, count)
    exponents = np.where(rng.random(count) < 0.5, large, np.maximum(tiny, 0))
    exponents = np.where(rng.random(count) < 0.03, rng.integers(0, 2 * fmt.bias + 1, count), exponents).astype(
        np.uint64
    )
    fractions = rng.integers(0, 1 << fmt.fraction_bits, count, dtype=np.uint64)
    bits = exponents.astype(np.uint64) << fraction | fractions | sign * rng.integers(0, 2, count, dtype=np.uint64)
    twin = rng.random(count) < 0.3
    bits[twin] = rng.permutation(bits)[twin] ^ sign
    least_normal = 1 << fmt.fraction_bits
    special = np.array([0, sign, 1, least_normal - 1, least_normal, sign | np.uint64(3)], np.uint64)
    rare = rng.random(count) < 0.1
    bits[rare] = rng.choice(special, int(rare.sum()))
    return bits.reshape(shape).astype(fmt.bits_dtype)


def random_task(rng: np.random.Generator, geometry: LutRowGeometry, tiles: int, most: int | None = None) -> RowTask:
    """Return tiles of different lengths with random flags; a tile starts where it has nothing to go on from."""
    g = geometry
    positions = rng.integers(1, (most or g.depth) + 1, tiles)
    start = rng.random(tiles) < 0.3
    started = 0
    for tile in range(tiles):
        start[tile] |= positions[tile] > started
        started = max(started, positions[tile]) if start[tile] else started
    beats = int(positions.sum())
    emit = rng.random(tiles) < 0.6
    emit[-1] = True
    return RowTask(
        weights=hostile_bits(rng, g.value_format, (tiles, g.lanes, g.k)),
        indices=rng.integers(0, 1 << g.k, (beats, g.lanes)).astype(np.uint8),
        positions=positions,
        start=start,
        emit=emit,
        double=rng.random(tiles) < 0.3,
        subtract=rng.random(tiles) < 0.3,
        init=hostile_bits(rng, g.sum_format, (beats,)),
    )


def plain_task(geometry: LutRowGeometry, tiles: int, positions: int, seed: int = 0) -> RowTask:
    """Return equal tiles, of which the first starts and the last sends."""
    rng = np.random.default_rng(seed)
    g = geometry
    first, last = np.arange(tiles) == 0, np.arange(tiles) == tiles - 1
    return RowTask(
        weights=hostile_bits(rng, g.value_format, (tiles, g.lanes, g.k)),
        indices=rng.integers(0, 1 << g.k, (tiles * positions, g.lanes)).astype(np.uint8),
        positions=np.full(tiles, positions),
        start=first,
        emit=last,
    )


def stalls(rng: np.random.Generator, case: Case) -> Case:
    """Return the case with a random pattern of random density on each stream."""

    def pattern() -> Pattern:
        return (rng.random(rng.integers(20, 200)) < rng.choice([0.1, 0.4, 0.8])).astype(np.uint8)

    return replace(case, valid={"load": pattern(), "index": pattern()}, ready={"out": pattern()})


class RowContract:
    """What every view of the row must show; a view overrides `observe`."""

    shapes: ClassVar[tuple[LutRowGeometry, ...]] = ()
    """Geometries that the view is tried on, the first for directed tests."""
    tasks_per_shape = 1

    def observe(self, geometry: LutRowGeometry, cases: Sequence[Case]) -> list[Observed]:
        raise NotImplementedError

    def check(self, geometry: LutRowGeometry, cases: Sequence[Case]) -> list[Observed]:
        """Compare what the view shows with the oracle, bit by bit and cycle by cycle."""
        observed = self.observe(geometry, cases)
        assert len(observed) == len(cases)
        for case, seen in zip(cases, observed, strict=True):
            assert seen.bits is not None or seen.transfers is not None
            if seen.bits is not None:
                expected = row_oracle.sums(case.task, geometry.value_format, geometry.sum_format)
                assert [hex(b) for b in seen.bits] == [hex(b) for b in expected]
            if seen.transfers is not None:
                cycles = row_oracle.transfers(geometry, case.task, case.valid, case.ready)
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

    def test_tiles_shorter_than_the_adder_wait_for_their_partial_sums(self) -> None:
        for seed, geometry in enumerate(self.shapes):
            rng = np.random.default_rng(200 + seed)
            cases = [Case(random_task(rng, geometry, 6, most=2)) for _ in range(self.tasks_per_shape)]
            self.check(geometry, [*cases, *(stalls(rng, c) for c in cases)])

    def test_closed_form_is_tight(self) -> None:
        for geometry in self.shapes[:3]:
            tasks = [plain_task(geometry, tiles, p) for tiles, p in ((1, 1), (3, 2), (3, geometry.depth))]
            build = len(row_oracle.build_order(geometry.k, geometry.build_latency_cycles))
            adder = geometry.adder_latency_cycles
            delay = adder + (1 + int(np.log2(geometry.lanes)) if geometry.tree_registers else 0)
            for task, seen in zip(tasks, self.check(geometry, [Case(t) for t in tasks]), strict=True):
                if seen.transfers is None:
                    continue
                tiles, p = len(task.positions), int(task.positions[0])
                assert int(seen.transfers["index"][0]) == build  # not a cycle sooner, not a cycle later
                last = build + (tiles - 1) * max(p, build, adder) + p + delay - 1
                assert int(seen.transfers["out"][-1]) == last

    def test_bit_planes_add_up_to_the_integers(self) -> None:
        # 8 planes of signed bytes, most significant first: the sign plane is subtracted, each plane doubles the sum
        geometry, rng = self.shapes[0], np.random.default_rng(3)
        g, positions = geometry, 5
        if g.value_format == BFLOAT16 or g.depth < positions:
            pytest.fail("the first geometry of a view must hold small integers and five positions")
        weights = rng.integers(-8, 9, (g.lanes, g.k))
        inputs = rng.integers(-128, 128, (positions, g.lanes, g.k))
        planes = [(inputs >> p) & 1 for p in range(7, -1, -1)]
        first = np.arange(8) == 0
        task = RowTask(
            weights=np.broadcast_to(encode(weights.astype(np.float32), g.value_format), (8, *weights.shape)),
            indices=np.concatenate([(p << np.arange(g.k)).sum(axis=2) for p in planes]).astype(np.uint8),
            positions=np.full(8, positions),
            start=first,
            emit=np.arange(8) == 7,
            double=~first,
            subtract=first,
        )
        (seen,) = self.check(geometry, [Case(task)])
        if seen.bits is not None:
            exact = (inputs * weights).sum(axis=(1, 2)).astype(np.float32)
            assert seen.bits.tolist() == encode(exact, g.sum_format).tolist()

    def test_a_sum_continues_from_init(self) -> None:
        geometry = self.shapes[0]
        whole = plain_task(geometry, 4, 3)
        emit_all = replace(whole, emit=np.ones(4, np.bool_))
        (seen,) = self.check(geometry, [Case(emit_all)])
        if seen.bits is None:
            return
        half = RowTask(
            weights=whole.weights[2:],
            indices=whole.indices[6:],
            positions=whole.positions[2:],
            start=np.array([True, False]),
            emit=np.array([False, True]),
            init=np.concatenate([seen.bits[3:6], seen.bits[3:6]]),
        )
        (rest,) = self.check(geometry, [Case(half)])
        assert rest.bits is not None
        assert rest.bits.tolist() == seen.bits[9:].tolist()

    def test_zeros_infinities_and_nan(self) -> None:
        geometry = self.shapes[0]
        value, total = geometry.value_format, geometry.sum_format
        infinity = value.canonical_nan & ~(1 << (value.fraction_bits - 1))
        minus = 1 << (value.width_bits - 1)
        largest = infinity - 1
        rows = [
            [minus, minus],  # -0 + -0 is -0 in a table; +0 + -0 is +0 in the partial sum
            [largest, largest],  # overflows in the table
            [infinity, infinity | minus],  # not a number
            [infinity | 1, 0],  # a NaN that is not canonical
            [1, 1],  # subnormal
            [infinity - 1, infinity | minus],
        ]
        weights = np.zeros((len(rows), geometry.lanes, geometry.k), value.bits_dtype)
        weights[:, 0, :2] = rows
        indices = np.zeros((len(rows) * 4, geometry.lanes), np.uint8)
        indices[:, 0] = np.tile([0, 1, 2, 3], len(rows))
        every = np.ones(len(rows), np.bool_)
        task = RowTask(weights, indices, np.full(len(rows), 4), start=every, emit=every)
        (seen,) = self.check(geometry, [Case(task)])
        if seen.bits is not None:
            assert seen.bits[:4].tolist() == [0, 0, 0, 0]
            assert int(seen.bits[4 + 3]) == total.canonical_nan & ~(1 << (total.fraction_bits - 1))
            assert int(seen.bits[8 + 3]) == total.canonical_nan
            assert int(seen.bits[12 + 1]) == total.canonical_nan


class TestReference(RowContract):
    shapes = ALL
    tasks_per_shape = 4

    def observe(self, geometry: LutRowGeometry, cases: Sequence[Case]) -> list[Observed]:
        g = geometry
        return [Observed(lut_row(c.task, g.value_format, g.sum_format), None) for c in cases]


class TestLaw(RowContract):
    shapes = ALL
    tasks_per_shape = 40

    def observe(self, geometry: LutRowGeometry, cases: Sequence[Case]) -> list[Observed]:
        law = timing(geometry)
        found = [law.transfers(c.task.positions, c.task.emit, c.valid, c.ready) for c in cases]
        return [Observed(None, {"load": t.load, "index": t.index, "out": t.out}) for t in found]


class SimulatedRow(RowContract):
    """The hardware: bits and cycles; the cycles are compared with the law as well."""

    simulator: ClassVar[Simulator]

    def observe(self, geometry: LutRowGeometry, cases: Sequence[Case]) -> list[Observed]:
        stimuli = [row_stimulus(geometry, c.task, c.valid, c.ready) for c in cases]
        responses = self.simulator.run(lut_row_unit(geometry), stimuli)
        law = timing(geometry)
        for case, response in zip(cases, responses, strict=True):
            said = law.transfers(case.task.positions, case.task.emit, case.valid, case.ready)
            assert response.cycles_total == said.cycles_total
            for name, cycles in response.transfers.items():
                np.testing.assert_array_equal(getattr(said, name), cycles)
        return [Observed(row_outputs(geometry, r), r.transfers) for r in responses]

    def test_reset_in_mid_stream_leaves_a_clean_row(self) -> None:
        geometry = self.shapes[0]
        # half a table, two look-ups under way: then the reset before the next stimulus
        task = plain_task(geometry, 3, 4)
        stimulus = row_stimulus(geometry, task)
        cut = replace(
            stimulus,
            beats={
                "load": {name: words[: geometry.k + 1] for name, words in stimulus.beats["load"].items()},
                "index": {name: words[:2] for name, words in stimulus.beats["index"].items()},
            },
            outputs={"out": 0},
        )
        after = row_stimulus(geometry, task)
        responses = self.simulator.run(lut_row_unit(geometry), [cut, after])
        clean = self.simulator.run(lut_row_unit(geometry), [after])[0]
        np.testing.assert_array_equal(row_outputs(geometry, responses[1]), row_outputs(geometry, clean))
        for name, cycles in clean.transfers.items():
            np.testing.assert_array_equal(responses[1].transfers[name], cycles)


class TestMyhdl(SimulatedRow):
    simulator = MyhdlSimulator()
    shapes = (SMALL, PIPELINED, ONE_LANE)


@needs_verilator
class TestVerilated(SimulatedRow):
    simulator = VerilatorSimulator()
    shapes = ALL
    tasks_per_shape = 20


def timing(geometry: LutRowGeometry) -> LutRowTiming:
    """Return the law of a geometry."""
    g = geometry
    return LutRowTiming(g.k, g.lanes, g.build_latency_cycles, g.adder_latency_cycles, g.tree_registers)
