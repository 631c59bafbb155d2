#!/usr/bin/env python3
"""Measures BPTT training steps on a GPU through PyTorch, and the rates that the model of the GPU baseline asks for.

    python scripts/measure_gpu.py --out h200.json            # the CIFAR network, batch 64, binary32
    h2learn gpu cifar-cnn --measured h200.json               # the model with these rates, and its error on these steps

Needs torch with CUDA, numpy and PyYAML (PYTHONPATH=. where the project is not installed). Without a GPU it ends with
one line and exit code 2. The file is dated JSON; docs/gpu_baseline.md documents it. The step runs the kernels that the
model calls `plain`: a convolution or product a layer and timestep, element-wise kernels unfused, autograd, SGD.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from rtl_models.errors import InputError
from tlm.analysis.gpu.device import PRECISIONS
from tlm.analysis.gpu.measured import SCHEMA
from workloads.atomic import check_writable, replacing
from workloads.initialise import initial_weights
from workloads.network import DIRECT, INPUT, Layer, Network, load_network, parse_network

NEURON = "plain"
LEARNING_RATE, MOMENTUM, SEED = 0.01, 0.9, 0
LOSS_SCALE = 2.0**12  # for 16-bit gradients
CONV3X3_SHAPES = ((128, 32), (256, 16), (512, 8))  # channels and plane of the CIFAR network's stages
POWER_PERIOD_MS = 50


def main() -> int:
    """Measure and write the file; 2 with one line where the user, or a missing GPU, is the reason."""
    try:
        arguments = parse_arguments()
        torch = import_torch()
        if arguments.out:
            check_writable(arguments.out)
        networks = [with_timesteps(load_network(name), arguments.timesteps) for name in arguments.networks]
        content = measure(torch, torch.device("cuda"), networks, arguments)
    except InputError as error:
        print(f"measure_gpu: error: {error}", file=sys.stderr)
        return 2
    path = arguments.out or Path(f"gpu-{content['device']['name'].replace(' ', '-')}-{content['date'][:10]}.json")
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    for step in content["steps"]:
        median_s = float(np.median(step["step_s"]))
        memory = step["peak_memory_bytes"] / 2**30
        print(f"{step['network']['name']}: batch {step['batch']}, {median_s * 1e3:.2f} ms a step, {memory:.2f} GiB")
    print(f"written: {path}")
    return 0


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse and check the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=["cifar-cnn"], help="networks by name, or their .yaml files")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--timesteps", type=int, help="instead of the network's own")
    parser.add_argument("--precision", default="binary32", choices=PRECISIONS)
    parser.add_argument("--warmup", type=int, default=5, help="steps that are not measured")
    parser.add_argument("--repeats", type=int, default=20, help="measured steps, at least")
    parser.add_argument("--seconds", type=float, default=5.0, help="measure for at least so long: power is sampled")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: named after the device and the day")
    parsed = parser.parse_args(arguments)
    for name in ("batch", "timesteps", "repeats"):
        value = getattr(parsed, name)
        if value is not None and value < 1:
            raise InputError("wrong value", f"--{name}", value, "a whole number >= 1")
    if parsed.warmup < 0 or parsed.seconds < 0:
        raise InputError("wrong value", "--warmup, --seconds", [parsed.warmup, parsed.seconds], "numbers >= 0")
    return parsed


def import_torch() -> Any:
    """Return torch. Raises InputError where it is missing or sees no GPU."""
    try:
        import torch  # type: ignore[import-not-found, unused-ignore]  # not a dependency
    except ImportError as error:
        raise InputError(f"this needs PyTorch ({error})") from error
    if not torch.cuda.is_available():
        raise InputError("this needs a GPU that PyTorch can use, and there is none", "cuda")
    return torch


def with_timesteps(network: Network, timesteps: int | None) -> Network:
    """Return the network with another number of timesteps."""
    content = network.to_dict()
    if timesteps is not None:
        content["timesteps"] = timesteps
    return parse_network(content, network.name)


def measure(torch: Any, device: Any, networks: Sequence[Network], arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the content of the file: machine, rates, and the steps of every network."""
    dtype = set_precision(torch, arguments.precision)
    rates = measure_rates(torch, device, dtype, arguments.batch)
    return {
        "schema": SCHEMA,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "device": describe(torch, device),
        "software": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "cuda": str(torch.version.cuda),
            "cudnn": str(torch.backends.cudnn.version()),
        },
        "precision": arguments.precision,
        "rates": rates,
        "steps": [measure_step(torch, device, dtype, network, arguments) for network in networks],
    }


