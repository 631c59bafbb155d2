"""Steps of real models, captured: equal to our own step in binary64, masks as surrogates have them, and traces."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="captures are tested where torch, snntorch and spikingjelly are installed")
pytest.importorskip("snntorch", reason="captures are tested where torch, snntorch and spikingjelly are installed")
pytest.importorskip("spikingjelly", reason="captures are tested where torch, snntorch and spikingjelly are installed")

import snntorch
import torch
from spikingjelly.activation_based import layer, neuron, surrogate
from torch import nn

import tlm
from rtl_models.formats import BFLOAT16, BINARY16, round_to
from tests.workloads.importers.torch.models import (
    BATCH,
    CLASSES,
    Looped,
    T,
    at_once,
    digits,
    enlarge,
    freeze_statistics,
    jelly,
    looped,
    loss,
    rectangle,
    residual,
    train,
)
from workloads.float_step import float_step
from workloads.importers.torch import Capture, capture
from workloads.importers.torch.layers import correlated
from workloads.importers.torch.surrogate import support
from workloads.network import parse_network
from workloads.record import Arithmetic
from workloads.trace_file import open_trace

TOLERANCE = 1e-6  # of the tensor's largest magnitude
PICTURES, TARGET = digits()


def check_equal(captured: Capture, gradients: bool = True, tolerance: float = TOLERANCE) -> None:
    """Compare a capture with our step in binary64 from the same weights: spikes, masks, potentials, gradients."""
    record = captured.record
    weights = tuple(layer.weights for layer in record.layers)
    step = float_step(record.network, weights, record.inputs, record.labels)
    assert record.loss == pytest.approx(step.loss, rel=1e-6)
    assert record.logits == pytest.approx(step.logits, abs=1e-5)
    for got, want in zip(record.layers, step.layers, strict=True):
        if want.spikes is not None and want.potentials is not None:
            assert want.spikes.any()
            assert np.array_equal(got.spikes, want.spikes)
            close(got.potentials, want.potentials, tolerance)
            if gradients:
                assert np.array_equal(got.masks, want.masks)
        if gradients:
            close(got.gradients if got.gradients.ndim == 5 else got.gradients[np.newaxis], want.gradients, tolerance)
            close(got.weight_gradient, want.weight_gradient, tolerance)


def close(got: Any, want: Any, tolerance: float = TOLERANCE) -> None:
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= tolerance * np.abs(want).max()
    assert np.abs(want).max() > 0


@pytest.fixture(scope="module")
def snn() -> tuple[Looped, Capture, torch.optim.SGD]:
    """snnTorch's defaults, but for the surrogate: reset by subtraction one timestep later, without a gradient."""
    torch.manual_seed(0)
    model = Looped()
    optimiser = train(model)
    return model, capture(model, PICTURES, TARGET, loss, optimiser=optimiser, name="looped"), optimiser


class TestEqualToOurStep:
    def test_snntorch(self, snn: tuple[Looped, Capture, torch.optim.SGD]) -> None:
        _, captured, _ = snn
        check_equal(captured)
        assert captured.network.neuron.to_dict() == {
            "alpha": 0.6,
            "threshold": 0.5,
            "interval": 0.45,
            "beta": 1.0,
            "reset": "subtract",
            "reset_by": pytest.approx(0.5 / 0.6),
            "reset_gradient": False,
        }
        assert captured.record.origin == f"snnTorch {snntorch.__version__}"

    @pytest.mark.parametrize("delay", [True, False])
    def test_snntorch_with_reset_to_zero(self, delay: bool) -> None:
        torch.manual_seed(1)
        model = Looped(reset_mechanism="zero", reset_delay=delay)
        train(model, steps=1)
        captured = capture(model, PICTURES, TARGET, loss)
        check_equal(captured)
        assert captured.network.neuron.reset_gradient is not delay

    @pytest.mark.parametrize(
        ("mode", "node"),
        [
            ("m", {}),
            ("s", {"v_reset": None}),
            ("m", {"detach_reset": True, "decay_input": False, "tau": 1.6}),
        ],
    )
    def test_spikingjelly(self, mode: str, node: dict[str, Any]) -> None:
        torch.manual_seed(2)
        model, forward = jelly(mode, **node), at_once if mode == "m" else looped
        train(model, forward)
        captured = capture(model, PICTURES, TARGET, loss, forward=forward)
        check_equal(captured)
        assert captured.network.neuron.threshold == float(str(np.nextafter(np.float32(0.5), np.float32(0))))
        assert captured.network.neuron.reset_gradient is not node.get("detach_reset", False)
        assert [entry.exact for entry in captured.layers] == [True] * 3

    def test_a_step_is_left_as_without_a_capture(self, snn: tuple[Looped, Capture, torch.optim.SGD]) -> None:
        model, _, _ = snn
        observed = [parameter.grad for parameter in model.parameters()]
        model.zero_grad()
        loss(model(PICTURES), TARGET).backward()
        for parameter, before in zip(model.parameters(), observed, strict=True):
            assert torch.equal(parameter.grad, before)
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())

    def test_the_optimiser_goes_on(self, snn: tuple[Looped, Capture, torch.optim.SGD]) -> None:
        model, captured, optimiser = snn
        conv = captured.record.layers[1]  # conv2: no factor, no copies
        optimiser.step()
        stepped = model.conv2.weight.detach().permute(0, 2, 3, 1).numpy()
        assert np.abs(conv.new_weights - stepped).max() < 1e-6
        assert np.abs(conv.momentum).max() > 0
        assert captured.record.optimiser.learning_rate == np.float32(0.1)
        assert any(note.startswith("fc1: weights are 0.111") for note in captured.notes)


