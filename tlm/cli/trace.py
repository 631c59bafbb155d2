"""`h2learn trace info`: what a trace file holds, how large it is, and how sparse its step was."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from tlm.cli.console import output_console
from tlm.cli.examples import examples

if TYPE_CHECKING:
    from workloads.trace_file import Trace
    from workloads.trace_schema import TensorSpec

_SHARES = ("firing_rate", "active_masks", "nonzero_gradients", "zero_index_groups")


@click.group()
def trace() -> None:
    """Look into trace files."""


@trace.command(
    epilog=examples(
        "h2learn trace info h2learn-run/trace.h5",
        "h2learn trace info h2learn-run/trace.h5 --json | jq '.layers[0].sparsity'",
    )
)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def info(file: Path, as_json: bool) -> None:
    """Describe the trace in FILE: network, constants, tensors and their bytes, sparsity and counts by layer."""
    from workloads.trace_file import open_trace

    with open_trace(file) as opened:
        description = describe(opened, file)
    if as_json:
        click.echo(json.dumps(description, indent=2, allow_nan=False))
    else:
        _print(description)


def describe(opened: Trace, file: Path) -> dict[str, Any]:
    """Return what `--json` prints; numbers that are not finite become null."""
    arithmetic, optimiser = opened.arithmetic, opened.optimiser
    layers = []
    for index, layer in enumerate(opened.network.layers):
        tensors = {name: _describe_tensor(spec) for name, spec in opened.layer_tensors[index].items()}
        layers.append(
            {
                "name": layer.name,
                "input": [layer.in_height, layer.in_width, layer.in_channels],
                "output": [layer.out_height, layer.out_width, layer.out_channels],
                "kernel": [layer.kernel_height, layer.kernel_width],
                "stride": layer.stride,
                "padding": layer.padding,
                "pool": layer.pool,
                "tensors": tensors,
                "sparsity": asdict(opened.sparsity(index)),
                "nonfinite": opened.nonfinite(index),
                "subnormal": opened.subnormal(index),
            }
        )
    constants, reset = vars(opened.constants), opened.constants.reset
    constants = {name: constants[name] for name in constants if name != "reset"}
    constants |= {"drop": reset.drop} if reset.subtract else {}
    rates = {name: _finite(getattr(optimiser, name)) for name in ("learning_rate", "momentum", "weight_decay")}
    return {
        "file": str(file),
        "file_bytes": file.stat().st_size,
        "sha256": opened.digest,
        "network": opened.network.to_dict(),
        "dataset": opened.dataset,
        "training": _describe_training(opened),
        "step": opened.step,
        "seed": opened.seed,
        "batch": opened.batch,
        "timesteps": opened.timesteps,
        "loss": _finite(opened.loss),
        "skipped": opened.skipped,
        "origin": opened.origin,
        "arithmetic": asdict(arithmetic) | {"value": arithmetic.value.name, "sum": arithmetic.sum.name},
        "optimiser": rates | {"scale_log2": optimiser.scale_log2, "dynamic_scale": optimiser.dynamic_scale},
        "constants": {name: _finite(value) for name, value in constants.items()},
        "versions": opened.versions,
        "tensors": {name: _describe_tensor(spec) for name, spec in opened.step_tensors.items()},
        "layers": layers,
    }


def _describe_training(opened: Trace) -> dict[str, Any] | None:
    run = opened.training
    if run is None:
        return None
    words = {"words": run.words(opened.step), "epochs": run.epochs, "briefly_trained": run.brief}
    return asdict(run) | words | {"epochs_before": run.epochs_before(opened.step)}


def _describe_tensor(spec: TensorSpec) -> dict[str, Any]:
    storage = spec.value.name if spec.storage.value == "pattern" else spec.storage.value
    return {"shape": list(spec.shape), "storage": storage, "bytes": spec.stored_bytes}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _print(description: dict[str, Any]) -> None:
    console = output_console(soft_wrap=True)
    for name, value in _facts(description).items():
        click.echo(f"{name:<11} {value}")
    console.print(_sparsity(description["layers"]))
    console.print(_tensors(description))


def _facts(description: dict[str, Any]) -> dict[str, str]:
    arithmetic, optimiser = description["arithmetic"], description["optimiser"]
    scale = f"{'dynamic' if optimiser['dynamic_scale'] else 'static'} loss scale 2^{optimiser['scale_log2']}"
    loss = "not finite" if description["loss"] is None else f"{description['loss']:.6f}"
    return {
        "file": description["file"],
        "network": f"{description['network']['name']}, {description['timesteps']} timesteps",
        "layers": ", ".join(_shape(layer) for layer in description["layers"]),
        "data": f"{description['dataset']}, seed {description['seed']}, batch {description['batch']}",
        "step": f"{description['step']}, loss {loss}" + (", skipped" if description["skipped"] else ""),
        "training": description["training"]["words"] if description["training"] else "not recorded",
        **({"origin": description["origin"]} if description["origin"] else {}),
        "arithmetic": f"values {arithmetic['value']}, sums {arithmetic['sum']}, k {arithmetic['k']}, "
        f"{arithmetic['lanes']} lanes, micro-batch {arithmetic['micro_batch']}",
        "neuron": _neuron(description),
        "optimiser": f"learning rate {optimiser['learning_rate']:g}, momentum {optimiser['momentum']:g}, "
        f"weight decay {optimiser['weight_decay']:g}, {scale}",
        "written by": ", ".join(f"{name} {version}" for name, version in description["versions"].items()),
        "size": f"{description['file_bytes']:,} bytes",
        "sha256": description["sha256"],
    }


def _neuron(description: dict[str, Any]) -> str:
    """Constants, and where it is not the default how the neuron resets."""
    told = [f"{name} {value:g}" for name, value in description["constants"].items()]
    neuron = description["network"]["neuron"]
    told += [f"reset {neuron['reset']}"] if "reset" in neuron else []
    return ", ".join(told + ([] if neuron.get("reset_gradient", True) else ["reset without a gradient"]))


def _shape(layer: dict[str, Any]) -> str:
    return f"{layer['name']} {'x'.join(map(str, layer['output']))}"


def _sparsity(layers: list[dict[str, Any]]) -> Table:
    table = Table(title="sparsity and counts by layer")
    table.add_column("layer")
    for name in (*_SHARES, "nonfinite", "subnormal"):
        table.add_column(name.replace("_", " "), justify="right", overflow="fold")
    for layer in layers:
        shares = (layer["sparsity"][name] for name in _SHARES)
        counts = (f"{sum(layer[name].values()):,}" for name in ("nonfinite", "subnormal"))
        table.add_row(layer["name"], *("-" if share is None else f"{share:.1%}" for share in shares), *counts)
    return table


def _tensors(description: dict[str, Any]) -> Table:
    table = Table(title="tensors")
    for name in ("layer", "tensor", "shape", "storage"):
        table.add_column(name)
    table.add_column("bytes", justify="right")
    owners = [("", description["tensors"])]
    owners += [(layer["name"], layer["tensors"]) for layer in description["layers"]]
    for owner, tensors in owners:
        for name, tensor in tensors.items():
            shape = " x ".join(map(str, tensor["shape"]))
            table.add_row(owner, name.replace("_", " "), shape, tensor["storage"], f"{tensor['bytes']:,}")
    return table