def set_precision(torch: Any, precision: str) -> Any:
    """Set what products compute in, let cuDNN choose its fastest algorithms, and return the type of values."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True
    return torch.float16 if precision == "tensor16" else torch.float32


def describe(torch: Any, device: Any) -> dict[str, Any]:
    """Return name, driver and memory of the device."""
    if device.type != "cuda":
        return {"name": platform.processor() or "cpu", "driver": "", "memory_bytes": 0}
    properties = torch.cuda.get_device_properties(device)
    driver = query_smi("driver_version")
    return {"name": properties.name, "driver": driver[0] if driver else "", "memory_bytes": properties.total_memory}


def query_smi(field: str) -> list[str]:
    """Return a field of nvidia-smi for each GPU; nothing where there is no nvidia-smi."""
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return []
    return [line.strip() for line in result.stdout.splitlines()] if result.returncode == 0 else []


def smi_index(torch: Any, device: Any) -> str:
    """Return what nvidia-smi calls the device: its UUID, which CUDA_VISIBLE_DEVICES does not renumber; else 0."""
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None) if device.type == "cuda" else None
    return "0" if uuid is None else f"GPU-{uuid}"


def timed(torch: Any, device: Any, work: Callable[[], object]) -> float:
    """Seconds of `work` on the device: between two CUDA events, or by the wall clock on a processor."""
    if device.type != "cuda":
        started = time.perf_counter()
        work()
        return time.perf_counter() - started
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    work()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3


def repeated(torch: Any, device: Any, work: Callable[[], object], warmup: int = 3, repeats: int = 10) -> list[float]:
    """Return the seconds of each repetition after a warm-up."""
    for _ in range(warmup):
        work()
    return [timed(torch, device, work) for _ in range(repeats)]


def measure_rates(torch: Any, device: Any, dtype: Any, batch: int, scale: float = 1.0) -> dict[str, list[float]]:
    """Measure what the model's constants stand for; one value a repetition or a shape. `scale` shrinks the sizes."""
    elements = max(1, int(2**26 * scale))
    a, b = (torch.ones(elements, device=device) for _ in range(2))
    c = torch.empty_like(a)
    moved = 3 * elements * a.element_size()
    stream = repeated(torch, device, lambda: torch.add(a, b, out=c))
    size = max(8, int(4096 * scale))
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    product_s = float(np.median(repeated(torch, device, lambda: left @ right)))
    channels = [(max(1, int(wide * scale)), plane) for wide, plane in CONV3X3_SHAPES]
    strided = [convolution_rate(torch, device, dtype, batch, wide, plane, 2) for wide, plane in channels[:2]]
    return {
        "bytes_per_s": [moved / seconds for seconds in stream],
        "matmul_flop_per_s": [2.0 * size**3 / product_s, *strided],
        "conv3x3_flop_per_s": [convolution_rate(torch, device, dtype, batch, *shape, 1) for shape in channels],
        "launch_s": launch_seconds(torch, device),
    }


