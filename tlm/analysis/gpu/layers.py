"""A network as a GPU sees it: a plain list of layer shapes, from a network of ours or from a data file.

The file is a list, not a graph: time and memory add up over layers, so residual branches need no description beyond
their shapes. Shapes are [channels, height, width], or [features].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from tlm.analysis.gpu.data import package_yaml, read_yaml, table, whole
from tlm.analysis.gpu.implementation import NORMS, implementation_names
from workloads.network import CONSTANT, Network, list_networks, load_network, parse_network

CONV, FC, SPIKE, NORM, POOL, ADD = KINDS = ("conv", "fc", "spike", "norm", "pool", "add")
PLAIN_NEURON = "plain"
_FOLDER = "networks"
_SUFFIXES = (".yaml", ".yml")
_CONV_KEYS = ("kernel", "stride", "padding")


@dataclass(frozen=True)
class LayerShape:
    """One layer, `count` times: its shapes, and for a convolution its kernel and stride."""

    name: str
    kind: str
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    count: int = 1
    input_gradient: bool = True  # False for the first layer: nothing below it learns

    @property
    def in_elements(self) -> int:
        """Values that one timestep of one sample brings in."""
        return _product(self.in_shape)

    @property
    def out_elements(self) -> int:
        """Values that one timestep of one sample gives."""
        return _product(self.out_shape)

    @property
    def weights(self) -> int:
        """Weights of a convolution or a fully connected layer; a norm has two a channel, the others none."""
        if self.kind == FC:
            return self.in_elements * self.out_elements
        if self.kind == CONV:
            return self.out_shape[0] * self.in_shape[0] * self.kernel[0] * self.kernel[1]
        return 2 * self.out_shape[0] if self.kind == NORM else 0

    @property
    def macs(self) -> int:
        """Dense multiply-accumulates of one timestep of one sample."""
        if self.kind == FC:
            return self.weights
        return self.weights * _product(self.out_shape[1:]) if self.kind == CONV else 0

    @property
    def winograd(self) -> bool:
        """Whether Winograd's algorithm applies: 3x3 kernels of stride 1."""
        return self.kind == CONV and self.kernel == (3, 3) and self.stride == 1


@dataclass(frozen=True)
class LayerNetwork:
    """A list of layers, run for `timesteps` on inputs of `input_elements` values.

    `fold_time`: all but the neurons and norms take all timesteps in one launch; otherwise they are launched at each.
    """

    name: str
    source: str
    timesteps: int
    input_elements: int
    neuron: str
    norm: str
    fold_time: bool
    layers: tuple[LayerShape, ...]

    @property
    def macs(self) -> int:
        """Dense multiply-accumulates of the forward pass of one sample, all timesteps."""
        return self.timesteps * sum(layer.macs * layer.count for layer in self.layers)

    @property
    def weights(self) -> int:
        """Number of weights."""
        return sum(layer.weights * layer.count for layer in self.layers)


def from_network(network: Network, neuron: str = PLAIN_NEURON) -> LayerNetwork:
    """Return one of our networks as a list of layers; every timestep is launched by itself, as in the authors' code."""
    layers: list[LayerShape] = []
    for number, layer in enumerate(network.layers):
        if layer.source == CONSTANT:
            continue  # its sums are added below; its own weights are few
        inside = (layer.in_channels, layer.in_height, layer.in_width)
        outside = (layer.out_channels, layer.conv_height, layer.conv_width)
        kernel = (layer.kernel_height, layer.kernel_width)
        kind = FC if layer.fully_connected else CONV
        layers.append(LayerShape(layer.name, kind, inside, outside, kernel, layer.stride, input_gradient=number > 0))
        if layer.pool > 1:
            inside, outside = outside, (layer.out_channels, layer.out_height, layer.out_width)
            layers.append(LayerShape(f"{layer.name} pool", POOL, inside, outside))
        if network.bias(number) is not None:
            layers.append(LayerShape(f"{layer.name} bias", ADD, outside, outside))
        if layer.identity is not None or network.projection(number) is not None:
            layers.append(LayerShape(f"{layer.name} shortcut", ADD, outside, outside))
        if layer.spiking:
            layers.append(LayerShape(f"{layer.name} neuron", SPIKE, outside, outside))
    first = network.input
    inputs = first.height * first.width * first.channels
    return LayerNetwork(network.name, "", network.timesteps, inputs, neuron, "batch", False, tuple(layers))


def list_layer_networks() -> list[str]:
    """Names of the layer lists that come with the package."""
    folder = resources.files("tlm").joinpath("analysis", "gpu", _FOLDER)
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(_SUFFIXES))


