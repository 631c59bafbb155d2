"""Chains of layers become networks with the same spikes; what the machine cannot have is named with its stage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_models.errors import InputError
from tests.workloads.importers.chain_reference import run_chain
from workloads.dataset import as_inputs
from workloads.float_step import float_forward
from workloads.importers.chain import (
    AVERAGE,
    READ_OUT,
    SUBTRACT,
    SUM,
    Convolution,
    Dense,
    Flattening,
    Imported,
    Neurons,
    Pooling,
    Scaling,
    Shortcut,
    Stage,
    build_chain,
    equal_sides,
)
from workloads.network import SPIKES, InputSpec, parse_network

SOURCE = InputSpec(8, 8, 2, exponent=4)
T = 4
RNG = np.random.default_rng(7)


@pytest.fixture(autouse=True)
def _own_numbers() -> None:
    """Every test draws the same numbers whichever were run before it."""
    RNG.bit_generator.state = np.random.default_rng(7).bit_generator.state


def dyadic(*shape: int) -> Any:
    """Numbers whose sums and quarters are exact, so that spikes are equal whatever the order of additions."""
    return RNG.integers(-8, 9, shape) / 16


def neurons(where: str, **constants: Any) -> Neurons:
    return Neurons(where, **({"alpha": 0.5, "threshold": 0.25} | constants))


def chain(*inner: Stage, classes: int | None = 3) -> list[Stage]:
    """conv, neurons, and `inner` stages; behind them a dense layer where `classes` are given."""
    stages: list[Stage] = [Convolution("c1", dyadic(4, 2, 3, 3), padding=1), neurons("n1"), *inner]
    if classes is None:
        return stages
    maps = run_chain([*stages, Flattening("x")], np.zeros((1, 1, 2, 8, 8)))[1]
    return [*stages, Flattening("flat"), Dense("last", dyadic(classes, maps.shape[1]), dyadic(classes))]


def build(stages: list[Stage], source: InputSpec = SOURCE) -> Imported:
    return build_chain("net", source, T, stages, 0.5, 1.0)


def check_equal(stages: list[Stage], source: InputSpec = SOURCE) -> Imported:
    """Compare every spike and the output with the chain as its framework runs it."""
    built = build(stages, source)
    network = built.network
    assert parse_network(network.to_dict(), "x") == network
    assert [matrix.shape for matrix in built.weights] == [layer.weights_shape for layer in network.layers]
    shape = (3, source.height, source.width, source.channels)
    if source.coding == SPIKES:
        data = RNG.integers(0, 2, (3, T, *shape[1:])).astype(np.uint8)
        frames = np.moveaxis(data, 1, 0).astype(np.float64)
    else:
        data = RNG.integers(0, 100, shape).astype(np.uint8)
        frames = np.repeat((data * 2.0**-source.exponent)[np.newaxis], T, axis=0)
    maps = np.moveaxis(frames, -1, 2)
    spikes, output = run_chain(stages, maps if source.height > 1 else maps[..., 0, 0])
    forward = float_forward(network, built.weights, as_inputs(data, network))
    for where, expected in spikes.items():
        got = np.moveaxis(forward.activity[built.layer_of[where]][1], -1, 2).reshape(expected.shape)
        assert 0.0 < expected.mean() < 1.0
        np.testing.assert_array_equal(got, expected, err_msg=where)
    np.testing.assert_array_equal(forward.logits, output)
    return built


def block(shortcut: Shortcut, *inner: Stage, classes: int | None = 3, **constants: Any) -> list[Stage]:
    """A residual block behind `chain`'s neurons n1: a convolution, neurons, another one (or `inner`), the sum."""
    last = inner or (Convolution("c3", dyadic(4, 3, 3, 3), dyadic(4), padding=1),)
    return chain(
        Convolution("c2", dyadic(3, 4, 3, 3), padding=1),
        neurons("n2", **constants),
        *last,
        shortcut,
        neurons("n3", **constants),
        classes=classes,
    )