def leaky() -> nn.Module:
    return snntorch.Leaky(0.6, threshold=0.5, spike_grad=rectangle, init_hidden=True)


@pytest.fixture(scope="module")
def resnet() -> tuple[nn.Module, Capture, torch.optim.SGD]:
    torch.manual_seed(10)
    model = residual(leaky)
    optimiser = train(model, looped)
    freeze_statistics(model)
    return model, capture(model, PICTURES, TARGET, loss, timesteps=T, optimiser=optimiser), optimiser


class TestResidualNetworks:
    """Small ResNets with normalisation by running statistics, whose scale and shift have been trained."""

    def test_snntorch(self, resnet: tuple[nn.Module, Capture, torch.optim.SGD]) -> None:
        captured = resnet[1]
        check_equal(captured)
        names = "conv1 bias2 conv2 bias3 conv3 bias4 conv4 bias5 projection5 conv5 bias6 fc6"
        assert [layer.name for layer in captured.network.layers] == names.split()
        assert captured.network.layers[4].identity == 0
        assert "1, 3.norm1, 3.norm2, 4.norm1, 4.norm2, 4.shortcut.1: running statistics, scale and" in str(captured)

    def test_the_optimiser_goes_on(self, resnet: tuple[nn.Module, Capture, torch.optim.SGD]) -> None:
        model, captured, optimiser = resnet
        conv, norm = model.get_submodule("3.conv1"), model.get_submodule("3.norm1")
        scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach().numpy()[:, None, None, None]
        velocity = optimiser.state[conv.weight]["momentum_buffer"].permute(0, 2, 3, 1).numpy()
        close(captured.record.layers[2].momentum * scale, velocity)
        first, norm1 = model[0], model[1]  # whose bias is a channel of the input, 1 there
        scale1 = (norm1.weight / (norm1.running_var + norm1.eps).sqrt()).detach().numpy()[:, None, None, None]
        velocity1 = optimiser.state[first.weight]["momentum_buffer"].permute(0, 2, 3, 1).numpy()
        close(captured.record.layers[0].momentum[..., :1] * scale1, velocity1)
        bias = optimiser.state[norm1.bias]["momentum_buffer"].numpy()
        close(captured.record.layers[0].momentum[:, 1, 1, 1], bias)
        close(captured.record.layers[1].momentum.ravel(), optimiser.state[norm.bias]["momentum_buffer"].numpy())
        told = f"3.conv1: weights are {abs(scale).min():g} to {abs(scale).max():g} x the model's, by channel; the same"
        assert any(note.startswith(told) for note in captured.notes)

    @pytest.mark.parametrize(("mode", "decay"), [("m", True), ("s", False)])
    def test_spikingjelly(self, mode: str, decay: bool) -> None:
        torch.manual_seed(11)
        node = {"v_threshold": 0.2, "surrogate_function": surrogate.Rect(1.1), "detach_reset": True}
        model = residual(lambda: neuron.LIFNode(**node, decay_input=decay, tau=1.6), mode)
        forward = at_once if mode == "m" else looped
        train(model, forward, steps=1)
        freeze_statistics(model)
        captured = capture(model, PICTURES, TARGET, loss, forward=forward)
        check_equal(captured)
        assert (captured.network.projection(5 if decay else 4) is not None) is decay

    @pytest.mark.slow
    def test_one_of_eighteen_layers(self) -> None:
        torch.manual_seed(13)
        node = {"v_threshold": 0.2, "surrogate_function": surrogate.Rect(1.1), "detach_reset": True}
        blocks = ((16, 1), (16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1))
        model = residual(lambda: neuron.LIFNode(**node), "m", blocks)
        train(model, at_once)
        freeze_statistics(model)
        enlarge(model)  # what two steps have moved of the running statistics lets few neurons fire
        captured = capture(model, PICTURES, TARGET, loss, forward=at_once)
        check_equal(captured, tolerance=3e-6)  # what binary32 rounds adds up along the layers
        assert len(captured.network.main) == 18

    def test_a_channel_that_its_scale_silences(self) -> None:
        torch.manual_seed(12)
        model = residual(leaky)
        freeze_statistics(model)
        norm = model.get_submodule("3.norm1")
        norm.weight.data[2], norm.bias.data[2] = 0.0, 0.4
        captured = capture(model, PICTURES, TARGET, loss, timesteps=T)
        check_equal(captured)
        assert not captured.record.layers[2].weights[2].any()
        assert captured.record.layers[2].weight_gradient[2].any()

    def test_one_becomes_a_trace(self, resnet: tuple[nn.Module, Capture, torch.optim.SGD], tmp_path: Path) -> None:
        resnet[1].write(tmp_path / "step.h5", Arithmetic(micro_batch=4))
        with open_trace(tmp_path / "step.h5") as trace:
            record = trace.record()
        assert record.network == resnet[1].network
        for got, want in zip(record.layers, resnet[1].record.layers, strict=True):
            assert np.array_equal(got.gradients, round_to(want.gradients * 2**12, BINARY16))


