"""Leaving out zero gradients and inactive outputs changes no bit, for all finite operands; and what happens otherwise.

Four variants of every case: dense, input skipping, output skipping, dual. Zero gradients are issued or left out, masks
are all ones or the firing masks; the sums of active outputs must agree with the definition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rtl_models.backward_unit import BackwardUnitGeometry, backward_unit
from rtl_models.formats import BFLOAT16, BINARY16, BINARY32, FloatFormat, decode, encode
from rtl_models.reference.backward import Consumer, backward_sums, consumer_sums
from rtl_models.reference.backward_items import BackwardTask, backward_item_sums, backward_outputs, backward_stimulus
from rtl_models.simulators import VerilatorSimulator
from tests.rtl_models.simulation import needs_verilator
from tests.schedule.test_backward_items import pools
from tests.units import backward_oracle
from tests.units.test_lut_row import hostile_bits
from tlm.config import Config, check_config
from tlm.schedule.backward_tasks import UnitTask, backward_tasks
from workloads.network import Layer

VARIANTS = {"dense": (False, False), "input": (True, False), "output": (False, True), "dual": (True, True)}
LANES, TILE = 2, 5  # as a small unit that the unit's own tests build as well
PAIRS = [(BINARY16, BINARY32), (BFLOAT16, BINARY32), (BINARY16, BINARY16), (BFLOAT16, BFLOAT16)]


@dataclass(frozen=True)
class Step:
    """A layer and what meets in its backward sums, `more` after it; two samples."""

    layer: Layer
    gradients: NDArray[np.float32]
    masks: NDArray[np.uint8]
    weights: NDArray[np.float32]
    more: tuple[Consumer, ...] = ()

    @property
    def consumers(self) -> list[Consumer]:
        return [Consumer(self.layer, self.gradients, self.weights), *self.more]


def make_step(layer: Layer, fmt: FloatFormat, seed: int) -> Step:
    """Return hostile finite operands over the whole format, about half of the gradients zero (of either sign)."""
    rng = np.random.default_rng(seed)
    shape = (2, layer.out_height, layer.out_width, layer.out_channels)
    gradients = decode(hostile_bits(rng, fmt, shape), fmt)
    gradients = np.where(rng.random(shape) < 0.5, gradients, np.copysign(np.float32(0), gradients))
    kernel = (layer.out_channels, layer.kernel_height, layer.kernel_width, layer.in_channels)
    masks = (rng.random((2, layer.in_height, layer.in_width, layer.in_channels)) < 0.5).astype(np.uint8)
    return Step(layer, gradients, masks, decode(hostile_bits(rng, fmt, kernel), fmt))


def config_of(variant: str, value: FloatFormat, total: FloatFormat) -> Config:
    skip_zero, skip_inactive = VARIANTS[variant]
    backward = {
        "lanes": LANES,
        "channel_tile": TILE,
        "items_in_flight": 2,
        "skip_zero_gradients": skip_zero,
        "skip_inactive_outputs": skip_inactive,
    }
    arithmetic = {"value_format": value.name, "sum_format": total.name}
    return check_config({"backward_engine": backward, "arithmetic": arithmetic}, "test")


def tasks_of(step: Step, config: Config) -> list[tuple[int, UnitTask]]:
    """Return (first channel, task) of all channel tiles."""
    tiles = range(-(-step.masks.shape[-1] // TILE))
    return [(tile * TILE, task) for tile in tiles for task in backward_tasks(step.consumers, step.masks, config, tile)]


def scatter(
    step: Step, tasks: list[tuple[int, UnitTask]], sums: list[NDArray[np.unsignedinteger]]
) -> NDArray[np.int64]:
    """Return the sums [B, H, W, C] as patterns, -1 where none was computed."""
    found = np.full((*step.masks.shape[:3], step.layer.in_channels), -1, np.int64)
    flat = found.reshape(-1, step.layer.in_channels)
    for (first, unit_task), bits in zip(tasks, sums, strict=True):
        item, channel = np.nonzero(unit_task.task.masks)
        flat[unit_task.positions[item], first + channel] = bits
    return found


def defined_sums(step: Step, total: FloatFormat) -> NDArray[np.int64]:
    """Return every sum by its definition: all taps that exist, zero gradients included."""
    found = np.zeros(step.masks.shape, np.int64)
    for b, y, x, c in np.ndindex(*found.shape):
        accumulator = backward_oracle.Number(0.0)
        for consumer in step.consumers:
            for gradient, weight in terms(consumer, b, y, x, c):
                factors = backward_oracle.Number(gradient), backward_oracle.Number(weight)
                accumulator = backward_oracle.multiply_then_add(accumulator, *factors, total)
        found[b, y, x, c] = encode(np.array([accumulator]), total)[0]
    return found


def terms(consumer: Consumer, b: int, y: int, x: int, c: int) -> Iterator[tuple[float, float]]:
    """(gradient, weight) of one output of the layer whose spikes `consumer` takes, over (r, s, m)."""
    layer, weights = consumer.layer, consumer.weights
    if weights is None:
        yield consumer.gradients[b, y, x, c], 1.0
        return
    for r, s, m in np.ndindex(layer.kernel_height, layer.kernel_width, layer.out_channels):
        oy, ox = y + layer.padding - r, x + layer.padding - s
        if oy % layer.stride or ox % layer.stride:
            continue
        oy, ox = oy // layer.stride // layer.pool, ox // layer.stride // layer.pool
        if 0 <= oy < layer.out_height and 0 <= ox < layer.out_width:
            yield consumer.gradients[b, oy, ox, m], weights[m, r, s, c]


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    rows, columns = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    height, width = draw(st.integers(rows, 4)), draw(st.integers(columns, 3))
    sizes = (height, width, draw(st.integers(1, 7)), draw(st.integers(1, 4)), rows, columns)
    layer = Layer("upper", *sizes, draw(st.integers(1, 2)), draw(st.integers(0, 1)), False, True)
    return replace(layer, pool=draw(pools(layer)))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(layers(), st.integers(0, 2**32), st.sampled_from(PAIRS))
def test_all_variants_of_the_reference_agree(layer: Layer, seed: int, formats: tuple[FloatFormat, FloatFormat]) -> None:
    value, total = formats
    step = make_step(layer, value, seed)
    expected = defined_sums(step, total)
    for variant in VARIANTS:
        tasks = tasks_of(step, config_of(variant, value, total))
        found = scatter(step, tasks, [backward_item_sums(t.task, value, total) for _, t in tasks])
        active = step.masks != 0 if VARIANTS[variant][1] else np.ones_like(step.masks, np.bool_)
        np.testing.assert_array_equal(found, np.where(active, expected, -1), variant)
        assert all(np.array_equal(t.sums, backward_item_sums(t.task, value, total)) for _, t in tasks)


@needs_verilator
def test_all_variants_of_the_hardware_agree() -> None:
    geometry = BackwardUnitGeometry(lanes=LANES, channel_tile=TILE, items_in_flight=2, adder_latency_cycles=4)
    for seed in range(4):
        layer = Layer("upper", 4, 3, 7, 4, 3, 2, 1 + seed % 2, 1, False, True)
        step = make_step(layer, BINARY16, seed)
        expected = defined_sums(step, BINARY32)
        cycles = {}
        for variant in VARIANTS:
            tasks = tasks_of(step, config_of(variant, BINARY16, BINARY32))
            stimuli = [backward_stimulus(geometry, t.task) for _, t in tasks]
            responses = VerilatorSimulator().run(backward_unit(geometry), stimuli)
            found = scatter(step, tasks, [backward_outputs(geometry, r) for r in responses])
            np.testing.assert_array_equal(found[step.masks != 0], expected[step.masks != 0], variant)
            cycles[variant] = sum(r.cycles_total for r in responses)
        assert cycles["dual"] < min(cycles["input"], cycles["output"])
        assert max(cycles["input"], cycles["output"]) < cycles["dense"]


def special_sums(gradients: list[float], weights: list[float]) -> dict[str, list[int]]:
    """Sums of a layer of one position, two outputs, the second inactive; every gradient meets its weight in both."""
    layer = Layer("upper", 1, 1, 2, len(gradients), 1, 1, 1, 0, False, True)
    step = Step(
        layer,
        np.array(gradients, np.float32).reshape(1, 1, 1, -1),
        np.array([1, 0], np.uint8).reshape(1, 1, 1, 2),
        np.repeat(np.array(weights, np.float32), 2).reshape(-1, 1, 1, 2),
    )
    sums = {}
    for variant in VARIANTS:
        tasks = tasks_of(step, config_of(variant, BINARY16, BINARY32))
        found = scatter(step, tasks, [backward_item_sums(t.task, BINARY16, BINARY32) for _, t in tasks])
        sums[variant] = found.ravel().tolist()
    return sums


NAN, INFINITY = BINARY32.canonical_nan, 0x7F800000


@pytest.mark.parametrize("weight", [np.inf, np.nan])
def test_a_zero_gradient_meets_a_weight_that_is_not_finite_only_if_it_is_issued(weight: float) -> None:
    sums = special_sums([0.0, 1.0], [weight, 2.0])
    two = int(encode(np.array([2.0]), BINARY32)[0])
    assert sums == {"dense": [NAN, NAN], "input": [two, two], "output": [NAN, -1], "dual": [two, -1]}


@pytest.mark.parametrize(
    ("gradients", "expected"), [([np.inf, 1.0], INFINITY), ([np.inf, -np.inf], NAN), ([np.nan, 1.0], NAN)]
)
def test_gradients_that_are_not_finite_give_the_same_in_every_variant(gradients: list[float], expected: int) -> None:
    sums = special_sums(gradients, [1.0, 2.0])
    assert sums == {
        "dense": [expected] * 2, "input": [expected] * 2, "output": [expected, -1], "dual": [expected, -1]
    }  # fmt: skip


def test_a_sum_that_overflows_stays_infinite_past_zeros() -> None:
    largest = float(decode(np.array([0x7F7F], np.uint16), BFLOAT16)[0])
    weights = encode(np.array([[largest], [largest], [1.0]], np.float32), BFLOAT16)
    values = encode(np.array([largest, 0.0, -0.0], np.float32), BFLOAT16)
    one = np.ones(1, np.int64)
    full = BackwardTask(np.ones((1, 1), np.uint8), one, 3 * one, values, np.arange(3), weights)
    short = BackwardTask(np.ones((1, 1), np.uint8), one, one, values[:1], np.arange(1), weights)
    for task in (full, short):
        assert backward_item_sums(task, BFLOAT16, BINARY32).tolist() == [INFINITY]


def test_the_training_reference_gives_the_same_bits_where_masks_are_set() -> None:
    """The sums of whole planes that a training step computes, against the units' items."""
    layer = Layer("upper", 4, 4, 7, 3, 3, 3, 2, 1, False, True)
    step = make_step(layer, BINARY16, 9)
    expected = encode(backward_sums(layer, step.gradients, step.weights, BINARY32), BINARY32).astype(np.int64)
    np.testing.assert_array_equal(expected, defined_sums(step, BINARY32))


