"""The measuring script: refusals, parsing, and, where PyTorch is installed, that it runs what the model counts."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rtl_models.errors import InputError
from tests.analysis.gpu.test_measured import FILE
from tests.workloads.residual import conv
from tlm.analysis.gpu.kernels import step_kernels, stored_bytes
from tlm.analysis.gpu.layers import from_network
from tlm.analysis.gpu.measured import parse_measurement
from workloads.float_step import float_step
from workloads.network import Network, load_network, parse_network

SCRIPT = Path(__file__).parents[3] / "scripts" / "measure_gpu.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT), run_name="measure_gpu")


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="the measured step itself is only tested where PyTorch is installed")


def run(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    paths = os.pathsep.join([environment.pop("path", ""), str(SCRIPT.parents[1])])
    variables = {**os.environ, "PYTHONPATH": paths, **environment}
    return subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True, check=False)


def fake_torch(folder: Path, text: str) -> str:
    (folder / "torch.py").write_text(text)
    return str(folder)


class TestRefusals:
    def test_without_torch(self, tmp_path: Path) -> None:
        result = run(folder=tmp_path, path=fake_torch(tmp_path, "raise ImportError('No module named torch')"))
        words = "measure_gpu: error: this needs PyTorch (No module named torch)\n"
        assert (result.returncode, result.stdout, result.stderr) == (2, "", words)

    def test_without_a_gpu(self, tmp_path: Path) -> None:
        text = "class cuda:\n    is_available = staticmethod(lambda: False)\n"
        result = run(folder=tmp_path, path=fake_torch(tmp_path, text))
        words = "measure_gpu: error: cuda: this needs a GPU that PyTorch can use, and there is none\n"
        assert (result.returncode, result.stdout, result.stderr) == (2, "", words)
        assert [entry.name for entry in tmp_path.iterdir() if entry.suffix == ".json"] == []

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--batch", "0"], "--batch: wrong value, got 0, allowed: a whole number >= 1"),
            (["--timesteps", "-1"], "--timesteps: wrong value, got -1, allowed: a whole number >= 1"),
            (["--repeats", "0"], "--repeats: wrong value, got 0, allowed: a whole number >= 1"),
            (["--warmup", "-1"], "--warmup, --seconds: wrong value, got [-1, 5.0], allowed: numbers >= 0"),
        ],
    )
    def test_wrong_numbers(self, script: dict[str, Any], arguments: list[str], words: str) -> None:
        with pytest.raises(InputError) as caught:
            script["parse_arguments"](arguments)
        assert str(caught.value) == words

    def test_unknown_precision(self, tmp_path: Path) -> None:
        result = run("--precision", "binary64", folder=tmp_path)
        assert result.returncode == 2
        assert "invalid choice: 'binary64'" in result.stderr


class TestParsing:
    def test_power(self, script: dict[str, Any]) -> None:
        lines = ["250.0\n", "[N/A]\n", "\n", " 150.5 \n"]
        assert script["power_summary"](lines) == {"mean": 200.25, "least": 150.5, "most": 250.0, "samples": 2}
        assert script["power_summary"](["[N/A]\n"]) is None
        assert script["power_summary"]([]) is None

    def test_sampler_with_and_without_nvidia_smi(
        self, script: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with script["PowerSampler"]() as nothing:
            pass
        assert nothing.lines == []
        assert script["query_smi"]("driver_version") == []
        tool = tmp_path / "nvidia-smi"
        tool.write_text("#!/bin/sh\necho 123.0\necho 125.0\n")
        tool.chmod(0o755)
        with script["PowerSampler"]() as sampler:
            sampler._process.wait()
        assert script["power_summary"](sampler.lines)["mean"] == 124.0
        assert script["query_smi"]("driver_version") == ["123.0", "125.0"]

    def test_the_sampled_gpu_is_the_measured_one(self, script: dict[str, Any]) -> None:
        def torch_with(**properties: str) -> Any:
            return SimpleNamespace(cuda=SimpleNamespace(get_device_properties=lambda _: SimpleNamespace(**properties)))

        on_gpu, on_processor = SimpleNamespace(type="cuda"), SimpleNamespace(type="cpu")
        assert script["smi_index"](torch_with(uuid="1-2"), on_gpu) == "GPU-1-2"
        assert script["smi_index"](torch_with(), on_gpu) == "0"
        assert script["smi_index"](torch_with(uuid="1-2"), on_processor) == "0"

    def test_timed_between_events(self, script: dict[str, Any]) -> None:
        """On a GPU the time is that between two events, in milliseconds, after the second has happened."""
        log: list[str] = []

        class Event:
            def __init__(self, enable_timing: bool) -> None:
                assert enable_timing

            def record(self) -> None:
                log.append("record")

            def synchronize(self) -> None:
                log.append("synchronize")

            def elapsed_time(self, end: Event) -> float:
                assert end is not self
                return 2.5

        torch = SimpleNamespace(cuda=SimpleNamespace(Event=Event))
        seconds = script["timed"](torch, SimpleNamespace(type="cuda"), lambda: log.append("work"))
        assert (seconds, log) == (0.0025, ["record", "work", "record", "synchronize"])

    def test_timesteps(self, script: dict[str, Any]) -> None:
        network = load_network("digits-mlp")
        assert script["with_timesteps"](network, None) == network
        assert script["with_timesteps"](network, 3).timesteps == 3


class TestMain:
    @pytest.fixture
    def measured(self, script: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Run main with measuring itself replaced by a measured file; returns a function of its arguments."""
        monkeypatch.chdir(tmp_path)
        names = script["main"].__globals__
        monkeypatch.setitem(names, "import_torch", lambda: SimpleNamespace(device=lambda name: name))
        monkeypatch.setitem(names, "measure", lambda *given: FILE)

        def run_main(*arguments: str) -> int:
            monkeypatch.setattr(sys, "argv", ["measure_gpu.py", *arguments])
            return int(script["main"]())

        return run_main

    def test_writes_the_file_and_says_so(
        self, measured: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert measured("digits-conv", "--out", str(tmp_path / "out.json")) == 0
        assert json.loads((tmp_path / "out.json").read_text()) == FILE
        lines = capsys.readouterr().out.splitlines()
        assert lines == ["digits-conv: batch 64, 3.00 ms a step, 0.03 GiB", f"written: {tmp_path / 'out.json'}"]
        assert [entry.name for entry in tmp_path.iterdir()] == ["out.json"]

    def test_names_the_file_after_device_and_day(self, measured: Any, tmp_path: Path) -> None:
        assert measured("digits-conv") == 0
        assert [entry.name for entry in tmp_path.iterdir()] == ["gpu-NVIDIA-A100-SXM4-40GB-2026-11-21.json"]

    def test_mistakes_are_one_line(self, measured: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert measured("nothing") == 2
        assert capsys.readouterr().err.startswith("measure_gpu: error: network: unknown network, got 'nothing'")
        assert measured("--out", str(tmp_path / "none" / "out.json")) == 2
        assert "the output folder does not exist" in capsys.readouterr().err


SMALL = {
    "name": "small",
    "input": {"shape": [6, 6, 2], "coding": "spikes"},
    "timesteps": 4,
    "initial_gain": 1.0,
    "layers": [
        {"conv": {"channels": 3, "kernel": [3, 3], "stride": 2, "padding": 1}},
        {"conv": {"channels": 4, "kernel": [3, 3], "stride": 1, "padding": 1}},
        {"linear": 5},
        {"linear": 3},
    ],
}


POOLED = SMALL | {
    "layers": [
        {"conv": {"channels": 4, "kernel": [3, 3], "padding": 1, "pool": 2}},
        {"conv": {"channels": 3, "kernel": [1, 1], "pool": 3}},
    ]
}

RESIDUAL = SMALL | {
    "layers": [
        conv(3),
        conv(3, shortcut=1, bias=True),
        conv(4, shortcut=1, projection=True, stride=2),
        {"linear": {"channels": 3, "bias": True}},
    ]
}


@pytest.fixture
def network() -> Network:
    return parse_network(SMALL, "small")


class TestStep:
    @pytest.mark.parametrize("source", [SMALL, POOLED, RESIDUAL], ids=["plain", "pooled", "residual"])
    def test_gradients_are_those_of_the_float_step(
        self, script: dict[str, Any], torch: Any, source: dict[str, Any]
    ) -> None:
        network = parse_network(source, "small")
        generator = np.random.default_rng(1)
        spikes = generator.random((4, 3, 6, 6, 2)) > 0.5
        labels = generator.integers(0, 3, 3)
        weights = [
            matrix.detach().double().requires_grad_() for matrix in script["make_weights"](torch, network, "cpu")
        ]
        maps = [torch.from_numpy(step.transpose(0, 3, 1, 2).astype(np.float64)) for step in spikes]
        logits = script["forward_pass"](torch, network, weights, maps)
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels))
        loss.backward()
        arrays = tuple(matrix.detach().numpy().transpose(0, 2, 3, 1) for matrix in weights)
        oracle = float_step(network, arrays, spikes.astype(np.uint8), labels)
        assert loss.item() == pytest.approx(oracle.loss)
        for matrix, layer in zip(weights, oracle.layers, strict=True):
            found = matrix.grad.numpy().transpose(0, 2, 3, 1)
            np.testing.assert_allclose(found, layer.weight_gradient, atol=1e-12)
        assert float(np.abs(oracle.layers[0].weight_gradient).max()) > 0

    def test_every_kernel_of_the_model_is_launched(self, script: dict[str, Any], torch: Any, network: Network) -> None:
        """The operations that PyTorch dispatches in a step are, one by one, the launches of the model's list."""
        from torch.utils._python_dispatch import TorchDispatchMode

        seen: Counter[str] = Counter()

        class Counting(TorchDispatchMode):  # type: ignore[misc]
            def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                seen[function.overloadpacket.__name__] += 1
                return function(*args, **(kwargs or {}))

        step = script["make_step"](torch, torch.device("cpu"), torch.float32, network, 2)
        step()  # the optimiser's first step makes its momenta
        with Counting():
            step()
        model: Counter[str] = Counter()
        for kernel in step_kernels(from_network(network), 2, "binary32"):
            model[kernel.kind] += kernel.launches
        forward = ("rsub", "gt")
        backward = ("clone", "sub", "abs", "lt", "neg")
        spiking, steps = 3, 4
        # Shared names: 2 products forward; 2 + 3 backward. Sums: one forward; two backward; weight gradients over time.
        assert sum(seen[name] for name in forward) == spiking * (2 * steps - 1)
        assert seen["mul"] == spiking * (2 * (steps - 1) + 2 * steps + 3 * (steps - 1))
        assert seen["add"] == spiking * 3 * (steps - 1) + model["gradient sum"]
        assert seen["_to_copy"] == spiking * 2 * steps
        elementwise = sum(seen[name] for name in (*forward, *backward, "mul", "add", "_to_copy"))
        assert elementwise == model["neuron forward"] + model["neuron backward"] + model["gradient sum"]
        assert seen["mul_"] + seen["add_"] == model["optimiser"]
        assert seen["convolution"] + seen["mm"] // 3 == model["matrix forward"]
        assert seen["convolution_backward"] + seen["mm"] // 3 == model["weight gradient"]
        loss = ("stack", "mean", "_log_softmax", "nll_loss_forward", "nll_loss_backward", "_log_softmax_backward_data")
        assert sum(seen[name] for name in (*loss, "div")) == model["loss"]

    def test_what_autograd_keeps_is_what_the_model_stores(
        self, script: dict[str, Any], torch: Any, network: Network
    ) -> None:
        kept: dict[int, int] = {}

        def pack(tensor: Any) -> Any:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        weights = script["make_weights"](torch, network, "cpu")
        own = {matrix.untyped_storage().data_ptr() for matrix in weights}
        inputs = torch.rand(4, 2, 2, 6, 6)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            logits = script["forward_pass"](torch, network, weights, list(inputs))
        assert logits.requires_grad
        held = sum(size for pointer, size in kept.items() if pointer not in own)
        model = stored_bytes(from_network(network), 2, "binary32")
        once = 2 * 6 * 6 * 2 * 4  # the model's input is one picture, this one has four timesteps of spikes
        assert held == model + 3 * once

    def test_the_file_is_read_back(self, script: dict[str, Any], torch: Any, network: Network) -> None:
        arguments = script["parse_arguments"](["--batch", "2", "--warmup", "1", "--repeats", "2", "--seconds", "0"])
        device = torch.device("cpu")
        measure = script["measure"]
        measure.__globals__["measure_rates"] = lambda *given: script["measure_rates"](*given, scale=1e-3)
        content = json.loads(json.dumps(measure(torch, device, [network], arguments)))
        content["device"]["name"] = "NVIDIA H200"
        measurement = parse_measurement(content, "file")
        assert (measurement.device.key, measurement.precision, len(measurement.steps[0].step_s)) == (
            "H200",
            "binary32",
            2,
        )
        assert measurement.steps[0].network.timesteps == 4
        assert all(rate > 0 for rates in measurement.rates.values() for rate in rates)
