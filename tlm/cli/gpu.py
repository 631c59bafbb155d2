"""`h2learn gpu`: what one training step would take on a GPU, and how far the model is from public measurements."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtl_models.errors import InputError
from tlm.cli.completion import complete_devices, complete_networks
from tlm.cli.examples import examples

if TYPE_CHECKING:
    from tlm.analysis.gpu.measured import Measurement
    from tlm.analysis.gpu.model import Estimate

DEFAULT_DEVICE = "V100"
DEFAULT_PRECISION = "binary32"
DEFAULT_BATCH = 64  # what the H2Learn authors' public GPU code trains with


@click.command(
    epilog=examples(
        "h2learn gpu cifar-cnn --device A100 --batch 128",
        "h2learn gpu --check",
    )
)
@click.argument("network", metavar="[NETWORK]", required=False, shell_complete=complete_networks)
@click.option(
    "--device",
    metavar="NAME",
    shell_complete=complete_devices,
    help="V100, A100, RTX3090 or H200.  [default: V100, or the measured one]",
)
@click.option("--batch", type=int, help="Samples a step.  [default: 64]")
@click.option("--timesteps", type=int, help="Timesteps, instead of the network's.")
@click.option(
    "--precision",
    metavar="NAME",
    help="binary32, tf32 or tensor16 (tensor cores).  [default: binary32, or the measured one]",
)
@click.option("--tensor-cores", is_flag=True, help="The same as --precision tensor16.")
@click.option("--neuron", metavar="NAME", help="Element-wise kernels: plain, fused, ...  [default: the network's]")
@click.option(
    "--measured",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Use the rates of a file made by scripts/measure_gpu.py, and show the model's error on its steps.",
)
@click.option("--check", is_flag=True, help="Compare the model with public measurements; needs no NETWORK.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def gpu(
    network: str | None,
    device: str | None,
    batch: int | None,
    timesteps: int | None,
    precision: str | None,
    tensor_cores: bool,
    neuron: str | None,
    measured: Path | None,
    check: bool,
    as_json: bool,
) -> None:
    """Estimate a BPTT training step of NETWORK on a GPU: time by kind of kernel, memory, energy, each with its range.

    NETWORK is a network (h2learn list networks), a list of layers that comes with the model (resnet18-gated-lif,
    resnet19-tet, resnet50, vgg16) or a .yaml file of either kind. docs/gpu_baseline.md has formulas and constants.
    """
    if check:
        given: dict[str, object] = {
            "--batch": batch,
            "--timesteps": timesteps,
            "--device": device,
            "--precision": precision,
        }
        given |= {
            "NETWORK": network,
            "--neuron": neuron,
            "--measured": measured,
            "--tensor-cores": tensor_cores or None,
        }
        for name, value in given.items():
            if value is not None:
                raise InputError("--check compares what the reports measured", name, str(value), "none of it")
        _check(as_json)
        return
    if network is None:
        raise InputError("missing network", "gpu", None, "a network or --check")
    if tensor_cores and precision not in (None, "tensor16"):
        raise InputError("--tensor-cores is --precision tensor16", "precision", precision, "one of the two")
    precision = "tensor16" if tensor_cores else precision
    measurement = _read(measured, device, precision)
    result = _estimate(network, device, batch, timesteps, precision, neuron, measurement)
    _show(result, measurement, as_json)


def _read(path: Path | None, device: str | None, precision: str | None) -> Measurement | None:
    """Read a measured file, and refuse one of another device or precision than asked for."""
    from tlm.analysis.gpu.device import load_device
    from tlm.analysis.gpu.measured import read_measurement

    if path is None:
        return None
    measurement = read_measurement(path)
    if device is not None and load_device(device).key != measurement.device.key:
        raise InputError("the measurement is of another device", "device", device, measurement.device.key)
    if precision not in (None, measurement.precision):
        raise InputError("the measurement is of another precision", "precision", precision, measurement.precision)
    return measurement


def _estimate(
    name: str,
    device: str | None,
    batch: int | None,
    timesteps: int | None,
    precision: str | None,
    neuron: str | None,
    measurement: Measurement | None,
) -> Estimate:
    from tlm.analysis.gpu.device import load_device
    from tlm.analysis.gpu.layers import load_layers
    from tlm.analysis.gpu.measured import fitted_constants
    from tlm.analysis.gpu.model import estimate

    network = load_layers(name, neuron, timesteps)
    batch = DEFAULT_BATCH if batch is None else batch
    if measurement is None:
        return estimate(network, load_device(device or DEFAULT_DEVICE), batch, precision or DEFAULT_PRECISION)
    return estimate(network, measurement.device, batch, measurement.precision, fitted_constants(measurement))


def _show(result: Estimate, measurement: Measurement | None, as_json: bool) -> None:
    from tlm.analysis.gpu import measured
    from tlm.analysis.gpu.model import to_dict

    errors = [] if measurement is None else measured.step_errors(measurement)
    if as_json:
        content: dict[str, Any] = to_dict(result)
        content["measured_steps"] = [measured.to_dict(error) for error in errors]
        click.echo(json.dumps(content, indent=1))
        return
    from tlm.cli.gpu_tables import print_errors, print_estimate

    print_estimate(result)
    if errors:
        print_errors(errors)


def _check(as_json: bool) -> None:
    from tlm.analysis.gpu.public import compare_all, to_dict

    comparisons = compare_all()
    if as_json:
        click.echo(json.dumps({"comparisons": [to_dict(comparison) for comparison in comparisons]}, indent=1))
        return
    from tlm.cli.gpu_tables import print_comparisons

    print_comparisons(comparisons)
