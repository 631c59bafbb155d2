"""The machine in a training loop of PyTorch: the bits of our own training, and the gradients of plain PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, cross_entropy, mse_loss

import workloads.backend
from rtl_models.errors import InputError
from rtl_models.formats import BFLOAT16, BINARY16, BINARY32, round_to
from tests.workloads.test_training_step import assert_same_bits, random_inputs, small_network
from workloads.backend import H2LearnModule, H2LearnSGD
from workloads.datasets import choose_dataset
from workloads.initialise import initial_weights
from workloads.network import Network, load_network, parse_network
from workloads.record import Arithmetic, OptimiserConstants
from workloads.training_state import initial_state
from workloads.training_step import forward_logits, train_step

BATCH = 6
SMALL = Arithmetic(k=3, lanes=4, micro_batch=4)
EASY = parse_network(
    {
        "name": "easy",
        "input": {"shape": [6, 5, 1], "exponent": 8},
        "timesteps": 4,
        "initial_gain": 1.5,
        "layers": [
            {"conv": {"channels": 6, "kernel": [3, 3], "stride": 2, "padding": 1}},
            {"linear": 8},
            {"linear": 3},
        ],
    },
    "easy",
)


def batches(network: Network, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(5)
    return [(random_inputs(network, BATCH, rng), rng.integers(0, network.classes, BATCH)) for _ in range(count)]


def tensors(inputs: np.ndarray, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(inputs), torch.from_numpy(labels)


def take_step(module: H2LearnModule, optimiser: Any, inputs: np.ndarray, labels: np.ndarray) -> float:
    images, wanted = tensors(inputs, labels)
    loss = cross_entropy(module(images), wanted)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return float(loss.detach())


class TestBits:
    @pytest.mark.parametrize("coding", ["direct", "spikes"])
    @pytest.mark.parametrize(
        ("value", "total", "decay"),
        [(BINARY16, BINARY32, 0.0), (BFLOAT16, BINARY32, 0.01), (BINARY16, BINARY16, 0.0)],
    )
    def test_steps_have_the_bits_of_our_own_training(self, coding: str, value: Any, total: Any, decay: float) -> None:
        network = small_network(coding)
        arithmetic = Arithmetic(value, total, k=3, lanes=4, micro_batch=4)
        state = initial_state(network, arithmetic, seed=1)
        rates = OptimiserConstants(np.float32(0.1), np.float32(0.9), np.float32(decay), 12, False)
        module = H2LearnModule(network, arithmetic, seed=1)
        optimiser = H2LearnSGD(module, lr=0.1, momentum=0.9, weight_decay=decay)
        for inputs, labels in batches(network, 5):
            wanted = train_step(network, arithmetic, state, inputs, labels, rates)
            state = wanted.state
            assert take_step(module, optimiser, inputs, labels) == pytest.approx(wanted.loss, rel=1e-13)
            uncounted = [counts | {"W16": 0} for counts in wanted.subnormal]
            assert list(module.subnormal) == uncounted
        assert_same_training(module, optimiser, state)

    def test_a_dynamic_loss_scale_skips_the_same_steps(self) -> None:
        network = small_network("direct")
        state = initial_state(network, SMALL, seed=1, scale_log2=22)
        rates = OptimiserConstants(np.float32(0.1), np.float32(0.9), np.float32(0.0), 22, True)
        module = H2LearnModule(network, SMALL, seed=1, scale_log2=22)
        optimiser = H2LearnSGD(module, dynamic_scale=True)
        skipped = []
        for inputs, labels in batches(network, 14):
            wanted = train_step(network, SMALL, state, inputs, labels, rates)
            state = wanted.state
            take_step(module, optimiser, inputs, labels)
            assert optimiser.skipped == wanted.skipped
            assert module.finite != wanted.skipped
            skipped.append(wanted.skipped)
        assert skipped[0]
        assert not skipped[-1]
        assert_same_training(module, optimiser, state)
        assert module.scale_log2 == state.scale_log2 == 22 - sum(skipped)
        assert optimiser.param_groups[0]["finite_steps"] == state.finite_steps

    def test_a_weight_that_no_format_holds_skips_the_step(self) -> None:
        inputs, labels = batches(EASY, 1)[0]
        module = H2LearnModule(EASY, SMALL)
        before = module.master
        optimiser = H2LearnSGD(module, lr=1e9)
        take_step(module, optimiser, inputs, labels)
        assert module.finite
        assert optimiser.skipped
        for a, b in zip(module.master, before, strict=True):
            assert_same_bits("master", a, b)
        assert not optimiser.state[next(module.parameters())]


def assert_same_training(module: H2LearnModule, optimiser: H2LearnSGD, state: Any) -> None:
    for number, parameter in enumerate(module.parameters()):
        assert_same_bits("master", module.master[number], state.master[number])
        assert_same_bits("momentum", optimiser.state[parameter]["momentum_buffer"].numpy(), state.momentum[number])


class _Fires(torch.autograd.Function):
    """A spike with the rectangular surrogate of the default neuron: threshold 0.25, interval 0.5, beta 1."""

    @staticmethod
    def forward(ctx: Any, u: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(u)
        return (u > 0.25).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (u,) = ctx.saved_tensors
        return gradient * ((u - 0.25).abs() < 0.5)


def plain_logits(weights: list[torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """EASY written with PyTorch's own operations, in binary64."""
    conv, hidden, last = weights
    x = conv2d(images.permute(0, 3, 1, 2).double() / 256, conv.permute(0, 3, 1, 2), stride=2, padding=1)
    states: list[Any] = [(0.0, 0.0), (0.0, 0.0)]
    logits: Any = 0.0
    for _ in range(EASY.timesteps):
        spikes = x
        for number, current in enumerate(
            (lambda s: s, lambda s: s.permute(0, 2, 3, 1).flatten(1) @ hidden.flatten(1).T)
        ):
            u, s = states[number]
            u = current(spikes) + 0.25 * u * (1 - s)
            spikes = _Fires.apply(u)
            states[number] = (u, spikes)
        logits = logits + spikes @ last.flatten(1).T
    return logits / EASY.timesteps


