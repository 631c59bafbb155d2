"""Graphs that snnTorch and SpikingJelly write of trained networks: read back, they fire as in their framework."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from numpy.typing import NDArray

from workloads.dataset import as_inputs
from workloads.digits import DIGITS
from workloads.float_step import float_forward
from workloads.forward import forward_pass
from workloads.importers.chain import Imported
from workloads.importers.nir import NirOptions, import_nir
from workloads.record import Arithmetic

torch = pytest.importorskip("torch", reason="graphs of other frameworks need PyTorch: pip install 'h2learn[torch]'")
torch.set_num_threads(1)  # nets this small only wait for other threads
T = 5
IMAGES = 100
STEPS = 8
RATE = 0.3  # torch.optim takes seconds to import


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The frameworks use what PyTorch and nirtorch have deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    """The first digits that are held out, as bytes [N, H, W, C]."""
    return DIGITS.load().held_out.take(np.arange(IMAGES)).images


def train(model: Any, run: Callable[[Any], Any], reset: Callable[[], None]) -> None:
    """Some steps of plain descent on the digits, so that weights and biases are nobody's choice."""
    for batch, _ in zip(DIGITS.epoch_batches(0, 0, 32), range(STEPS), strict=False):
        reset()
        loss = torch.nn.functional.cross_entropy(run(as_maps(batch.images)), torch.from_numpy(batch.labels))
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= RATE * parameter.grad


def as_maps(images: NDArray[np.uint8]) -> Any:
    """Bytes as PyTorch takes them, [N, C, H, W] of 0..1."""
    return torch.from_numpy(np.moveaxis(images / np.float32(16), -1, 1).copy())


def recorded(spiking: list[Any]) -> dict[int, list[NDArray[Any]]]:
    """What the spiking modules give, by their number, from now on."""
    found: dict[int, list[NDArray[Any]]] = {number: [] for number in range(len(spiking))}
    for number, module in enumerate(spiking):
        module.register_forward_hook(
            lambda _, __, out, number=number: found[number].append(
                (out[0] if isinstance(out, tuple) else out).detach().numpy()
            )
        )
    return found


def compare(built: Imported, images: NDArray[np.uint8], spikes: dict[int, list[NDArray[Any]]]) -> float:
    """Assert that every spike is the framework's, in binary32 and 64; return the share of the machine's that are."""
    inputs = as_inputs(images, built.network)
    stored = tuple(matrix.astype(np.float16).astype(np.float32) for matrix in built.weights)
    machine = forward_pass(built.network, Arithmetic(), stored, inputs).activity
    equal = total = 0
    for dtype in (np.float32, np.float64):
        activity = float_forward(built.network, built.weights, inputs, dtype).activity
        for number, place in enumerate(built.network.hidden):
            expected = np.array(spikes[number])
            got = np.moveaxis(activity[place][1], -1, 2).reshape(expected.shape)
            assert 0.01 < expected.mean() < 0.9
            np.testing.assert_array_equal(got, expected, err_msg=f"layer {number}, {dtype.__name__}")
            equal += np.count_nonzero(np.moveaxis(machine[place].spikes, -1, 2).reshape(expected.shape) == expected)
            total += expected.size
    return equal / total


def snntorch_model(reset: str) -> tuple[Any, list[Any]]:
    """Convolution, pooling, three layers of leaky neurons; constants per neuron, or the graph's types do not fit."""
    snn = pytest.importorskip("snntorch")

    def leaky(*shape: int, **settings: Any) -> Any:
        constants = {"beta": torch.full(shape, 0.9), "threshold": torch.full(shape, 0.25)}
        return snn.Leaky(**constants, init_hidden=True, reset_mechanism=reset, **settings)

    torch.manual_seed(3)
    spiking = [leaky(6, 4, 4), leaky(8, 4, 4), leaky(10, output=True)]
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 3, padding=1),
        torch.nn.AvgPool2d((2, 2)),
        spiking[0],
        torch.nn.Conv2d(6, 8, 3, padding=1),
        spiking[1],
        torch.nn.Flatten(),
        torch.nn.Linear(128, 10),
        spiking[2],
    )
    return model, spiking


@pytest.mark.parametrize(("reset", "option"), [("zero", "zero"), ("subtract", "subtract-delayed")])
def test_snntorch(reset: str, option: str, images: NDArray[np.uint8], tmp_path: Path) -> None:
    model, spiking = snntorch_model(reset)
    from snntorch.export_nir import export_to_nir

    def run(maps: Any) -> Any:
        return sum(model(maps)[1] for _ in range(T)) / T

    def restart() -> None:
        for module in spiking:
            module.reset_mem()

    train(model, run, restart)
    restart()
    nir.write(tmp_path / "net.nir", export_to_nir(model, as_maps(images[:1]), ignore_dims=[0]))
    built = import_nir(tmp_path / "net.nir", NirOptions(timesteps=T, exponent=4, reset=option, reset_gradient=False))
    restart()
    spikes = recorded(spiking)
    with torch.no_grad():
        run(as_maps(images))
    assert compare(built, images, spikes) > 0.999