class TestOtherModels:
    def test_spikes_over_time(self) -> None:
        torch.manual_seed(3)
        events = (torch.rand(T, BATCH, 2, 4, 4) < 0.3).float()
        lif = {"threshold": 0.5, "spike_grad": rectangle, "init_hidden": True}
        model = nn.Sequential(
            nn.Conv2d(2, 6, 3, padding="same"),
            snntorch.Leaky(0.5, **lif),
            nn.AdaptiveAvgPool2d(1),
            nn.Dropout(0.0),
            nn.Dropout(0.5).eval(),
            nn.Flatten(),
            nn.Linear(6, CLASSES),
        )
        enlarge(model)
        captured = capture(model, events, TARGET, loss, forward=lambda net, batch: torch.stack([net(x) for x in batch]))
        check_equal(captured)
        assert captured.network.input.coding == "spikes"
        assert captured.record.inputs[..., -1].all()  # the constant channel of the first layer's bias

    def test_biases_beside_normalisation(self) -> None:
        torch.manual_seed(14)
        model = nn.Sequential(
            *(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), leaky(), nn.Flatten()),
            *(nn.Linear(144, 12), nn.BatchNorm1d(12, affine=False), leaky()),
            *(nn.Linear(12, CLASSES), nn.BatchNorm1d(CLASSES)),
        )
        optimiser = train(model, looped)
        freeze_statistics(model)
        captured = capture(model, PICTURES, TARGET, loss, timesteps=T, optimiser=optimiser)
        check_equal(captured)
        assert all(layer.momentum.any() for layer in captured.record.layers)

    def test_threshold_dependent_normalisation(self) -> None:
        torch.manual_seed(15)
        norm = layer.ThresholdDependentBatchNorm2d(4.0, 0.5, 4)
        model = nn.Sequential(
            *(layer.Conv2d(1, 4, 3, step_mode="m"), norm),
            neuron.LIFNode(v_threshold=0.5, surrogate_function=surrogate.Rect(1.1), step_mode="m"),
            *(layer.Flatten(step_mode="m"), layer.Linear(144, CLASSES, step_mode="m")),
        )
        train(model, at_once)
        norm.eval()
        check_equal(capture(model, PICTURES, TARGET, loss, forward=at_once))

    def test_one_that_ends_in_neurons(self) -> None:
        torch.manual_seed(4)
        lif = {"beta": 0.5, "spike_grad": rectangle, "init_hidden": True}
        model = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, 20, bias=False),
            snntorch.Leaky(**lif),
            nn.Linear(20, CLASSES),
            snntorch.Leaky(**lif, threshold=0.5, output=True),
        )
        enlarge(model)
        captured = capture(model, PICTURES, TARGET, loss, timesteps=T)
        step = float_step(
            captured.network,
            tuple(part.weights for part in captured.record.layers),
            captured.record.inputs,
            TARGET.numpy(),
        )
        assert np.array_equal(captured.record.layers[0].spikes, step.layers[0].spikes)
        assert captured.record.logits == pytest.approx(step.logits)
        close(captured.record.layers[-1].weight_gradient, step.layers[-1].weight_gradient)
        told = " ".join(captured.notes)
        assert "reads their mean firing out" in told
        assert "another surrogate than 2" in told

    def test_containers_and_learned_time_constants(self) -> None:
        torch.manual_seed(5)
        fire = {"v_threshold": 0.5, "surrogate_function": surrogate.PiecewiseQuadratic(), "step_mode": "m"}
        model = nn.Sequential(
            layer.SeqToANNContainer(nn.Conv2d(1, 4, 3), nn.Flatten()),
            neuron.ParametricLIFNode(**fire),
            layer.Linear(144, CLASSES, step_mode="m"),
        )
        enlarge(model)
        captured = capture(model, PICTURES, TARGET, loss, forward=at_once)
        check_equal(captured, gradients=False)
        (entry,) = captured.layers
        assert (entry.surrogate, entry.exact, entry.dropped_energy) == ("PiecewiseQuadratic", True, 0.0)

    def test_integrate_and_fire_from_bytes_over_255(self) -> None:
        torch.manual_seed(6)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), neuron.IFNode(v_threshold=1.0), nn.Linear(12, CLASSES))
        enlarge(model)
        pictures = torch.round(PICTURES * 255) / 255
        captured = capture(model, pictures, TARGET, loss, timesteps=T)
        check_equal(captured, gradients=False)
        assert any("256/255" in note for note in captured.notes)


