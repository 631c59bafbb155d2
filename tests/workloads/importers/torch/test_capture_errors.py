"""Models and steps that cannot be captured: one line each, which names the module."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch", reason="captures are tested where torch, snntorch and spikingjelly are installed")
pytest.importorskip("snntorch", reason="captures are tested where torch, snntorch and spikingjelly are installed")
pytest.importorskip("spikingjelly", reason="captures are tested where torch, snntorch and spikingjelly are installed")

import snntorch
import torch
from spikingjelly.activation_based import neuron, surrogate
from torch import Tensor, nn

from rtl_models.errors import InputError
from tests.workloads.importers.torch.models import CLASSES, Looped, T, at_once, digits, jelly, loss, rectangle
from workloads.importers.torch import capture

PICTURES, TARGET = digits(4)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def leaky(**settings: Any) -> nn.Module:
    return snntorch.Leaky(**{"beta": 0.5, "init_hidden": True, "spike_grad": rectangle, **settings})


def small(lif: nn.Module | None = None, *between: nn.Module, first: nn.Module | None = None) -> nn.Sequential:
    """A convolution, neurons and a read-out, called for one timestep."""
    first = first or nn.Conv2d(1, 4, 3, padding=1)
    size = first(PICTURES)[0].numel()
    modules: list[nn.Module] = [first, lif or leaky(), *between, nn.Flatten()]
    return nn.Sequential(*modules, nn.LazyLinear(CLASSES) if between else nn.Linear(size, CLASSES))


def refused(model: nn.Module, message: str, target: Any = TARGET, criterion: Any = loss, **settings: Any) -> None:
    settings = settings or {"timesteps": T}
    with pytest.raises(InputError, match=message):
        capture(model, PICTURES, target, criterion, **settings)


class TestTheStep:
    def test_eval_mode(self) -> None:
        refused(small().eval(), r"^model: the model is in eval mode; call model.train\(\)")

    def test_no_gradients(self) -> None:
        with torch.no_grad():
            refused(small(), "^model: a training step needs gradients, got 'under torch.no_grad")
        refused(
            small().requires_grad_(False), "^model: no parameter of the model requires a gradient, got 'Sequential'"
        )

    def test_no_model(self) -> None:
        refused(lambda x: x, "^model: not a model, got 'function'")  # type: ignore[arg-type]

    def test_no_gradient_reaches_the_first_weights(self) -> None:
        model = small()
        model[0].requires_grad_(False)
        refused(model, "^0: no gradient reaches it; .*got 'requires_grad False'")

    @pytest.mark.parametrize(
        ("criterion", "message"),
        [
            (lambda output, target: output.mean(0), r"^loss: the loss must be a scalar, got \[4, 10\]"),
            (lambda output, target: torch.tensor(1.0), "^loss: the loss is not connected to the model's parameters"),
            (lambda output, target: 1.0, "^loss: not a tensor, got 'float'"),
            (
                lambda output, target: output[-1].sum(),
                "^loss at 3: the gradient of the output differs",
            ),
            (lambda output, target: output.sum() * float("nan"), "^1: a gradient is not finite"),
        ],
    )
    def test_loss(self, criterion: Callable[[Tensor, Tensor], Any], message: str) -> None:
        refused(small(), message, criterion=criterion)

    def test_targets(self) -> None:
        def mean(output: Tensor, target: Any) -> Tensor:
            return output.mean()

        refused(
            small(), r"^target: a trace needs the class of every sample, got 'torch.float32 \[4\]'", torch.ones(4), mean
        )
        one_hot = nn.functional.one_hot(TARGET, CLASSES)
        assert capture(small(), PICTURES, one_hot, mean, timesteps=T).record.labels.tolist() == TARGET.tolist()

    def test_settings(self) -> None:
        refused(small(), "^mask_threshold: wrong value, got 1.0", timesteps=T, mask_threshold=1.0)
        refused(small(), "^timesteps: wrong value, got 0", timesteps=0)
        refused(small(), "^timesteps: forward runs all timesteps itself", timesteps=T, forward=at_once)

    def test_potentials_of_an_earlier_batch(self) -> None:
        model = small()
        capture(model, PICTURES, TARGET, loss, timesteps=T)
        refused(model, "^1: the potentials of an earlier batch still stand; reset the model's state")
        model = jelly()
        at_once(model, PICTURES)
        refused(model, "^2: the potentials of an earlier batch still stand", forward=at_once)

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda p: torch.optim.Adam(p), "^optimiser: the machine's optimiser is SGD, got 'Adam'"),
            (
                lambda p: torch.optim.SGD(p, 0.1, 0.9, nesterov=True),
                "^optimiser: nesterov: .* got True",
            ),
            (
                lambda p: torch.optim.SGD([{"params": p[:1], "lr": 0.2}, {"params": p[1:]}], 0.1),
                "^optimiser: lr: rates that differ by group, got 0.1, allowed: 0.2",
            ),
        ],
    )
    def test_optimisers(self, make: Callable[[list[nn.Parameter]], Any], message: str) -> None:
        model = small()
        refused(model, message, timesteps=T, optimiser=make(list(model.parameters())))

    def test_the_package_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "torch", None)
        with pytest.raises(InputError, match=r"^this needs the package torch: pip install 'h2learn\[torch\]'$"):
            capture(None, None, None, loss)


class TestNeurons:
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: leaky(reset_mechanism="none"), "reset_mechanism, got 'none', allowed: subtract, zero"),
            (lambda: leaky(reset_delay=False), "reset_delay with reset_mechanism='subtract', got False"),
            (lambda: leaky(state_quant=torch.round), "state_quant"),
            (lambda: leaky(graded_spikes_factor=2.0), "graded_spikes_factor, got 2.0"),
            (lambda: leaky(surrogate_disable=True), "surrogate_disable, got True"),
            (lambda: leaky(beta=0.0), "beta: a reset by subtraction needs a potential that is kept, got 0.0"),
            (lambda: leaky(beta=torch.linspace(0.5, 0.9, 8)), "per channel: beta, got '8 values from 0.5 to 0.9'"),
            (lambda: leaky(threshold=torch.tensor([1.0, 2.0])), "per channel: threshold"),
            (lambda: snntorch.Synaptic(0.5, 0.5, init_hidden=True), "has no such neurons, got 'Synaptic'"),
            (lambda: snntorch.RLeaky(0.5, all_to_all=False, init_hidden=True), "has no such neurons, got 'RLeaky'"),
            (lambda: neuron.LIFNode(v_reset=-0.1), "v_reset, got -0.1, allowed: 0.0, None"),
            (lambda: neuron.QIFNode(), "has no such neurons, got 'QIFNode', allowed: IFNode, LIFNode"),
            (lambda: neuron.LIFNode(surrogate_function=surrogate.Sigmoid(spiking=False)), "spiking of the surrogate"),
        ],
    )
    def test_settings(self, make: Callable[[], nn.Module], message: str) -> None:
        refused(small(make()), rf"^1(: beta)?: .*{message.removeprefix('beta: ')}")

    @pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")
    def test_inhibition(self) -> None:
        refused(small(leaky(inhibition=True)), "^1: .*no such setting: inhibition, got True")

    def test_neurons_that_do_something_else(self) -> None:
        lif = leaky(spike_grad=lambda x: rectangle(x) * 2, threshold=0.25)
        refused(small(lif), "^1: its spikes are not those that follow from its inputs and constants, got '.* of 1024'")

    def test_surrogates_without_a_derivative(self) -> None:
        flat = leaky(spike_grad=lambda x: rectangle(x) * 0 + (x > 0).float())
        refused(small(flat), "^1: the surrogate gradient is zero everywhere")
        none = leaky(spike_grad=lambda x: (x > 0).float())
        refused(small(none), "^1: the neurons have no surrogate gradient, or no weights in front of them")

    def test_none_at_all(self) -> None:
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES))
        refused(model, "^model: no neurons of snnTorch or SpikingJelly were called, got 'Sequential'")


class TestModules:
    @pytest.mark.parametrize(
        ("between", "message"),
        [
            (nn.MaxPool2d(2), "^2: maximum pooling; the machine adds up, .*got 'MaxPool2d', allowed: nn.AvgPool2d in"),
            (nn.ReLU(), "^2: a module that the machine cannot do, got 'ReLU', allowed: Conv2d"),
            (nn.BatchNorm2d(4), "^2: normalised by the batch's own .*got 'BatchNorm2d, training mode', allowed: runn"),
            (
                nn.BatchNorm2d(4, track_running_stats=False).eval(),
                "^2: normalised by the batch's own .*got 'BatchNorm2d, no running statistics'",
            ),
            (
                nn.BatchNorm2d(4).eval(),
                "^2: a scale and shift by channel is part of weights, and must follow them, got 'behind 1'",
            ),
            (nn.Dropout(0.5), r"^2: dropout, got 'p = 0.5', allowed: p = 0, or eval\(\) of this module, wh"),
            (nn.AvgPool2d(3, 2), "^pooling before 4: the windows of a pooling must lie side by side"),
        ],
    )
    def test_between(self, between: nn.Module, message: str) -> None:
        size = between(torch.zeros(1, 4, 8, 8)).numel()
        model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), leaky(), between, nn.Flatten(), nn.Linear(size, CLASSES))
        refused(model, message)

    @pytest.mark.parametrize(
        ("first", "message"),
        [
            (nn.Conv2d(1, 4, 3, dilation=2), "^0: the machine's convolutions have no such setting: dilation, got 2"),
            (nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular"), "^0: .*padding_mode, got 'circular'"),
            (nn.Conv2d(1, 4, 2, padding="same"), "^0: padding 'same' of an even kernel differs by side"),
            (nn.Conv2d(1, 4, 3, stride=(1, 2)), r"^0: the stride differs by direction, got \(1, 2\)"),
        ],
    )
    @pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
    def test_convolutions(self, first: nn.Module, message: str) -> None:
        refused(small(first=first), message)

    @pytest.mark.parametrize(
        ("inner", "message"),
        [
            (lambda s: nn.functional.max_pool2d(s, 2), "got 'maximum pooling; the machine adds spikes up: average"),
            (
                lambda s: s + 1.0,
                "an operation in front of it that the machine cannot do, got 'an addition of a constant'",
            ),
            (lambda s: s - s.mean(), "got 'SubBackward0'"),
            (lambda s: s * (1 - s), "got 'a product of branches, or with a constant'"),
            (lambda s: s + nn.Parameter(torch.ones(1)), "a parameter outside of layers leads to it, allowed: weights"),
            (
                lambda s: nn.functional.batch_norm(s, None, None, training=True),
                "got 'batch normalisation by a function; a module nn.BatchNorm2d'",
            ),
            (lambda s: s.mean((1, 2)), "a mean over other axes than a square plane's"),
            (lambda s: torch.sigmoid(s), "got 'SigmoidBackward0'"),
        ],
    )
    def test_operations(self, inner: Callable[[Tensor], Tensor], message: str) -> None:
        conv, lif = nn.Conv2d(1, 4, 3, padding=1), leaky()
        read_out = nn.Linear(inner(torch.zeros(1, 4, 8, 8))[0].numel(), CLASSES)

        class Model(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv, self.lif, self.read_out = conv, lif, read_out

            def forward(self, x: Tensor) -> Tensor:
                return self.read_out(inner(self.lif(self.conv(x))).flatten(1))

        refused(Model(), f"read_out: .*{message}")

    def test_another_number_format(self) -> None:
        refused(
            small().bfloat16(), "^0: another number format .*got 'torch.bfloat16'", forward=lambda m, x: m(x.bfloat16())
        )


class Steps(nn.Module):
    """Runs what it is given with a convolution, two layers of neurons and a read-out."""

    def __init__(self, run: Callable[[Steps, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.lif, self.second = nn.Conv2d(1, 1, 3, padding=1), leaky(), nn.Conv2d(1, 1, 3, padding=1)
        self.other, self.read_out, self.run = leaky(), nn.Linear(64, CLASSES), run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


def twice(model: Steps, x: Tensor) -> Tensor:
    return model.read_out(model.lif(model.conv(model.lif(model.conv(x)))).flatten(1))


def branches(model: Steps, x: Tensor) -> Tensor:
    spikes = model.lif(model.conv(x))
    return model.read_out(spikes.flatten(1)) + model.other(model.second(spikes)).flatten(1)[:, :CLASSES]


def summed_spikes(model: Steps, x: Tensor) -> Tensor:
    spikes = model.lif(model.conv(x))
    return model.read_out((model.other(model.second(spikes)) + spikes).flatten(1))


def membranes(model: Steps, x: Tensor) -> Tensor:
    sums = model.conv(x)
    return model.read_out(model.other(model.second(model.lif(sums)) + sums).flatten(1))


def in_place(model: Steps, x: Tensor) -> Tensor:
    spikes = model.lif(model.conv(x))
    sums = model.second(spikes).view_as(x)
    sums -= spikes
    return model.read_out(model.other(sums).flatten(1))


def detached(model: Steps, x: Tensor) -> Tensor:
    return model.read_out(model.other(model.second(model.lif(model.conv(x)).detach())).flatten(1))


class TestStructure:
    @pytest.mark.parametrize(
        ("run", "message"),
        [
            (twice, "^conv: a module used twice in one timestep, or recurrent"),
            (branches, "^read_out and other: nothing that is captured takes what these modules give"),
            (
                summed_spikes,
                r"^read_out: a sum of spikes, which are 0 and 1 on the machine \(SEW's ADD\); add in front",
            ),
            (
                membranes,
                "^conv: its sums go two ways; the machine keeps spikes, and adds those to later sums, got 'to lif",
            ),
            (
                in_place,
                "^other: an operation in front of it that the machine cannot do, got 'an operation in place, on",
            ),
            (detached, r"^conv and second: two modules take the model's input \(or a detached tensor\)"),
        ],
    )
    def test_no_chain(self, run: Callable[[Steps, Tensor], Tensor], message: str) -> None:
        refused(Steps(run), message)

    def test_shared_weights(self) -> None:
        model = Steps(lambda model, x: model.read_out(model.other(model.second(model.lif(model.conv(x)))).flatten(1)))
        model.second.weight = model.conv.weight
        refused(model, "^second: its weights are those of conv; the machine's layers have their own")

    def test_dynamic_shapes(self) -> None:
        def shrinking(model: nn.Module, x: Tensor) -> Tensor:
            return torch.stack([model(part) for part in (x, x[:2])])

        refused(nn.Sequential(nn.Flatten(), nn.Linear(64, 4), leaky()), "^2: dynamic shapes: .*", forward=shrinking)

    def test_other_timesteps(self) -> None:
        def fewer(model: Steps, x: Tensor) -> Tensor:
            spikes = [model.lif(model.conv(x)) for _ in range(T)]
            return torch.stack([model.read_out(model.other(model.second(part)).flatten(1)) for part in spikes[1:]])

        message = "^(second|other): (a module used twice in one timestep, or recurrent|other timesteps or samples)"
        refused(Steps(lambda model, x: x), message, forward=fewer)

    def test_a_read_out_of_one_timestep(self) -> None:
        def last(model: Steps, x: Tensor) -> Tensor:
            spikes = [model.lif(model.conv(x)) for _ in range(T)]
            return model.read_out(spikes[-1].flatten(1)).unsqueeze(0)

        refused(Steps(lambda model, x: x), "^read_out: a module used twice", forward=last)

    def test_an_input_that_changes(self) -> None:
        def louder(model: nn.Module, x: Tensor) -> Tensor:
            return torch.stack([model(x * (t + 1)) for t in range(T)])

        refused(small(), "^0: inputs that change over time must be spikes, got 'values from 0 to 4'", forward=louder)

    @pytest.mark.parametrize(
        ("extra", "message"),
        [
            (lambda seen: seen.sum() * 0.1, "its gradients are not those of the machine's rules; a loss on hidden"),
            (lambda seen: seen.mean() * 0.0, ""),
        ],
    )
    def test_a_loss_on_hidden_spikes(self, extra: Callable[[Tensor], Tensor], message: str) -> None:
        torch.manual_seed(0)
        model, seen = Looped(), []
        model.lif1.register_forward_hook(lambda module, args, output: seen.append(output[0]))

        def criterion(output: Tensor, target: Tensor) -> Tensor:
            return loss(output, target) + extra(torch.stack(seen))

        if message:
            with pytest.raises(InputError, match=f"^lif1: {message}"):
                capture(model, PICTURES, TARGET, criterion)
        else:
            capture(model, PICTURES, TARGET, criterion)
