"""A network as SATA_Sim takes it, the energy model of the accelerator SATA: layers, and how sparse a trace's step is.

SATA_Sim (R. Yin et al., "SATA: Sparsity-Aware Training Accelerator for Spiking Neural Networks", IEEE TCAD 2022;
github.com/RuokaiYin/SATA_Sim) has two programs, and each its own description of a network:

* training (`training_energy_cal/get_workload.py`): layers by name with `type: 2dconv` and sizes H, C, R, K, E, or
  `type: out_linear`; three sparsities, for the whole network, are arguments;
* inference (`inference-energy-cal/energy-cal.py`): `General` with timesteps and one sparsity, `Layers` with the columns
  of SCALE-Sim; a layer is told by its name, ``Conv`` or ``FC``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from rtl_models.errors import InputError
from workloads.atomic import replacing
from workloads.exporters.folder import make_folder
from workloads.network import CONSTANT, Layer, Network

TRAINING, INFERENCE, SPARSITY = "network.yaml", "workload.yaml", "sparsity.yaml"
_ASSUMED_PADDING = 1  # of every convolution in energy-cal.py

Row = Mapping[str, Any]


def write_sata_sim(network: Network, folder: Path, rows: Sequence[Row] = ()) -> tuple[Path, ...]:
    """Write the layers for both programs of SATA_Sim, and the sparsities, into `folder`.

    rows: a layer's sparsity each, of a trace of `network`; without them everything counts as dense. Raises InputError
    for a convolution that the program for inference cannot be told, and a folder that cannot be written.
    """
    make_folder(folder)
    contents = {
        TRAINING: training_layers(network),
        INFERENCE: {
            "General": {"timestep": network.timesteps, "sparsity": _zeros(rows, "input_nonzero", _forward_macs(rows))},
            "Layers": inference_layers(network),
        },
        SPARSITY: {
            "T": network.timesteps,
            **training_sparsities(network, rows),
            "layers": {row["name"]: _of_layer(row) for row in rows},
        },
    }
    for name, content in contents.items():
        with replacing(folder / name) as temporary:
            temporary.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return tuple(folder / name for name in contents)


def training_layers(network: Network) -> dict[str, dict[str, Any]]:
    """Return the layers for the program for training, by name.

    A hidden linear layer is a 1 x 1 convolution of one position: the program's own `linear` knows no sparsity and
    forgets the layers before it. Planes of outputs are those in front of pooling, which all multiplications belong to.
    """
    return {layer.name: _training_layer(layer, layer is network.layers[-1]) for layer in _weighted(network)}


def _training_layer(layer: Layer, last: bool) -> dict[str, Any]:
    if last:
        return {"type": "out_linear", "in": layer.elements, "out": layer.out_channels}
    if layer.conv_positions == 1:
        one = {"H_h": 1, "H_w": 1, "C": layer.elements, "R_h": 1, "R_w": 1, "K": layer.out_channels}
        return {"type": "2dconv", **one, "E_h": 1, "E_w": 1}
    return {
        "type": "2dconv",
        "H_h": layer.in_height,
        "H_w": layer.in_width,
        "C": layer.in_channels,
        "R_h": layer.kernel_height,
        "R_w": layer.kernel_width,
        "K": layer.out_channels,
        "E_h": layer.conv_height,
        "E_w": layer.conv_width,
    }


def training_sparsities(network: Network, rows: Sequence[Row]) -> dict[str, float]:
    """Return `sp_s`, `sp_du` and `sp_df`: shares of zeros in spikes, gradients and masks, one for all layers.

    Each is a mean over layers but the last, which the program passes over, by what the program multiplies it with: its
    totals are the sums of what its formulas give layer by layer.
    """
    inner, layers = rows[:-1], training_layers(network)
    neurons = [row["out_height"] * row["out_width"] * row["out_channels"] for row in inner]
    return {
        "sp_s": _zeros(inner, "input_nonzero", _forward_macs(inner)),
        "sp_du": _zeros(inner, "nonzero_gradients", [_backward_macs(layers[row["name"]]) for row in inner]),
        "sp_df": _zeros(inner, "active_masks", neurons),
    }


def inference_layers(network: Network) -> list[dict[str, Any]]:
    """Return the layers for the program for inference, which pads every convolution by 1.

    A map is told 2 (padding - 1) larger than it is, so that the outputs are counted right; raises InputError where
    that leaves less than the kernel. Layers of one position are ``FC``.
    """
    layers = []
    for layer in _weighted(network):
        if layer.conv_positions == 1:
            name, height, width, rows, columns, channels, stride = f"FC_{layer.name}", 1, 1, 1, 1, layer.elements, 1
        else:
            more = 2 * (layer.padding - _ASSUMED_PADDING)
            name, height, width = f"Conv_{layer.name}", layer.in_height + more, layer.in_width + more
            rows, columns, channels = layer.kernel_height, layer.kernel_width, layer.in_channels
            stride = layer.stride
            if height < rows or width < columns:
                what = "SATA_Sim pads every convolution by 1, which this map is too small for"
                raise InputError(what, f"{network.name}: {layer.name}", f"{layer.in_height} x {layer.in_width}")
        attributes = {
            "IFMAP Height": height,
            "IFMAP Width": width,
            "Filter Height": rows,
            "Filter Width": columns,
            "Channels": channels,
            "Num Filter": layer.out_channels,
            "Strides": stride,
        }
        layers.append({"name": name, "attributes": attributes})
    return layers


def _weighted(network: Network) -> list[Layer]:
    return [layer for layer in network.layers if layer.source != CONSTANT]


def _of_layer(row: Row) -> dict[str, float]:
    names = {"sp_s": "input_nonzero", "sp_du": "nonzero_gradients", "sp_df": "active_masks"}
    return {key: 1 - row[name] for key, name in names.items() if row[name] is not None}


def _forward_macs(rows: Sequence[Row]) -> list[int]:
    return [row["dense_macs"] for row in rows]


def _backward_macs(keys: Mapping[str, Any]) -> int:
    """SATA_Sim's count: every input position meets the whole kernel, whatever the stride."""
    sizes: list[int] = [keys[key] for key in ("C", "R_h", "R_w", "K", "H_h", "H_w")]
    return math.prod(sizes)


def _zeros(rows: Sequence[Row], name: str, weights: Sequence[int]) -> float:
    """Return 1 less the mean of the shares `name` by weight, over layers that have one; 0 where there is none."""
    weighed = [(row[name], weight) for row, weight in zip(rows, weights, strict=True) if row[name] is not None]
    total = sum(weight for _, weight in weighed)
    return 1 - sum(share * weight for share, weight in weighed) / total if total else 0.0
