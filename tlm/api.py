"""What a script or a notebook calls, one function a question; `tlm` itself exports these names (docs/python.md).

A trace is a path or an open `Trace`. A machine is a `Config`, the name of a preset or the path of a YAML file, the
latter two with ``key=value`` overrides as ``h2learn --set`` takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path

from rtl_models.errors import InputError
from tlm.analysis.area import chip_area as area_model
from tlm.analysis.area.chip_area import ChipArea
from tlm.analysis.energy.step_energy import StepEnergy, energy_of_trace
from tlm.analysis.gpu import model as gpu_model
from tlm.analysis.gpu.device import load_device
from tlm.analysis.gpu.layers import PLAIN_NEURON, from_network, load_layers
from tlm.analysis.gpu.model import Estimate
from tlm.config import Config, load_config
from tlm.cosim import run as cosim_run
from tlm.cosim.hardware import UnitMaker
from tlm.cosim.result import CosimResult
from tlm.simulated_step import SimulatedStep, simulate_step
from tlm.trace_config import DEFAULT_PRESET, check_fits, config_for_trace
from workloads import trainer
from workloads.network import Network, load_network
from workloads.trace_file import Trace, open_trace
from workloads.trainer import TrainingResult
from workloads.training_settings import TrainingSettings, check_whole

Machine = Config | str | Path


def train(
    network: Network | str | Path,
    trace: str | Path,
    config: Machine = DEFAULT_PRESET,
    overrides: tuple[str, ...] = (),
    *,
    epochs: int = 1,
    steps: int | None = None,
    batch: int = 32,
    seed: int = 0,
) -> TrainingResult:
    """Train `network` in the arithmetic of `config`, bit-exact, and write its last step to the file `trace`.

    `network` may be the name of one that ships or the path of a YAML file; it is trained on the data set that comes
    with the package and has the shape of its input, for `steps` steps of `batch` images, or `epochs` passes over it.
    The same arguments give the same bits. Checkpoints, stages and other data sets: `workloads.trainer`.

    Raises InputError for an unknown network or preset, a network that no data set fits, numbers out of range, and a
    file that cannot be written.
    """
    chosen = network if isinstance(network, Network) else load_network(str(network))
    arithmetic = _machine(config, overrides).contract
    check_whole("epochs", epochs, 1)
    once = TrainingSettings(chosen, 1, 1, arithmetic, batch=batch, seed=seed)
    length = epochs * once.steps_per_epoch if steps is None else steps
    settings = TrainingSettings(chosen, length, length, arithmetic, batch=batch, seed=seed)
    return trainer.train(settings, Path(trace))


def simulate(
    trace: Trace | str | Path,
    config: Machine | None = None,
    overrides: tuple[str, ...] = (),
    transactions: str | Path | None = None,
) -> SimulatedStep:
    """Simulate the training step in `trace` on a machine, and return where its time and its bytes went.

    Without `config` it is the preset `h2learn` in the trace's own arithmetic. `transactions` names a Parquet file to
    write, with every DRAM transaction.

    Raises InputError for a file that is not a sound trace, a configuration that cannot be or is of another arithmetic,
    and buffers that cannot hold one tile; `tlm.kernel.Deadlock` if the pipeline cannot go on with them.
    """
    with _opened(trace) as opened:
        chosen = _machine_for(opened, config, overrides)
        return simulate_step(opened, chosen, None if transactions is None else Path(transactions))


def cosimulate(
    trace: str | Path,
    config: Machine | None = None,
    overrides: tuple[str, ...] = (),
    *,
    mode: str = "sample",
    simulator: str = "auto",
    sample_seed: int = 0,
    out: str | Path | None = None,
    units: Mapping[str, UnitMaker] | None = None,
    verilog: Mapping[str, str | Path] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CosimResult:
    """Run tiles of the step in the file `trace` through the RTL, and compare every bit and every cycle.

    `mode` ``sample`` takes tiles of every engine and layer, drawn by `sample_seed`, ``all`` every tile; `simulator` is
    ``verilator``, ``myhdl``, or ``auto`` for both. The first mismatch ends the run and is written as a file into the
    folder `out`; `progress` is called with cycles done and in all. `CosimResult.passed` is the verdict. `units` and
    `verilog` put hardware of one's own in the place of ours, by the unit's name (docs/cosim.md).

    Raises InputError for a file that is not a sound trace, a configuration of another arithmetic or without RTL, an
    unknown mode or simulator, and a simulator that is missing.
    """
    with open_trace(trace) as opened:
        chosen = _machine_for(opened, config, overrides)
    return cosim_run.cosimulate(trace, chosen, mode, simulator, sample_seed, progress, out, units, verilog)


def chip_area(config: Machine = DEFAULT_PRESET, overrides: tuple[str, ...] = ()) -> ChipArea:
    """Return the area of a machine at 28 nm, component by component, each with its range (docs/area.md).

    Raises InputError for a configuration that cannot be, and for number formats whose units were not synthesised.
    """
    return area_model.chip_area(_machine(config, overrides))


def step_energy(
    trace: Trace | str | Path, config: Machine | None = None, overrides: tuple[str, ...] = ()
) -> StepEnergy:
    """Simulate the step in `trace` and return its energy at 28 nm, line by line, each with its range (docs/energy.md).

    Raises InputError as `simulate` and `chip_area` do.
    """
    with _opened(trace) as opened:
        _, energy = energy_of_trace(opened, _machine_for(opened, config, overrides))
        return energy


def gpu_step(
    network: Network | str | Path,
    device: str = "V100",
    batch: int = 64,
    precision: str = "binary32",
    neuron: str | None = None,
) -> Estimate:
    """Estimate a training step of `network` on a GPU, kernel by kernel, with its range (docs/gpu_baseline.md).

    `precision` is ``binary32``, ``tf32`` or ``tensor16``; `neuron` names the element-wise kernels, such as ``fused``
    (None: plain, or those of the list of layers).

    Raises InputError for an unknown network, device or neuron, a precision that the device lacks, and a batch below 1.
    """
    if isinstance(network, Network):
        layers = from_network(network, neuron or PLAIN_NEURON)
    else:
        layers = load_layers(str(network), neuron)
    return gpu_model.estimate(layers, load_device(device), batch, precision)


def _opened(trace: Trace | str | Path) -> Trace | nullcontext[Trace]:
    """A context that closes what was opened here, and leaves open what the caller opened."""
    return nullcontext(trace) if isinstance(trace, Trace) else open_trace(trace)


def _machine(config: Machine, overrides: tuple[str, ...]) -> Config:
    if not isinstance(config, Config):
        return load_config(str(config), tuple(overrides))
    if overrides:
        raise InputError("overrides go with a preset or a file", "overrides", overrides, "none beside a Config")
    return config


def _machine_for(trace: Trace, config: Machine | None, overrides: tuple[str, ...]) -> Config:
    """The machine to work on `trace` with: without a name the default one, in the trace's arithmetic."""
    if not isinstance(config, Config):
        return config_for_trace(trace.arithmetic, None if config is None else str(config), tuple(overrides))
    chosen = _machine(config, overrides)
    check_fits(chosen, trace)
    return chosen