class TestShortcuts:
    def test_spikes_as_they_are(self) -> None:
        built = check_equal(block(Shortcut("s", "n1")))
        assert built.network.layers[3].identity == 0
        assert built.layer_of["s"] == built.layer_of["n3"] == 3
        assert built.notes == ()

    @pytest.mark.parametrize("bias", [None, dyadic(5)])
    def test_a_projection(self, bias: Any) -> None:
        last = Convolution("c3", dyadic(5, 3, 3, 3), dyadic(5), stride=2, padding=1)
        built = check_equal(block(Shortcut("s", "n1", Convolution("p", dyadic(5, 4, 1, 1), bias, stride=2)), last))
        projection = built.network.layers[built.layer_of["s"]]
        assert (projection.name, projection.stride, projection.joins) == ("projection3", 2, 4)

    def test_a_projection_gives_the_layer_its_bias(self) -> None:
        inner = (Convolution("c3", dyadic(4, 3, 3, 3)), Pooling("q", SUM, 6))
        short = Convolution("p", dyadic(4, 4, 1, 1), dyadic(4), stride=8)
        built = check_equal(block(Shortcut("s", "n1", short), *inner))
        assert [layer.name for layer in built.network.layers[2:5]] == ["bias3", "projection3", "conv3"]

    @pytest.mark.parametrize("projection", [None, Convolution("p", dyadic(4, 4, 1, 1))])
    def test_what_inputs_count_scales_it(self, projection: Convolution | None) -> None:
        built = check_equal(block(Shortcut("s", "n1", projection), gain=0.5, threshold=0.5))
        weights = built.weights[built.layer_of["s"]][:, 0, 0, :]
        wanted = np.eye(4) if projection is None else projection.weights[:, :, 0, 0]
        np.testing.assert_array_equal(weights, wanted / 4)
        told = "s: what is added counts 0.25, as do the inputs of c3: 1x1 weights, 4 x 4 of them with 0.25 on the diag"
        assert built.notes[-1].startswith(told) is (projection is None)

    def test_dense_layers(self) -> None:
        stages = flat(neurons("n1"), Dense("d2", dyadic(4, 4), dyadic(4)), Shortcut("s", "n1"), neurons("n2"))
        built = check_equal([*stages, Dense("d3", dyadic(3, 4))])
        assert built.network.layers[2].name == "conv2"
        wide = chain(Flattening("f"), Dense("d2", dyadic(8, 256)), neurons("n2"), classes=None)
        short = Shortcut("s", "n2", Convolution("p", dyadic(16, 8, 1, 1)))
        check_equal([*wide, Dense("d3", dyadic(16, 8)), short, neurons("n3"), Dense("d4", dyadic(3, 16))])

    @pytest.mark.parametrize(
        ("shortcut", "inner", "message"),
        [
            (
                Shortcut("s", "n1"),
                Convolution("c3", dyadic(4, 3, 3, 3), stride=2, padding=1),
                "s: a shortcut adds maps of another shape, got [8, 8, 4], allowed: [4, 4, 4] [height, width, channels]",
            ),
            (
                Shortcut("s", "n1", Convolution("p", dyadic(4, 4, 3, 3), padding=1)),
                None,
                "s: a shortcut's convolution is 1x1 on the machine, got '3x3, padding 1', allowed: 1x1, padding 0",
            ),
            (
                Shortcut("s", "n1", Convolution("p", dyadic(4, 3, 1, 1))),
                None,
                "s: the weights are for another number of channels, got '4 x 3', allowed: 4 x 4",
            ),
            (
                Shortcut("s", "n1", Convolution("p", dyadic(4, 4, 1, 1), stride=2)),
                None,
                "s: the stride does not lead to the plane of the sums, got 2, allowed: 1, from 8 x 8 to 8 x 8",
            ),
            (
                Shortcut("s", "n1", Convolution("p", np.full((4, 4, 1, 1), np.nan))),
                None,
                "s: a weight is not finite",
            ),
        ],
    )
    def test_what_cannot_be_added(self, shortcut: Shortcut, inner: Stage | None, message: str) -> None:
        with pytest.raises(InputError) as caught:
            build(block(shortcut, *([inner] if inner else []), classes=None))
        assert str(caught.value).startswith(message)

    def test_none_joins_the_first_layer(self) -> None:
        stages = chain()
        with pytest.raises(InputError, match=r"^s: a shortcut joins the weights behind the first neurons$"):
            build([stages[0], Shortcut("s", "n1"), *stages[1:]])