class TestMasks:
    @pytest.mark.parametrize(
        ("function", "exact", "largest", "reach"),
        [
            (rectangle, True, 1.0, 0.45),
            (surrogate.Rect(0.8), True, 0.8, 0.625),
            (surrogate.PiecewiseQuadratic(2.0), True, 2.0, 0.5),
            (snntorch.surrogate.straight_through_estimator(), True, 1.0, np.inf),
            (snntorch.surrogate.heaviside(), True, 1.0, np.inf),
            (snntorch.surrogate.atan(2.0), False, 1.0, 3 / np.pi),  # 1 / (1 + (pi d)^2) = 0.1
            (snntorch.surrogate.fast_sigmoid(25), False, 1.0, (np.sqrt(10) - 1) / 25),
            (surrogate.Sigmoid(4.0), False, 1.0, np.arccosh(19.0) / 4),  # sech^2(2 d) = 0.1
        ],
    )
    def test_support(self, function: Any, exact: bool, largest: float, reach: float) -> None:
        found = support(function, 0.1, "lif")
        assert found.exact is exact
        assert found.largest == pytest.approx(largest, rel=1e-4)
        assert found.reach == pytest.approx(reach, rel=1e-4)

    def test_a_surrogate_that_fades_drops_energy(self) -> None:
        torch.manual_seed(7)
        model = Looped(spike_grad=snntorch.surrogate.fast_sigmoid(5))
        wide, narrow = (capture(model, PICTURES, TARGET, loss, mask_threshold=share) for share in (0.01, 0.5))
        for many, few in zip(wide.layers, narrow.layers, strict=True):
            assert not many.exact
            assert many.active_masks > few.active_masks
            assert 0 <= many.dropped_energy < few.dropped_energy < 1
            assert many.nonzero_gradients == few.nonzero_gradients > 0.7
        assert "mask from 0.5 of the largest derivative" in str(narrow)
        assert narrow.network.neuron.interval == pytest.approx((np.sqrt(2) - 1) / 5, rel=1e-4)