def convolution_rate(torch: Any, device: Any, dtype: Any, batch: int, channels: int, plane: int, stride: int) -> float:
    """Operations a second of a 3x3 convolution forward and both ways backward (median)."""
    inputs = torch.randn(batch, channels, plane, plane, device=device, dtype=dtype, requires_grad=True)
    weights = torch.randn(channels, channels, 3, 3, device=device, dtype=dtype, requires_grad=True)
    outputs = torch.nn.functional.conv2d(inputs, weights, stride=stride, padding=1)
    gradient = torch.ones_like(outputs)

    def work() -> None:
        result = torch.nn.functional.conv2d(inputs, weights, stride=stride, padding=1)
        torch.autograd.grad(result, (inputs, weights), gradient)

    flop = 3 * 2 * outputs.numel() * channels * 9
    return float(flop / np.median(repeated(torch, device, work)))


def launch_seconds(torch: Any, device: Any, launches: int = 500) -> list[float]:
    """Seconds a kernel costs that has nothing to do: in place, and as a recorded operation forward and backward."""
    tiny = torch.zeros(1, device=device)
    leaf = torch.zeros(1, device=device, requires_grad=True)

    def in_place() -> None:
        for _ in range(launches):
            tiny.add_(1.0)

    def recorded() -> None:
        value = leaf
        for _ in range(launches // 2):
            value = value * 1.0
        value.backward()

    return [float(np.median(repeated(torch, device, work))) / launches for work in (in_place, recorded)]


def fire_function(torch: Any, network: Network) -> Callable[[Any], Any]:
    """Return the spike of a potential, with the rectangular surrogate derivative backward."""
    threshold, interval, beta = network.neuron.threshold, network.neuron.interval, network.neuron.beta

    class Fire(torch.autograd.Function):  # type: ignore[misc]  # torch is a value here
        @staticmethod
        def forward(ctx: Any, potential: Any) -> Any:
            ctx.save_for_backward(potential)
            return (potential > threshold).to(potential.dtype)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            (potential,) = ctx.saved_tensors
            mask = (potential - threshold).abs() < interval
            return gradient.clone() * mask.to(gradient.dtype) * beta

    return Fire.apply  # type: ignore[no-any-return]


def layer_sums(torch: Any, layer: Layer, weights: Any, inputs: Any) -> Any:
    """Return a layer's sums for one timestep: a convolution, pooled or not, or a product over the flattened map."""
    if layer.fully_connected:
        return torch.nn.functional.linear(inputs.flatten(1), weights.flatten(1))
    sums = torch.nn.functional.conv2d(inputs, weights, stride=layer.stride, padding=layer.padding)
    if layer.pool == 1:
        return sums
    return torch.nn.functional.avg_pool2d(sums, layer.pool, divisor_override=1)  # the window's sum


def all_sums(torch: Any, network: Network, number: int, weights: Sequence[Any], maps: Mapping[int, Any]) -> Any:
    """Return a layer's sums for one timestep with shortcut and bias; `maps` are the inputs and spikes of the layers."""
    layers = network.layers
    sums = layer_sums(torch, layers[number], weights[number], maps[layers[number].source])
    projection, identity, bias = network.projection(number), layers[number].identity, network.bias(number)
    if bias is not None:
        sums = sums + weights[bias].reshape(1, -1, *[1] * (sums.dim() - 2))
    if projection is not None:
        sums = sums + layer_sums(torch, layers[projection], weights[projection], maps[layers[projection].source])
    return sums if identity is None else sums + maps[identity]


def forward_pass(torch: Any, network: Network, weights: Sequence[Any], inputs: Sequence[Any]) -> Any:
    """Return the logits [B, classes]; `inputs` has a tensor [B, C, H, W] for every timestep."""
    fire = fire_function(torch, network)
    maps = {INPUT: list(inputs)}  # by layer, a tensor for every timestep
    for number in network.main:
        spikes: list[Any] = []
        potential = None
        for step in range(network.timesteps):
            sums = all_sums(torch, network, number, weights, {layer: found[step] for layer, found in maps.items()})
            if number not in network.hidden:
                spikes.append(sums)
                continue
            first = potential is None
            potential = sums if first else sums + potential * (1 - spikes[-1]) * network.neuron.alpha
            spikes.append(fire(potential))
        maps[number] = spikes
    return torch.stack(spikes).mean(0).flatten(1)


def make_weights(torch: Any, network: Network, device: Any) -> list[Any]:
    """Return the network's seeded starting weights [M, C, R, S], binary32, as leaves that learn."""
    arrays = (array.transpose(0, 3, 1, 2).copy() for array in initial_weights(network, SEED))
    return [torch.from_numpy(array).to(device).requires_grad_() for array in arrays]


def make_step(torch: Any, device: Any, dtype: Any, network: Network, batch: int) -> Callable[[], Any]:
    """Return a function that does one training step, from copying a batch to the optimiser, and returns the loss."""
    weights = make_weights(torch, network, device)
    generator = np.random.default_rng(SEED)
    first = network.input
    count = 1 if first.coding == DIRECT else network.timesteps
    values = generator.random((count, batch, first.channels, first.height, first.width), dtype=np.float32)
    if first.coding != DIRECT:
        values = (values > 0.5).astype(np.float32)
    images = torch.from_numpy(values)
    labels = torch.from_numpy(generator.integers(0, network.classes, batch))
    if device.type == "cuda":
        images, labels = images.pin_memory(), labels.pin_memory()
    scale = LOSS_SCALE if dtype == torch.float16 else 1.0
    optimiser = torch.optim.SGD(weights, lr=LEARNING_RATE / scale, momentum=MOMENTUM, foreach=False)

    def step() -> Any:
        moved = images.to(device, non_blocking=True).to(dtype)
        targets = labels.to(device, non_blocking=True)
        inputs = [moved[step if count > 1 else 0] for step in range(network.timesteps)]
        optimiser.zero_grad(set_to_none=True)
        logits = forward_pass(torch, network, [matrix.to(dtype) for matrix in weights], inputs)
        loss = torch.nn.functional.cross_entropy(logits.float(), targets)
        (loss if scale == 1.0 else loss * scale).backward()
        optimiser.step()
        return loss

    return step


def measure_step(
    torch: Any, device: Any, dtype: Any, network: Network, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Measure a network's training step: times after a warm-up, peak memory, power."""
    step = make_step(torch, device, dtype, network, arguments.batch)
    for _ in range(arguments.warmup):
        step()
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    times: list[float] = []
    with PowerSampler(smi_index(torch, device)) as sampler:
        started = time.perf_counter()
        while len(times) < arguments.repeats or time.perf_counter() - started < arguments.seconds:
            times.append(timed(torch, device, step))
    return {
        "network": network.to_dict(),
        "neuron": NEURON,
        "batch": arguments.batch,
        "warmup": arguments.warmup,
        "step_s": times,
        "peak_memory_bytes": int(torch.cuda.max_memory_allocated(device)) if on_gpu else 1,
        "power_w": power_summary(sampler.lines),
    }


class PowerSampler:
    """Collects what nvidia-smi says of a GPU's power while the block runs; nothing without nvidia-smi."""

    def __init__(self, index: str = "0") -> None:
        self.lines: list[str] = []
        self._index = index
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> PowerSampler:
        command = ["nvidia-smi", "--query-gpu=power.draw", "--format=csv,noheader,nounits", "-i", self._index]
        try:
            self._process = subprocess.Popen(
                [*command, "-lms", str(POWER_PERIOD_MS)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        except OSError:
            return self
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        return self

    def _read(self, process: subprocess.Popen[str]) -> None:
        if process.stdout is not None:
            self.lines.extend(process.stdout)

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._reader is not None:
            self._process.terminate()
            self._reader.join()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()


def power_summary(lines: Sequence[str]) -> dict[str, float] | None:
    """Return mean, least and most of the samples in watts; None where there are none ("[N/A]", no nvidia-smi)."""
    samples: list[float] = []
    for line in lines:
        try:
            samples.append(float(line))
        except ValueError:
            continue
    if not samples:
        return None
    return {"mean": float(np.mean(samples)), "least": min(samples), "most": max(samples), "samples": len(samples)}


if __name__ == "__main__":
    sys.exit(main())
