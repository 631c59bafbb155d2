"""Where every tensor of a step lives, and what each buffer holds: as plain data and as tables."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from tlm.schedule.placement import Placement, Tensor
from workloads.network import INPUT, Network


def placement_data(placement: Placement, network: Network) -> dict[str, Any]:
    """Return tensors (bytes of one copy), staging windows (bytes of one reader) and buffers as plain data."""
    tensors = [
        {
            "tensor": tensor.stream,
            "layer": tensor.layer,
            "layer_name": "input" if tensor.layer == INPUT else network.layers[tensor.layer].name,
            "size_bytes": tensor.size_bytes,
            "copies": tensor.copies,
            "place": _place(placement, tensor),
            "dram_address": placement.addresses[key],
        }
        for key, tensor in placement.tensors.items()
    ]
    staging = [
        {"window": w.name, "buffer": w.buffer, "size_bytes": w.size_bytes, "readers": w.count}
        for w in placement.windows.values()
        if placement.staging_bytes[w.buffer] and (w.always or _stages_all(placement, w.buffer))
    ]
    buffers = {
        name: {
            "capacity_bytes": capacity,
            "used_bytes": placement.used_bytes[name],
            "staging_bytes": placement.staging_bytes[name],
        }
        for name, capacity in placement.capacity_bytes.items()
    }
    return {"tensors": tensors, "staging": staging, "buffers": buffers, "dram_bytes": placement.dram_bytes}


def print_placement(data: dict[str, Any], console: Console) -> None:
    """Print what `placement_data` returns: a row for each tensor, then what fills the buffers."""
    tensors = Table(title="Tensors", title_justify="left")
    for column in ("tensor", "layer", "bytes", "copies", "place", "DRAM address"):
        tensors.add_column(column, justify="right" if column in ("bytes", "copies", "DRAM address") else "left")
    for row in data["tensors"]:
        name = row["layer_name"] if row["layer"] == INPUT else f"{row['layer']} {row['layer_name']}"
        address = f"{row['dram_address']:#x}"
        tensors.add_row(
            _words(row["tensor"]), name, f"{row['size_bytes']:,}", str(row["copies"]), _words(row["place"]), address
        )
    console.print(tensors)
    buffers = Table(title="Buffers, in bytes", title_justify="left")
    for column in ("buffer", "capacity", "tensors", "staging", "free"):
        buffers.add_column(column, justify="left" if column == "buffer" else "right")
    for name, use in data["buffers"].items():
        numbers = (
            use["capacity_bytes"],
            use["used_bytes"] - use["staging_bytes"],
            use["staging_bytes"],
            use["capacity_bytes"] - use["used_bytes"],
        )
        buffers.add_row(_words(name), *(f"{number:,}" for number in numbers))
    console.print(buffers)
    for row in data["staging"]:
        readers = f"{row['readers']} x " if row["readers"] > 1 else ""
        console.print(
            f"staged in {_words(row['buffer'])}: {_words(row['window'])}, {readers}{row['size_bytes']:,} bytes"
        )
    console.print(f"DRAM: {data['dram_bytes']:,} bytes")


def _place(placement: Placement, tensor: Tensor) -> str:
    """The tensor's buffer, DRAM, or that it is not kept at all."""
    if tensor.buffer == "potentials" and tensor.layer in placement.recomputed:
        return "recomputed"
    return tensor.buffer if placement.is_resident(tensor.stream, tensor.layer) else "DRAM"


def _stages_all(placement: Placement, buffer: str) -> bool:
    """Whether more is staged in a buffer than what is always needed."""
    always = sum(w.total_bytes for w in placement.windows.values() if w.buffer == buffer and w.always)
    return placement.staging_bytes[buffer] > always


def _words(name: str) -> str:
    return name.replace("_", " ")