def with_shortcuts(step: Step, fmt: FloatFormat, seed: int) -> Step:
    """A projection that takes the same spikes, with a stride, and two identities."""
    layer = step.layer
    projection = Layer("p", layer.in_height, layer.in_width, layer.in_channels, 3, 1, 1, 1 + seed % 2, 0, False, False)
    made = make_step(projection, fmt, seed + 1)
    identity = Layer("i", layer.in_height, layer.in_width, 1, layer.in_channels, 1, 1, 1, 0, False, True)
    added = [Consumer(identity, make_step(identity, fmt, seed + n).gradients, identity=True) for n in (2, 3)]
    return replace(step, more=(*made.consumers, *added))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(layers(), st.integers(0, 2**32), st.sampled_from(PAIRS))
def test_all_variants_agree_where_spikes_are_taken_more_than_once(
    layer: Layer, seed: int, formats: tuple[FloatFormat, FloatFormat]
) -> None:
    value, total = formats
    step = with_shortcuts(make_step(layer, value, seed), value, seed)
    expected = defined_sums(step, total)
    reference = encode(consumer_sums(step.consumers, total), total).astype(np.int64)
    np.testing.assert_array_equal(reference, expected)
    for variant in VARIANTS:
        tasks = tasks_of(step, config_of(variant, value, total))
        found = scatter(step, tasks, [backward_item_sums(t.task, value, total) for _, t in tasks])
        active = step.masks != 0 if VARIANTS[variant][1] else np.ones_like(step.masks, np.bool_)
        np.testing.assert_array_equal(found, np.where(active, expected, -1), variant)
        assert all(np.array_equal(t.sums, backward_item_sums(t.task, value, total)) for _, t in tasks)