class TestTraces:
    def test_what_stands_in_one(self, snn: tuple[Looped, Capture, torch.optim.SGD], tmp_path: Path) -> None:
        _, captured, _ = snn
        written = captured.write(tmp_path / "step.h5", Arithmetic(k=3, lanes=8, micro_batch=4), 10)
        with open_trace(tmp_path / "step.h5") as trace:
            record = trace.record()
        assert (trace.origin, trace.bit_exact, trace.digest) == (captured.record.origin, False, written.digest)
        for got, want in zip(record.layers, captured.record.layers, strict=True):
            assert np.array_equal(got.weights, round_to(want.weights, BINARY16))
            assert np.array_equal(got.gradients, round_to(want.gradients * 2**10, BINARY16))
            assert np.array_equal(got.weight_gradient, want.weight_gradient * 2**10)
            assert got.subnormal.keys() >= {"forward_tables", "update_tables", "dW", "W16"}
        assert sum(written.underflowed) < 0.01

    def test_underflow_is_told(self, snn: tuple[Looped, Capture, torch.optim.SGD], tmp_path: Path) -> None:
        written = snn[1].write(tmp_path / "step.h5", scale_log2=-14)
        assert max(written.underflowed) > 0.1
        assert max(written.subnormal) > 0.1
        assert "loss scale 2^-14" in str(written)

    def test_overflow_skips_the_step(self, snn: tuple[Looped, Capture, torch.optim.SGD], tmp_path: Path) -> None:
        snn[1].write(tmp_path / "step.h5", scale_log2=40)
        with open_trace(tmp_path / "step.h5") as trace:
            assert trace.skipped
            assert np.array_equal(trace.new_master(0), trace.master(0))

    def test_masks_that_are_not_exact_drop_gradients(self, tmp_path: Path) -> None:
        torch.manual_seed(8)
        model = Looped(spike_grad=snntorch.surrogate.atan(8.0), reset_mechanism="zero")
        made = capture(model, PICTURES, TARGET, loss, path=tmp_path / "step.h5")
        assert made.written is not None
        assert "gradients that underflow" in str(made)
        with open_trace(tmp_path / "step.h5") as trace:
            last = slice(T - 1, T)  # where nothing comes through the potential that is kept
            du, masks = (read(0, timesteps=last) for read in (trace.gradients, trace.masks))
            assert not du[masks == 0].any()
            assert du[masks == 1].any()
            assert np.count_nonzero(made.record.layers[0].gradients[last]) > np.count_nonzero(du)

    @pytest.mark.slow
    def test_the_chip_runs_one(self, tmp_path: Path) -> None:
        torch.manual_seed(9)
        model = Looped(reset_mechanism="zero", reset_delay=False)
        arithmetic = Arithmetic(value=BFLOAT16, micro_batch=2)
        capture(model, PICTURES[:2], TARGET[:2], loss).write(tmp_path / "step.h5", arithmetic)
        changes = ("arithmetic.value_format=bfloat16", "arithmetic.micro_batch=2")
        assert tlm.simulate(tmp_path / "step.h5", "edge", changes).cycles > 0


def test_products_of_what_is_the_same_at_every_timestep() -> None:
    rng = np.random.default_rng(0)
    conv = {"channels": 3, "kernel": [3, 2], "padding": 1, "pool": 2}
    network = parse_network(
        {"input": {"shape": [8, 5, 2]}, "timesteps": T, "layers": [{"conv": conv}, {"linear": 5}]}, "x"
    )
    for shape in network.layers:
        maps = rng.normal(size=(1, 3, shape.in_height, shape.in_width, shape.in_channels)).astype(np.float32)
        gradients = rng.normal(size=(1, 3, shape.out_height, shape.out_width, shape.out_channels)).astype(np.float32)
        timed = [np.repeat(tensor, T, axis=0) for tensor in (maps, gradients)]
        wanted = correlated(shape, *timed, T)
        assert np.abs(wanted).max() > 0
        for x, du in ((maps, gradients), (maps, timed[1]), (timed[0], gradients)):
            np.testing.assert_allclose(correlated(shape, x, du, T), wanted, rtol=1e-5, atol=1e-5)


def test_nothing_imports_torch_at_start() -> None:
    import subprocess

    code = "import sys, workloads.importers.torch, tlm.cli.main; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
