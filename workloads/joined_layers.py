"""What joins a layer's sums, as a network file states it: shortcuts and biases, as layers before the one they join."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rtl_models.errors import InputError
from workloads.keys import table, whole
from workloads.layer import CONSTANT, Layer


def shortcut_parts(raw: Any, layer: Layer, layers: list[Layer], places: list[int], where: str) -> list[Layer]:
    """Return a layer with what its entry says of a shortcut, behind its projection if there is one.

    layers: those before it; places: where the layers of the file stand among them. Raises InputError for a mistake.
    """
    if "conv" not in raw or "shortcut" not in raw["conv"]:
        return [layer]
    where = f"{where}: conv: shortcut"
    if not layer.spiking:
        raise InputError("the last layer cannot have a shortcut", where, allowed="a layer with neurons")
    if len(places) == 1:
        raise InputError("the first layer cannot have a shortcut", where, allowed="a layer after the first")
    keys = table(raw["conv"]["shortcut"], where, {"from", "projection"})
    number = whole(keys.get("from"), f"{where}: from", 1, len(places) - 1)
    projection = keys.get("projection", False)
    if not isinstance(projection, bool):
        raise InputError("wrong value", f"{where}: projection", projection, "true, false")
    below = layers[places[number]]
    came = (below.out_height, below.out_width, below.out_channels)
    plane = (layer.out_height, layer.out_width)
    if not projection:
        if came != (*plane, layer.out_channels):
            wanted = f"{[*plane, layer.out_channels]}, this layer's output, or projection: true"
            raise InputError(f"layer {number} has another shape", where, list(came), wanted)
        return [replace(layer, identity=places[number])]
    stride = came[0] // plane[0]
    if not stride or (plane[0] * stride, plane[1] * stride) != came[:2]:
        wanted = f"a whole multiple of {list(plane)}, this layer's output, the same in both directions"
        raise InputError(f"no stride takes layer {number} to this layer's plane", where, list(came[:2]), wanted)
    name = f"projection{len(places)}"
    joins = len(layers) + 1
    shape = (*came, layer.out_channels, 1, 1, stride, 0, False, False)
    return [Layer(name, *shape, source=places[number], joins=joins), layer]


def bias_parts(raw: Any, parts: list[Layer], number: int, before: int, where: str) -> list[Layer]:
    """Return a layer and what joins it, behind its bias if its entry has one.

    number: its place in the file, from 1; before: how many layers come before it. Raises InputError for a mistake.
    """
    (content,) = raw.values()
    bias = content.get("bias", False) if isinstance(content, dict) else False
    if not isinstance(bias, bool):
        raise InputError("wrong value", f"{where}: bias", bias, "true, false")
    if not bias:
        return parts
    layer = parts[-1]
    if number == 1:
        raise InputError("the first layer cannot have a bias", where, allowed="a constant channel of the input")
    shape = (layer.out_height, layer.out_width, 1, layer.out_channels, 1, 1, 1, 0, layer.fully_connected, False)
    joins = before + len(parts)
    moved = [part if part.joins is None else replace(part, joins=joins) for part in parts]
    return [Layer(f"bias{number}", *shape, source=CONSTANT, joins=joins), *moved]