def load_layers(name_or_path: str, neuron: str | None = None, timesteps: int | None = None) -> LayerNetwork:
    """Read a layer list or a network, shipped (by name) or a user's file. Raises InputError for anything else.

    `neuron` and `timesteps` replace what the file says.
    """
    if name_or_path in list_layer_networks():
        network = parse_layers(package_yaml(f"{_FOLDER}/{name_or_path}.yaml"), name_or_path)
    elif name_or_path in list_networks():
        network = from_network(load_network(name_or_path))
    elif Path(name_or_path).suffix in _SUFFIXES:
        path = Path(name_or_path)
        raw = read_yaml(path)
        ours = isinstance(raw, dict) and isinstance(raw.get("input"), dict)
        network = (
            from_network(parse_network(raw, name_or_path, path.parent)) if ours else parse_layers(raw, name_or_path)
        )
    else:
        names = ", ".join(sorted({*list_networks(), *list_layer_networks()}))
        raise InputError("unknown network", "network", name_or_path, f"{names} or a .yaml file")
    return _changed(network, neuron, timesteps)


def _changed(network: LayerNetwork, neuron: str | None, timesteps: int | None) -> LayerNetwork:
    values = dict(vars(network))
    if neuron is not None:
        _check_name(neuron, "neuron", "neurons")
        values["neuron"] = neuron
    if timesteps is not None:
        values["timesteps"] = whole(timesteps, "timesteps")
    return LayerNetwork(**values)


def parse_layers(raw: object, where: str) -> LayerNetwork:
    """Check the content of a layer list. Raises InputError naming the key."""
    keys = ("name", "source", "timesteps", "neuron", "norm", "fold_time", "input", "layers")
    content = table(raw, where, keys)
    neuron = _check_name(content["neuron"], f"{where}: neuron", "neurons")
    norm = _check_name(content["norm"], f"{where}: norm", NORMS)
    if not isinstance(content["fold_time"], bool):
        raise InputError("wrong value", f"{where}: fold_time", content["fold_time"], "true, false")
    if not isinstance(content["layers"], list) or not content["layers"]:
        raise InputError("must be a list of layers", f"{where}: layers", content["layers"])
    layers = [_layer(entry, number, where) for number, entry in enumerate(content["layers"], start=1)]
    return LayerNetwork(
        name=str(content["name"]),
        source=str(content["source"]),
        timesteps=whole(content["timesteps"], f"{where}: timesteps"),
        input_elements=_product(_shape(content["input"], f"{where}: input")),
        neuron=neuron,
        norm=norm,
        fold_time=content["fold_time"],
        layers=tuple(layers),
    )


def _check_name(name: object, where: str, kind: str) -> str:
    names = implementation_names(kind)
    if name not in names:
        raise InputError("unknown implementation", where, name, ", ".join(names))
    return str(name)


def _layer(raw: object, number: int, where: str) -> LayerShape:
    where = f"{where}: layers[{number}]"
    if not isinstance(raw, dict):
        raise InputError("must be a table of keys", where, raw, ", ".join(KINDS))
    kinds = [kind for kind in KINDS if kind in raw]
    if len(kinds) != 1:
        raise InputError("must have exactly one kind", where, sorted(map(str, raw)), ", ".join(KINDS))
    kind = kinds[0]
    needed = {CONV: (CONV, "in", *_CONV_KEYS), FC: (FC, "in"), POOL: (POOL, "in")}.get(kind, (kind,))
    content = table(raw, where, needed, ("name", "count", "first"))
    name = str(content.get("name", f"{kind} {number}"))
    count = whole(content.get("count", 1), f"{where}: count")
    first = content.get("first", False)
    if not isinstance(first, bool):
        raise InputError("wrong value", f"{where}: first", first, "true, false")
    if kind == CONV:
        return _convolution(content, name, count, first, where)
    inside = _shape(content["in"] if "in" in needed else content[kind], where)
    outside = (whole(content[FC], where),) if kind == FC else _shape(content[kind], where)
    return LayerShape(name, kind, inside, outside, count=count, input_gradient=not first)


def _convolution(raw: Mapping[str, Any], name: str, count: int, first: bool, where: str) -> LayerShape:
    inside = _shape(raw["in"], f"{where}: in")
    if len(inside) != 3:
        raise InputError("a convolution takes [channels, height, width]", f"{where}: in", list(inside))
    size, stride = whole(raw["kernel"], f"{where}: kernel"), whole(raw["stride"], f"{where}: stride")
    padding = whole(raw["padding"], f"{where}: padding", 0)
    if size > min(inside[1:]) + 2 * padding:
        limit = f"at most {min(inside[1:]) + 2 * padding}, the padded input"
        raise InputError("the kernel is larger than its input", f"{where}: kernel", size, limit)
    height, width = ((extent + 2 * padding - size) // stride + 1 for extent in inside[1:])
    outside = (whole(raw[CONV], f"{where}: conv"), height, width)
    return LayerShape(name, CONV, inside, outside, (size, size), stride, count, not first)


def _shape(raw: object, where: str) -> tuple[int, ...]:
    if not isinstance(raw, list) or len(raw) not in (1, 3):
        raise InputError("must be [channels, height, width] or [features]", where, raw)
    return tuple(whole(extent, where) for extent in raw)


def _product(extents: tuple[int, ...]) -> int:
    result = 1
    for extent in extents:
        result *= extent
    return result
