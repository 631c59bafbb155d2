"""How fast our own simulator is: seconds and memory per simulated training step, and how both grow.

.venv/bin/python scripts/bench_simulator.py [--networks NAME ...] [--traces FILE ...] [--batch N] [--json FILE]

A trace of each network is captured once, by one step of training, and kept in the cache folder. Each simulation is a
process of its own: start, opening the trace, all three passes on the preset's banked DRAM. Afterwards (without
`--no-growth`) a small network is simulated with more and more timesteps, images and layers, and a line is fitted to the
processor time of each; R2 says how straight it is. Exit code 1 if a limit is missed or the growth is not linear.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rtl_models.errors import InputError
from tlm.config import load_config
from tlm.simulation import simulate
from workloads.network import Network, list_networks, load_network, parse_network
from workloads.trace_file import open_trace

LIMITS_S = {"cifar-cnn": 5.0, "imagenet-resnet34": 60.0}  # one image, on two quiet cores
LIMIT_BYTES = 2 << 30
GROWTH = {"timesteps": (4, 8, 16, 32), "batch": (16, 32, 64, 128), "layers": (3, 6, 12, 24)}
LEAST_R2 = 0.97


class Measured(NamedTuple):
    """One process: time on the clock, time of the processors, and the most memory it held."""

    wall_s: float
    processor_s: float
    peak_bytes: int
    output: str = ""


def main() -> int:
    """Measure, print the tables, and return 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", help="names or network files (default: all that ship)")
    parser.add_argument("--traces", nargs="+", type=Path, default=[], help="stored training steps, beside the networks")
    parser.add_argument("--batch", type=int, default=1, help="images of the captured steps (default 1)")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="changes of the configuration")
    parser.add_argument("--repeats", type=int, default=1, help="the fastest of so many simulations counts (default 1)")
    parser.add_argument("--no-growth", action="store_true", help="leave the growth out")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--simulate", type=Path, help=argparse.SUPPRESS)  # what the processes run
    parser.add_argument("--capture", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.capture:
        try:
            print(captured_step(load_network(arguments.capture), arguments.batch))
        except InputError as error:
            print(error)
            return 2
        return 0
    if arguments.simulate:
        print(json.dumps(simulate_once(arguments.simulate, tuple(arguments.set))))
        return 0
    names = list_networks() if arguments.networks is None else arguments.networks
    print(environment_line())
    print(
        f"{'network':20}{'images':>7}{'G MAC':>8}{'cycles':>12}{'simulate':>10}{'process':>9}{'clock':>8}{'memory':>9}"
    )
    rows, missed = [], []
    for name in [*names, *arguments.traces]:
        try:
            path = name if isinstance(name, Path) else capture(name, arguments.batch)
            rows.append(measure(path, tuple(arguments.set), arguments.repeats))
        except (InputError, RuntimeError) as error:
            print(f"{name!s:20} left out: {error}")
            continue
        print(describe(rows[-1]), flush=True)
        missed += misses(rows[-1])
    growth = {} if arguments.no_growth else {axis: grow(axis, values) for axis, values in GROWTH.items()}
    for axis, line in growth.items():
        print(describe_growth(axis, line), flush=True)
        if line["r2"] < LEAST_R2:
            missed.append(f"growth with {axis}: R2 {line['r2']:.3f}, limit {LEAST_R2}")
    for words in missed:
        print(f"MISSED: {words}")
    if arguments.json:
        result = {"cores": os.cpu_count(), "networks": rows, "growth": growth, "good": not missed}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if missed else 0


def capture(network: str, batch: int) -> Path:
    """Return a kept trace of the first training step of a network; RuntimeError where it cannot be trained.

    It is trained by another process: one that is started counts the memory of who starts it as its own.
    """
    command = [sys.executable, str(Path(__file__).resolve()), "--capture", network, "--batch", str(batch)]
    return Path(run_measured(command).output.splitlines()[-1])


def captured_step(network: Network, batch: int) -> Path:
    """Return the kept trace of a run of one step; one held-out image is evaluated, since nobody asks."""
    from tlm.analysis.bandwidth.captures import captured_trace  # a process that simulates does not load what trains
    from workloads.training_settings import TrainingSettings

    return captured_trace(TrainingSettings(network, 1, 1, batch=batch, evaluated=1))


def simulate_command(trace: Path, overrides: Sequence[str] = ()) -> list[str]:
    """Return the command line of a process that opens a trace and simulates it."""
    changes = ["--set", *overrides] if overrides else []
    return [sys.executable, str(Path(__file__).resolve()), "--simulate", str(trace), *changes]


def simulate_once(path: Path, overrides: tuple[str, ...]) -> dict[str, Any]:
    """Open a trace and simulate it: what was simulated, and the seconds that the simulation alone took."""
    with open_trace(path) as trace:
        network = trace.network
        started, processor = time.perf_counter(), time.process_time()
        result = simulate(trace, load_config("h2learn", overrides))
        return {
            "network": network.name,
            "timesteps": trace.timesteps,
            "batch": trace.batch,
            "layers": len(network.layers),
            "dense_macs": dense_macs(network, trace.batch),
            "cycles": result.cycles,
            "dram_bytes": sum(result.dram_read_bytes.values()) + sum(result.dram_written_bytes.values()),
            "simulate_s": time.perf_counter() - started,
            "simulate_processor_s": time.process_time() - processor,
        }


def dense_macs(network: Network, batch: int) -> int:
    """Multiply-accumulates of all three passes if nothing were skipped."""
    return 3 * network.timesteps * batch * sum(layer.macs_per_timestep() for layer in network.layers)


def run_measured(command: Sequence[str], cwd: str | None = None) -> Measured:
    """Run a process to its end and measure it, its children included; RuntimeError with its last line if it fails."""
    # Compiled modules are kept from the first run on, as compiled kernels are, even where the shell forbids it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    with subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        output = process.stdout.read() if process.stdout else ""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError("".join(output.strip().splitlines()[-1:]) or f"exit code {process.returncode}")
    unit = 1 if platform.system() == "Darwin" else 1024
    return Measured(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss * unit, output)


def measure(trace: Path, overrides: tuple[str, ...], repeats: int) -> dict[str, Any]:
    """Simulate a trace once unmeasured, so that everything is compiled, then `repeats` times; keep the fastest."""
    command = simulate_command(trace, overrides)
    runs = [run_measured(command) for _ in range(1 + repeats)][1:]
    best = min(runs, key=lambda run: run.processor_s)
    found: dict[str, Any] = json.loads(best.output.splitlines()[-1])
    found |= {"wall_s": best.wall_s, "processor_s": best.processor_s, "peak_bytes": best.peak_bytes}
    return {**found, "macs_per_s": found["dense_macs"] / best.wall_s, "load_average": os.getloadavg()[0]}


def describe(row: dict[str, Any]) -> str:
    """One network as a line of the table."""
    return (
        f"{row['network']:20}{row['batch']:7}{row['dense_macs'] / 1e9:8.1f}{row['cycles']:12,}"
        f"{row['simulate_processor_s']:8.1f} s{row['processor_s']:7.1f} s{row['wall_s']:6.1f} s"
        f"{row['peak_bytes'] / 2**30:5.2f} GiB  {row['macs_per_s'] / 1e9:.1f} G MAC/s, load {row['load_average']:.1f}"
    )


def misses(row: dict[str, Any]) -> list[str]:
    """Name the limits that a network of one image misses; most networks have only that of the memory."""
    found = []
    limit_s = LIMITS_S.get(row["network"])
    if limit_s is not None and row["batch"] == 1 and row["wall_s"] > limit_s:
        found.append(f"{row['network']}: {row['wall_s']:.1f} s, limit {limit_s:g} s")
    if row["batch"] == 1 and row["peak_bytes"] > LIMIT_BYTES:
        found.append(f"{row['network']}: {row['peak_bytes']:,} bytes, limit {LIMIT_BYTES:,}")
    return found


def grow(axis: str, values: Sequence[int]) -> dict[str, Any]:
    """Simulate a small network for all `values` of one axis, three times each, and fit a line to the fastest."""
    seconds = []
    least_of = {"timesteps": 6, "layers": 4, "batch": 16}
    for value in values:
        timesteps, layers, batch = (value if axis == name else least for name, least in least_of.items())
        path = captured_step(small_network(timesteps, layers), batch)
        with open_trace(path) as trace:
            times = []
            for _ in range(4):
                processor = time.process_time()
                simulate(trace, load_config())
                times.append(time.process_time() - processor)
        seconds.append(min(times[1:]))
    return {"values": list(values), "seconds": seconds, **fit(values, seconds)}


def small_network(timesteps: int, layers: int) -> Network:
    """A network for 8x8 digits with `layers` layers, all but the last convolutions of 32 channels."""
    convolution = {"conv": {"channels": 32, "kernel": [3, 3], "stride": 1, "padding": 1}}
    raw = {
        "name": f"growth-t{timesteps}-l{layers}",
        "input": {"shape": [8, 8, 1], "coding": "direct", "exponent": 4, "signed": False},
        "timesteps": timesteps,
        "neuron": {"alpha": 0.25, "threshold": 0.25, "interval": 0.5, "beta": 1.0},
        "initial_gain": 1.0,
        "layers": [convolution] * (layers - 1) + [{"linear": 10}],
    }
    return parse_network(raw, "growth")


def fit(values: Sequence[int], seconds: Sequence[float]) -> dict[str, float]:
    """Fit seconds = constant + slope x value; `exponent` is that of the power law between the last two values."""
    x, y = np.array(values, float), np.array(seconds)
    slope, constant = np.polyfit(x, y, 1)
    rest = y - (constant + slope * x)
    r2 = 1 - float((rest**2).sum() / ((y - y.mean()) ** 2).sum())
    exponent = float(np.log(y[-1] / y[-2]) / np.log(x[-1] / x[-2]))
    return {"constant_s": float(constant), "slope_s": float(slope), "r2": r2, "exponent": exponent}


def describe_growth(axis: str, line: dict[str, Any]) -> str:
    """One axis as a line."""
    points = ", ".join(f"{v}: {s:.2f}" for v, s in zip(line["values"], line["seconds"], strict=True))
    return (
        f"growth with {axis}: {line['constant_s']:.3f} s + {line['slope_s']:.4f} s each, R2 {line['r2']:.4f}, "
        f"exponent of the last doubling {line['exponent']:.2f} ({points} s)"
    )


def environment_line() -> str:
    """Cores and load, which every figure depends on."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