class TestScaling:
    @pytest.mark.parametrize("bias", [None, dyadic(3)])
    @pytest.mark.parametrize("shift", [None, dyadic(3)])
    def test_is_in_the_weights(self, bias: Any, shift: Any) -> None:
        conv = Convolution("c2", dyadic(3, 4, 3, 3), bias, padding=1)
        scale = Scaling("x", np.array([0.5, 2.0, -1.0]), shift)
        built = check_equal(chain(conv, Pooling("p", AVERAGE, 2), scale, neurons("n2")))
        assert (built.network.bias(built.layer_of["x"]) is None) is (bias is None and shift is None)

    @pytest.mark.parametrize(
        ("place", "message"),
        [(2, "x: a scale and shift by channel is part of weights, and must follow them, got 'behind n1'"), (3, "")],
    )
    def test_follows_weights(self, place: int, message: str) -> None:
        stages = chain(Convolution("c2", dyadic(3, 4, 3, 3), padding=1), neurons("n2"))
        stages.insert(place, Scaling("x", np.ones(4)))
        with pytest.raises(InputError) as caught:
            build(stages)
        assert str(caught.value) == message or not message
        wrong = "x: the scale is for another number of channels, got 4, allowed: 3"
        assert str(caught.value) == wrong or message


def test_plain_chain() -> None:
    stages = chain(Convolution("c2", dyadic(3, 4, 2, 3), dyadic(3), stride=2), neurons("n2"))
    built = check_equal(stages)
    assert built.notes == ()
    assert built.layer_of == {"c1": 0, "n1": 0, "c2": 2, "n2": 2, "last": 4}
    assert [layer.name for layer in built.network.layers] == ["conv1", "bias2", "conv2", "bias3", "fc3"]
    assert built.network.neuron.alpha == 0.5
    assert built.network.initial_gain == 0.5


def test_vectors() -> None:
    stages: list[Stage] = [Dense("d1", dyadic(9, 5)), neurons("n"), Dense("d2", dyadic(2, 9))]
    check_equal(stages, InputSpec(1, 1, 5, SPIKES))


def test_maps_are_flattened_in_the_order_of_the_framework() -> None:
    check_equal([Flattening("f"), Dense("d", dyadic(6, 128)), neurons("n"), Dense("e", dyadic(2, 6))])


@pytest.mark.parametrize("kind", [AVERAGE, SUM])
def test_pooling_before_neurons(kind: str) -> None:
    stages = chain(Convolution("c2", dyadic(3, 4, 3, 3), dyadic(3), padding=1), Pooling("p", kind, 2), neurons("n2"))
    built = check_equal(stages)
    assert built.network.layers[2].pool == 2
    assert built.layer_of["p"] == 2


@pytest.mark.parametrize("kind", [AVERAGE, SUM])
def test_pooling_of_spikes(kind: str) -> None:
    conv = Convolution("c2", dyadic(3, 4, 3, 3), dyadic(3), stride=2, padding=1)
    built = check_equal(chain(Pooling("p", kind, 2), conv, neurons("n2")))
    layer = built.network.layers[2]
    assert (layer.kernel_height, layer.stride, layer.padding) == (6, 4, 2)
    assert built.notes == (
        "c2: what p pools of n1 is a kernel 2 times as wide, each weight 4 times in it; "
        "the copies are trained separately",
    )
    check_equal(chain(Pooling("p", kind, 2), Pooling("q", kind, 2)))


