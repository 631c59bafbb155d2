"""Side by side with SCALE-Sim 3.0.0: its forward pass of cifar-cnn against our whole training step, in one run.

.venv/bin/python scripts/bench_scalesim.py [--install] [--arrays 128 32] [--trace STEP.h5] [--json FILE]

SCALE-Sim walks the convolutions and linear layers of one image and one timestep, without trace files, on an output
stationary array of N x N. Ours is `simulate` of a stored training step of one image, T = 6, all three passes with the
sparsity of the trace, banked DRAM; the trace is captured once and kept. Each runs in a process of its own, one after
the other. SCALE-Sim lives in an environment of its own, which `--install` makes (it needs NumPy below 2.4); where it is
missing, or cannot be installed, the program says so in one line and ends with exit code 2.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench_simulator import Measured, capture, environment_line, run_measured, simulate_command

from rtl_models.simulators.build import cache_folder
from workloads.exporters.scale_sim import CONFIG, LAYOUT, TOPOLOGY, SystolicArray, write_scale_sim
from workloads.network import Network, load_network

NETWORK = "cifar-cnn"
REQUIREMENTS = ("scalesim==3.0.0", "numpy<2.4", "setuptools<81")
AIM = 10.0  # times less wall time than SCALE-Sim's single pass

_PROGRAM = """
import sys
from scalesim.scale_sim import scalesim
config, topology, layout, out = sys.argv[1:]
scalesim(save_disk_space=True, verbose=False, config=config, topology=topology, layout=layout).run_scale(top_path=out)
"""


def main() -> int:
    """Run both, print the table, and return 1 if the ratio misses its aim, 2 where SCALE-Sim is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true", help="make SCALE-Sim's own environment if it is missing")
    parser.add_argument("--arrays", type=int, nargs="+", default=[128, 32], help="rows and columns (default 128 32)")
    parser.add_argument("--trace", type=Path, help="a training step of cifar-cnn, one image (default: captured, kept)")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    try:
        python = scalesim_python(arguments.install)
    except RuntimeError as error:
        print(f"bench_scalesim: {error}", file=sys.stderr)
        return 2
    trace = arguments.trace or capture(NETWORK, 1)
    run_measured(simulate_command(trace))  # compiles what is not compiled yet
    load = os.getloadavg()[0]
    print(environment_line())
    ours = run_measured(simulate_command(trace))
    print(row("ours, three passes, T = 6", ours), flush=True)
    theirs = {}
    for array in arguments.arrays:
        theirs[array] = run_scalesim(python, load_network(NETWORK), array)
        print(row(f"SCALE-Sim, forward, {array} x {array}", theirs[array], ours), flush=True)
    ratio = min(measured.wall_s for measured in theirs.values()) / ours.wall_s
    print(f"least ratio of wall time: {ratio:.1f} (aim {AIM:g})")
    if arguments.json:
        result = {
            "load_average_before": load,
            "ours": figures_of(ours),
            "scalesim": {str(array): figures_of(measured) for array, measured in theirs.items()},
            "least_ratio": ratio,
            "good": ratio >= AIM,
        }
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if ratio >= AIM else 1


def row(name: str, measured: Measured, ours: Measured | None = None) -> str:
    """One line of the table."""
    ratio = ""
    if ours is not None:
        ratio = f"  {measured.wall_s / ours.wall_s:6.1f} x {measured.processor_s / ours.processor_s:6.1f} x"
    figures = f"{measured.wall_s:7.1f} s wall {measured.processor_s:7.1f} s processor"
    return f"{name:34}{figures} {measured.peak_bytes / 2**30:6.2f} GiB{ratio}"


def figures_of(measured: Measured) -> dict[str, Any]:
    """The measurement without what the process printed."""
    return {"wall_s": measured.wall_s, "processor_s": measured.processor_s, "peak_bytes": measured.peak_bytes}


def scalesim_python(install: bool) -> Path:
    """Return the interpreter that has SCALE-Sim; RuntimeError, in one line, where there is none."""
    folder = cache_folder() / "scalesim"
    python = folder / "bin" / "python"
    if not python.exists():
        if not install:
            raise RuntimeError("SCALE-Sim is not installed; `--install` makes an environment of its own for it")
        steps = ([sys.executable, "-m", "venv", str(folder)], [str(python), "-m", "pip", "install", *REQUIREMENTS])
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, check=False)
            if done.returncode:
                python.unlink(missing_ok=True)
                last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
                raise RuntimeError(f"SCALE-Sim cannot be installed ({''.join(last)})")
    found = subprocess.run([python, "-c", "import scalesim.scale_sim"], capture_output=True, text=True, check=False)
    if found.returncode:
        last = found.stderr.strip().splitlines()[-1:]
        raise RuntimeError(f"SCALE-Sim in {folder} does not start ({''.join(last)}); remove the folder and --install")
    return python


def run_scalesim(python: Path, network: Network, array: int) -> Measured:
    """Run SCALE-Sim's forward pass on an array of `array` x `array`, no trace files."""
    with tempfile.TemporaryDirectory() as folder:
        write_scale_sim(network, Path(folder), SystolicArray(rows=array, columns=array))
        Path(folder, "run.py").write_text(_PROGRAM, encoding="utf-8")
        paths = [str(Path(folder, name)) for name in ("run.py", CONFIG, TOPOLOGY, LAYOUT)]
        return run_measured([str(python), *paths, folder], cwd=folder)


if __name__ == "__main__":
    sys.exit(main())