class Residual(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Two blocks, the second with a strided convolution in its shortcut."""

    def __init__(self, neurons: list[Any]) -> None:
        super().__init__()
        self.lif1, self.lif2, self.lif3, self.lif4, self.lif5 = neurons
        sizes = ((1, 4, 2), (4, 4, 1), (4, 4, 1), (4, 6, 2), (6, 6, 1))
        self.conv1, self.conv2, self.conv3, self.conv4, self.conv5 = (
            torch.nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1) for inputs, outputs, stride in sizes
        )
        self.shortcut = torch.nn.Conv2d(4, 6, 1, stride=2)
        self.flatten, self.fc = torch.nn.Flatten(), torch.nn.Linear(24, 10)

    def forward(self, x: Any) -> Any:
        first = self.lif1(self.conv1(x))
        second = self.lif3(self.conv3(self.lif2(self.conv2(first))) + first)
        third = self.lif5(self.conv5(self.lif4(self.conv4(second))) + self.shortcut(second))
        return self.fc(self.flatten(third))


def check_residual(
    neurons: list[Any],
    restart: Callable[[Any], None],
    export: Callable[[Any], Any],
    options: NirOptions,
    images: NDArray[np.uint8],
) -> None:
    """Train, export and import the residual network, and compare spikes."""
    model = Residual(neurons)

    def run(maps: Any) -> Any:
        return sum(model(maps) for _ in range(T)) / T

    train(model, run, lambda: restart(model))
    restart(model)
    built = import_nir(export(model), options)
    assert built.network.layers[built.layer_of["shortcut to node lif3"]].identity == 0
    assert built.network.layers[built.layer_of["node shortcut"]].joins == built.layer_of["node conv5"]
    restart(model)
    spikes = recorded(neurons)
    with torch.no_grad():
        run(as_maps(images))
    assert compare(built, images, spikes) > 0.998


def test_a_residual_network_of_spikingjelly(images: NDArray[np.uint8]) -> None:
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import functional, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    torch.manual_seed(5)
    neurons = [neuron.IFNode(v_threshold=threshold) for threshold in (0.25, 0.25, 0.25, 0.5, 0.5)]
    options = NirOptions(timesteps=T, exponent=4, fires_at_threshold=True)
    check_residual(
        neurons, functional.reset_net, lambda model: export_to_nir(model, as_maps(images[:1])), options, images
    )


def test_a_residual_network_of_snntorch(images: NDArray[np.uint8]) -> None:
    """By way of nirtorch's newer tracer: snnTorch's exporter loses additions."""
    snn = pytest.importorskip("snntorch")
    import nirtorch
    from snntorch.export_nir import _extract_snntorch_module

    torch.manual_seed(6)
    neurons = [snn.Leaky(beta=0.9, threshold=0.25, init_hidden=True) for _ in range(5)]
    kinds = (torch.nn.Conv2d, torch.nn.Flatten, torch.nn.Linear, snn.Leaky)

    def export(model: Any) -> Any:
        return nirtorch.torch_to_nir(model, dict.fromkeys(kinds, _extract_snntorch_module), type_check=False)

    def restart(model: Any) -> None:
        for module in neurons:
            module.reset_mem()

    options = NirOptions(timesteps=T, exponent=4, shape=(8, 8, 1), reset="subtract-delayed", reset_gradient=False)
    check_residual(neurons, restart, export, options, images)


def test_spikingjelly(images: NDArray[np.uint8], tmp_path: Path) -> None:
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    torch.manual_seed(4)
    spiking = [neuron.LIFNode(tau=2.0, v_threshold=0.25), neuron.LIFNode(tau=2.0, v_threshold=0.125)]
    model = torch.nn.Sequential(
        layer.Conv2d(1, 6, 3, padding=1, bias=False),
        spiking[0],
        layer.AvgPool2d(2),
        layer.Conv2d(6, 8, 3, padding=1),
        spiking[1],
        layer.Flatten(),
        layer.Linear(128, 10),
    )

    def run(maps: Any) -> Any:
        return sum(model(maps) for _ in range(T)) / T

    def restart() -> None:
        functional.reset_net(model)

    train(model, run, restart)
    restart()
    export_to_nir(model, as_maps(images[:1]), save_path=tmp_path / "net.nir")
    built = import_nir(tmp_path / "net.nir", NirOptions(timesteps=T, exponent=4, fires_at_threshold=True))
    restart()
    spikes = recorded(spiking)
    with torch.no_grad():
        run(as_maps(images))
    assert compare(built, images, spikes) > 0.999