def test_pooling_of_the_input() -> None:
    stages: list[Stage] = [Pooling("p", AVERAGE, 2), *chain(classes=None), Flattening("f"), Dense("d", dyadic(3, 64))]
    assert "p pools of the input" in check_equal(stages).notes[0]


@pytest.mark.parametrize(
    ("source", "constant"),
    [(SOURCE, 16), (replace(SOURCE, exponent=8, signed=True), 64), (InputSpec(8, 8, 2, SPIKES), 1)],
)
@pytest.mark.parametrize("pooled", [False, True])
def test_bias_of_the_first_layer(source: InputSpec, constant: int, pooled: bool) -> None:
    stages = chain(classes=None)
    stages[0] = Convolution("c1", dyadic(4, 2, 3, 3), dyadic(4), stride=1, padding=1)
    stages[1:1] = [Pooling("p", AVERAGE, 2)] if pooled else []
    built = check_equal([*stages, Flattening("f"), Dense("d", dyadic(3, 64 if pooled else 256))], source)
    assert built.network.input.channels == 3
    assert built.network.input.data_channels == 2
    assert built.network.input.constant == constant
    assert np.count_nonzero(built.weights[0][..., 2]) <= 4
    assert "the bias of the first layer takes a channel more of the input" in built.notes[0]


def test_gain_and_thresholds_go_into_the_weights() -> None:
    stages = chain(Convolution("c2", dyadic(3, 4, 3, 3), dyadic(3)), neurons("n2", gain=0.5, threshold=1.0))
    built = check_equal(stages)
    assert built.network.neuron.threshold == 0.25
    np.testing.assert_array_equal(built.weights[1].ravel(), stages[2].bias / 8)  # type: ignore[union-attr]
    assert built.notes == (
        "n2: the gain 0.5 is in the weights of c2",
        "n2: the threshold 1 is 0.25 as in the first layer, weights and bias of c2 times 0.25; "
        "the surrogate's width goes along",
    )


@pytest.mark.parametrize(
    ("constants", "told"),
    [
        ({"reset": "subtract"}, {"reset": "subtract"}),
        ({"reset": "subtract", "reset_by": 0.5}, {"reset": "subtract", "reset_by": 0.5}),
        ({"reset_gradient": False}, {"reset_gradient": False}),
    ],
)
def test_resets(constants: dict[str, Any], told: dict[str, Any]) -> None:
    stages = [replace(s, **constants) if isinstance(s, Neurons) else s for s in chain()]
    wanted = {"alpha": 0.5, "threshold": 0.25, "interval": 0.5, "beta": 1.0, **told}
    assert build(stages).network.neuron.to_dict() == wanted


def second(first: dict[str, Any], other: dict[str, Any]) -> list[Stage]:
    """Two layers of neurons with these constants."""
    stages = chain(Convolution("c2", dyadic(3, 4, 3, 3)), neurons("n2", **other))
    stages[1] = neurons("n1", **first)
    return stages


@pytest.mark.parametrize(
    ("first", "other"),
    [
        ({"reset_by": 0.125}, {"threshold": 1.0, "reset_by": 0.5}),
        ({"threshold": 0.5, "reset_by": 0.25}, {"threshold": 0.5, "reset_by": 0.25}),
        ({}, {"threshold": 0.5, "reset_by": 0.5}),
    ],
)
def test_what_a_reset_subtracts_goes_along_with_the_threshold(first: dict[str, Any], other: dict[str, Any]) -> None:
    built = check_equal(second({"reset": SUBTRACT, **first}, {"reset": SUBTRACT, **other}))
    assert built.network.neuron.reset_by == first.get("reset_by")


def test_constants_that_differ_by_a_rounding_are_the_same() -> None:
    built = build(second({"reset": SUBTRACT}, {"reset": SUBTRACT, "threshold": 0.25 * (1 + 1e-7), "reset_by": 0.25}))
    assert built.notes == ()
    small = build(second({"threshold": 5e-4}, {"threshold": 2.5e-4}))
    assert small.notes[0].startswith("n2: the threshold 0.00025 is 0.0005 as in the first layer")


