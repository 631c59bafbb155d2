"""The placement as shown: every tensor, every buffer to the byte, and what is staged where."""

from __future__ import annotations

import io

from rich.console import Console

from tests.end_to_end.steps import BATCH, BUFFERS, make_network, small_buffers, tiny_config
from tlm.report.placement import placement_data, print_placement
from tlm.schedule.placement import place
from workloads.network import INPUT

STEP = ("direct", "conv", 9)
NETWORK = make_network(*STEP)


def shown(*overrides: str) -> tuple[dict, str]:  # type: ignore[type-arg]
    data = placement_data(place(NETWORK, BATCH, tiny_config(*overrides)), NETWORK)
    console = Console(file=io.StringIO(), width=120)
    print_placement(data, console)
    return data, console.file.getvalue()  # type: ignore[attr-defined]


def test_every_tensor_has_its_place() -> None:
    placement = place(NETWORK, BATCH, tiny_config())
    data, _ = shown()
    assert {(row["tensor"], row["layer"]) for row in data["tensors"]} == placement.tensors.keys()
    for row in data["tensors"]:
        key = (row["tensor"], row["layer"])
        assert (row["place"] == "DRAM") is (key not in placement.resident)
        assert row["dram_address"] == placement.addresses[key]
    first = data["tensors"][0]
    assert (first["layer"], first["layer_name"], first["copies"]) == (INPUT, "input", 2)


def test_only_the_optimiser_stages_where_everything_fits() -> None:
    data, _ = shown()
    assert [row["window"] for row in data["staging"]] == ["optimiser"]


def test_all_readers_stage_where_nothing_fits() -> None:
    data, text = shown(*small_buffers(STEP, *BUFFERS))
    assert len(data["staging"]) == 12
    for name, use in data["buffers"].items():
        rows = [row for row in data["staging"] if row["buffer"] == name]
        assert use["staging_bytes"] == use["used_bytes"] == use["capacity_bytes"]
        assert use["staging_bytes"] == sum(row["size_bytes"] * row["readers"] for row in rows)
    assert "staged in gradients: update gradients, 3 x " in text


def test_the_tables_name_places_and_sizes() -> None:
    data, text = shown("buffers.weights_bytes=700")
    assert "weight gradients" in text
    assert f"DRAM: {data['dram_bytes']:,} bytes" in text
    line = next(line for line in text.splitlines() if "weights" in line and "1 conv2" in line)
    assert [part.strip() for part in line.strip("│ ").split("│")] == [
        "weights", "1 conv2", "360", "1", "DRAM", hex(place(NETWORK, BATCH, tiny_config()).addresses["weights", 1])
    ]  # fmt: skip