def test_another_order_of_those_who_take_the_spikes_is_seen() -> None:
    """On numbers of like size: where exponents lie far apart only the largest ones count, in any order."""
    rng = np.random.default_rng(8)
    layer = Layer("upper", 4, 4, 7, 3, 3, 3, 2, 1, False, True)

    def like_sized(array: NDArray[np.float32]) -> NDArray[np.float32]:
        return decode(encode(rng.normal(size=array.shape).astype(np.float32), BFLOAT16), BFLOAT16)

    consumers = with_shortcuts(make_step(layer, BFLOAT16, 8), BFLOAT16, 8).consumers
    convolution, projection, *added = (
        replace(c, gradients=like_sized(c.gradients), weights=None if c.weights is None else like_sized(c.weights))
        for c in consumers
    )
    wanted = consumer_sums([convolution, projection, *added], BFLOAT16)
    for order in (
        [projection, convolution, *added],
        [convolution, *added, projection],
        [convolution, projection, *added[::-1]],
    ):
        assert (consumer_sums(order, BFLOAT16) != wanted).mean() > 0.05


def test_sums_need_weights_and_a_convolution_first() -> None:
    step = with_shortcuts(make_step(Layer("upper", 2, 2, 2, 2, 1, 1, 1, 0, False, True), BINARY16, 1), BINARY16, 1)
    with pytest.raises(ValueError, match="a convolution without weights, or no convolution first"):
        consumer_sums([Consumer(step.layer, step.gradients)], BINARY32)
    with pytest.raises(ValueError, match="a convolution without weights, or no convolution first"):
        consumer_sums(step.consumers[2:], BINARY32)
    with pytest.raises(ValueError, match="no consumer"):
        consumer_sums([], BINARY32)