def test_neurons_that_fire_at_the_threshold() -> None:
    at = {"fires_at_threshold": True}
    stages = chain(Convolution("c2", dyadic(3, 4, 3, 3)), neurons("n2", **at))
    stages[1] = neurons("n1", **at)
    built = check_equal(stages)
    assert np.float32(built.network.neuron.threshold) == np.nextafter(np.float32(0.25), np.float32(0))
    assert built.notes == (
        "neurons fire at the threshold and above: above 0.24999999, the binary32 number before 0.25",
    )


@pytest.mark.parametrize("pooled", [False, True])
def test_chain_that_ends_in_neurons(pooled: bool) -> None:
    conv = Convolution("c2", dyadic(3, 4, 3, 3), padding=1)
    tail: list[Stage] = [Pooling("p", AVERAGE, 2), Pooling("q", AVERAGE, 4)] if pooled else [Flattening("f")]
    built = check_equal(chain(conv, neurons("n2"), *tail, classes=None))
    assert built.layer_of[READ_OUT] == 2
    assert built.network.classes == (3 if pooled else 192)
    assert "a layer of 3 x 3 weights" in built.notes[-1] or not pooled
    assert "the chain ends in neurons (n2)" in built.notes[-1]


def test_chain_that_ends_in_pooling() -> None:
    conv = Convolution("c2", dyadic(3, 4, 3, 3), dyadic(3), padding=1)
    assert check_equal(chain(conv, Pooling("p", AVERAGE, 8), classes=None)).network.layers[-1].pool == 8


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_random_chains(data: st.DataObject) -> None:
    stages: list[Stage] = []
    channels, side = 2, 8
    for number in range(data.draw(st.integers(1, 3))):
        kernel, padding = data.draw(st.sampled_from([(1, 0), (2, 0), (3, 1), (3, 0)]))
        stride = data.draw(st.integers(1, 2))
        plane = (side + 2 * padding - kernel) // stride + 1
        if plane < 1:
            break
        bias = dyadic(3) if data.draw(st.booleans()) else None
        conv = Convolution(f"c{number}", dyadic(3, channels, kernel, kernel), bias, stride, padding)
        pooling = [Pooling(f"p{number}", data.draw(st.sampled_from([AVERAGE, SUM])), 2)] if plane % 2 == 0 else []
        spikes = neurons(f"n{number}", threshold=data.draw(st.sampled_from([0.25, 0.5])))
        stages += [conv, *pooling, spikes] if data.draw(st.booleans()) else [conv, spikes, *pooling]
        channels, side = 3, plane // 2 if pooling else plane
    stages += [Flattening("f"), Dense("d", dyadic(3, channels * side * side), dyadic(3))]
    built = build(stages)
    images = RNG.integers(0, 100, (2, 8, 8, 2)).astype(np.uint8)
    spikes_of, output = run_chain(stages, np.repeat(np.moveaxis(images / 16, -1, 1)[np.newaxis], T, axis=0))
    forward = float_forward(built.network, built.weights, as_inputs(images, built.network))
    for where, expected in spikes_of.items():
        np.testing.assert_array_equal(np.moveaxis(forward.activity[built.layer_of[where]][1], -1, 2), expected)
    np.testing.assert_array_equal(forward.logits, output)