class TestGradients:
    @pytest.mark.parametrize(("value", "distance"), [(BINARY32, 2e-6), (BINARY16, 5e-3)])
    @pytest.mark.parametrize("loss", [mse_loss, lambda x, y: (x - y).abs().sum() * (x**2).mean()])
    def test_any_loss_has_the_gradients_of_plain_pytorch(
        self, value: Any, distance: float, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> None:
        inputs, _ = batches(EASY, 1)[0]
        images = torch.from_numpy(inputs)
        stored = [round_to(weights, value) for weights in initial_weights(EASY, 3)]
        module = H2LearnModule(EASY, Arithmetic(value), weights=stored)
        plain = [torch.tensor(weights, dtype=torch.float64, requires_grad=True) for weights in stored]
        target = torch.linspace(-1, 1, BATCH * 3, dtype=torch.float64).reshape(BATCH, 3)
        for logits in (module(images), plain_logits(plain, images)):
            loss(logits, target).backward()
        for mine, theirs in zip(module.parameters(), plain, strict=True):
            assert mine.grad is not None
            assert theirs.grad is not None
            assert theirs.grad.abs().max() > 0
            assert (mine.grad - theirs.grad).abs().max() <= distance * theirs.grad.abs().max()

    def test_a_graph_may_be_kept_and_used_again(self) -> None:
        inputs, labels = tensors(*batches(EASY, 1)[0])
        module = H2LearnModule(EASY, SMALL)
        loss = cross_entropy(module(inputs), labels)
        loss.backward(retain_graph=True)
        once = [parameter.grad.clone() for parameter in module.parameters()]
        loss.backward()
        for parameter, grad in zip(module.parameters(), once, strict=True):
            assert torch.equal(parameter.grad, 2 * grad)
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            loss.backward()

    def test_weights_that_changed_in_between_are_noticed(self) -> None:
        inputs, labels = tensors(*batches(EASY, 1)[0])
        module = H2LearnModule(EASY, SMALL)
        loss = cross_entropy(module(inputs), labels)
        with torch.no_grad():
            next(module.parameters()).mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()

    def test_a_loss_that_is_no_number_gives_none(self) -> None:
        inputs, _ = batches(EASY, 1)[0]
        module = H2LearnModule(EASY, SMALL)
        (module(torch.from_numpy(inputs)).sum() * np.nan).backward()
        assert all(parameter.grad.isnan().all() for parameter in module.parameters())
        assert module.nonfinite[-1]["du"] == BATCH * 3
        optimiser = H2LearnSGD(module)
        before = module.master
        optimiser.step()
        assert optimiser.skipped
        assert all(np.array_equal(a, b) for a, b in zip(module.master, before, strict=True))


class TestModule:
    def test_evaluation_runs_the_forward_pass_alone(self) -> None:
        inputs, _ = batches(EASY, 1)[0]
        module = H2LearnModule(EASY, SMALL, seed=2)
        wanted = forward_logits(EASY, SMALL, initial_state(EASY, SMALL, 2).weights, inputs)
        with torch.no_grad():
            without = module(torch.from_numpy(inputs))
        for logits in (without, module.eval()(torch.from_numpy(inputs))):
            assert not logits.requires_grad
            assert np.array_equal(logits.numpy(), wanted)
        assert module.train()(torch.from_numpy(inputs)).requires_grad

    def test_state_dicts_go_on_with_the_same_bits(self) -> None:
        def pair() -> tuple[H2LearnModule, H2LearnSGD]:
            module = H2LearnModule(EASY, SMALL, scale_log2=9)
            return module, H2LearnSGD(module, dynamic_scale=True)

        first, second, third = batches(EASY, 3)
        module, optimiser = pair()
        take_step(module, optimiser, *first)
        module.scale_log2 = 10
        kept = (module.state_dict(), optimiser.state_dict())
        assert {"weights.conv1", "weights.fc2", "weights.fc3"} < kept[0].keys()
        other, follower = pair()
        other.load_state_dict({name: getattr(value, "clone", lambda v=value: v)() for name, value in kept[0].items()})
        follower.load_state_dict(kept[1])
        for batch in (second, third):
            assert take_step(module, optimiser, *batch) == take_step(other, follower, *batch)
        assert other.scale_log2 == 10
        for a, b in zip(module.master, other.master, strict=True):
            assert_same_bits("master", a, b)
        assert follower.param_groups[0]["finite_steps"] == 3

    def test_a_frozen_layer_and_an_optimiser_of_pytorch(self) -> None:
        inputs, labels = batches(EASY, 1)[0]
        module = H2LearnModule(EASY, SMALL)
        module.weights["conv1"].requires_grad_(False)
        before = module.master
        optimiser = torch.optim.Adam([w for w in module.parameters() if w.requires_grad], lr=0.02)
        losses = [take_step(module, optimiser, inputs, labels) for _ in range(12)]
        assert losses[-1] < 0.7 * losses[0]
        assert np.array_equal(module.master[0], before[0])
        assert not np.array_equal(module.master[1], before[1])
        assert take_step(module, H2LearnSGD(module), inputs, labels) < losses[0]
        assert np.array_equal(module.master[0], before[0])

    def test_a_loop_on_the_digits_learns(self) -> None:
        data = choose_dataset(load_network("digits-mlp"), None, None)
        module = H2LearnModule("digits-mlp")
        optimiser = H2LearnSGD(module)
        for batch in islice(data.epoch_batches(seed=0, epoch=0, batch=32), 25):
            take_step(module, optimiser, batch.images.copy(), batch.labels.copy())
        held_out = data.load().held_out.take(np.arange(0, 360, 4))
        guesses = module.eval()(torch.from_numpy(held_out.images.copy())).argmax(1)
        assert (guesses.numpy() == held_out.labels).mean() > 0.5

    def test_a_closure_and_what_it_looks_like(self) -> None:
        inputs, labels = tensors(*batches(EASY, 1)[0])
        module = H2LearnModule(EASY, SMALL)
        optimiser = H2LearnSGD(module)

        def closure() -> torch.Tensor:
            optimiser.zero_grad()
            loss = cross_entropy(module(inputs), labels)
            loss.backward()
            return loss

        assert optimiser.step(closure).item() == pytest.approx(cross_entropy(module(inputs), labels).item(), abs=0.5)
        assert "easy, binary16 values, binary32 sums, loss scale 2^12" in repr(module)


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"arithmetic": Arithmetic(k=9)}, "k: wrong value, got 9, allowed: a whole number 1..8"),
            ({"scale_log2": 300}, "scale-log2: wrong value, got 300, allowed: a whole number -126..126"),
            ({"weights": [np.zeros(3)]}, "easy: wrong number of weight arrays, got 1, allowed: 3"),
            (
                {"weights": [np.zeros((1, 2, 3, 4))] * 3},
                "conv1: wrong shape of weights, got (1, 2, 3, 4), allowed: (6, 3, 3, 1)",
            ),
        ],
    )
    def test_of_a_module(self, arguments: dict[str, Any], words: str) -> None:
        with pytest.raises(InputError) as caught:
            H2LearnModule(EASY, **arguments)
        assert str(caught.value) == words

    def test_starting_weights_that_images_decide(self) -> None:
        network = parse_network(EASY.to_dict() | {"normalise": True}, "easy")
        with pytest.raises(InputError) as caught:
            H2LearnModule(network)
        words = "its starting weights are normalised by images: give weights (workloads.normalise)"
        assert str(caught.value) == f"easy: normalise: {words}"
        assert H2LearnModule(network, weights=initial_weights(network, 0)).master[0].shape == (6, 3, 3, 1)

    @pytest.mark.parametrize(
        ("images", "words"),
        [
            (torch.zeros(2, 1, 6, 5, dtype=torch.uint8), "wrong shape, got (2, 1, 6, 5), allowed: [B, 6, 5, 1]"),
            (torch.zeros(2, 6, 5, 1), "wrong type of elements, got 'float32', allowed: uint8"),
            (
                torch.zeros(2, 6, 5, 1, device="meta"),
                "the machine's arithmetic runs on the CPU, got 'meta', allowed: cpu",
            ),
        ],
    )
    def test_of_inputs(self, images: torch.Tensor, words: str) -> None:
        module = H2LearnModule(EASY, SMALL)
        for way in (module, module.eval()):
            with pytest.raises(InputError) as caught:
                way(images)
            assert str(caught.value).endswith(f"inputs: {words}")

    def test_weights_of_another_type(self) -> None:
        module = H2LearnModule(EASY, SMALL).double()
        with pytest.raises(InputError) as caught:
            module(torch.zeros(2, 6, 5, 1, dtype=torch.uint8))
        words = "master weights are binary32, on the CPU, got 'torch.float64 on cpu', allowed: torch.float32 on cpu"
        assert str(caught.value) == f"weights of conv1: {words}"

    @pytest.mark.parametrize("rate", ["lr", "momentum", "weight_decay"])
    def test_of_rates(self, rate: str) -> None:
        with pytest.raises(InputError, match=f"^{rate}: wrong value, got -1.0, allowed: a number 0..3.40282e\\+38$"):
            H2LearnSGD(H2LearnModule(EASY), **{rate: -1.0})

    def test_pytorch_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "torch", None)
        with pytest.raises(InputError) as caught:
            _ = workloads.backend.H2LearnModule
        assert str(caught.value) == "this needs the package torch: pip install 'h2learn[torch]'"

    def test_no_such_name(self) -> None:
        with pytest.raises(AttributeError, match=r"module 'workloads.backend' has no attribute 'Module'"):
            _ = workloads.backend.Module  # type: ignore[attr-defined]