def flat(*stages: Stage) -> list[Stage]:
    return [Flattening("f"), Dense("d1", dyadic(4, 128)), *stages]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([Dense("d", dyadic(2, 5))], "net: there are no neurons between the input and the output"),
        ([neurons("n")], "n: neurons follow the input without weights between"),
        (chain(neurons("n2")), "n2: neurons follow n1 without weights between"),
        (flat(Dense("d2", dyadic(2, 4)), neurons("n")), "d2: weights follow the weights of d1 without neurons between"),
        (flat(neurons("n"), Dense("d1", dyadic(2, 4))), "d1: a second stage of this name"),
        (chain(Dense("d", dyadic(2, 256)), classes=None), "d: a dense layer on maps, got [8, 8, 4], allowed: a flatt"),
        (
            chain(Flattening("f"), Dense("d", dyadic(2, 9)), classes=None),
            "d: the weights are for another number of inputs, got 9, allowed: 256",
        ),
        (
            chain(Convolution("c", dyadic(2, 3, 3, 3)), classes=None),
            "c: the weights are for another number of channels, got 3, allowed: 4",
        ),
        (
            chain(Flattening("f"), Convolution("c", dyadic(2, 256, 1, 1)), classes=None),
            "c: a convolution of a vector, allowed: maps",
        ),
        (
            chain(Convolution("c", dyadic(2, 4, 9, 3)), classes=None),
            "c: the kernel is larger than its padded input, got [9, 3]",
        ),
        (chain(Flattening("f"), Pooling("p", SUM, 2), classes=None), "p: pooling of a vector, allowed: maps"),
        (
            chain(Pooling("p", SUM, 3), classes=None),
            "p: the windows do not cover the plane, got 3, allowed: a divisor of both sides of 8 x 8",
        ),
        (
            chain(classes=None),
            "n1: the output is maps; the machine's is a vector, got [8, 8, 4], allowed: a flattening",
        ),
        (
            [Convolution("c", dyadic(2, 2, 3, 3), dyadic(2), padding=3), *chain()[1:]],
            "c: a bias of the first layer needs a weight of the kernel that lies inside the plane everywhere, got",
        ),
        (
            [Convolution("c", dyadic(2, 2, 3, 5), dyadic(2), stride=16, padding=4), *chain()[1:]],
            "c: a bias of the first layer needs a weight of the kernel that lies inside the plane everywhere, got",
        ),
        (flat(neurons("n"), Dense("d2", np.full((2, 4), np.nan))), "d2: a weight is not finite"),
        (
            flat(neurons("n"), Dense("d2", np.full((2, 4), 1e39))),
            "d2: a weight is too large, got 1e+39, allowed: binary32 numbers",
        ),
        (
            flat(neurons("n"), Dense("d2", dyadic(2, 4)), neurons("m", alpha=0.75)),
            "m: the decay differs from that of n, got 0.75, allowed: 0.5",
        ),
        (
            flat(neurons("n"), Dense("d2", dyadic(2, 4)), neurons("m", fires_at_threshold=True)),
            "m: the comparison with the threshold differs from that of n, got True, allowed: False",
        ),
        (
            flat(neurons("n"), Dense("d2", dyadic(2, 4)), neurons("m", threshold=0.0)),
            "m: thresholds that differ by layer are scaled, and must be above 0, got 0.0",
        ),
        (
            second({"reset": SUBTRACT, "reset_by": 0.25}, {"reset": SUBTRACT, "reset_by": 0.25, "threshold": 0.5}),
            "n2: the reset subtracts another multiple of the threshold than that of n1, got 0.5, allowed: 1.0",
        ),
    ],
)
def test_what_the_machine_cannot_have(stages: list[Stage], message: str) -> None:
    with pytest.raises(InputError) as caught:
        build(stages)
    assert str(caught.value).startswith(message)


def test_a_bias_beside_a_constant_channel() -> None:
    stages = chain()
    stages[0] = replace(stages[0], bias=dyadic(4))
    with pytest.raises(InputError, match=r"^c1: a bias of the first layer beside a constant channel of the input$"):
        build(stages, replace(SOURCE, constant=128))


def test_settings_for_both_directions() -> None:
    assert equal_sides(np.array([2, 2]), "c", "stride") == 2
    assert equal_sides(3, "c", "stride") == 3
    with pytest.raises(InputError, match=r"^c: the stride differs by direction, got \(1, 2\), allowed: the same in bo"):
        equal_sides((1, 2), "c", "stride")
