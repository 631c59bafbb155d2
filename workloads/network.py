"""Spiking networks as data files: layers, neuron constants, input coding; shapes checked when a file is read.

Every layer is a convolution. A fully connected layer on an H x W x C map is the convolution with R = H, S = W and
no padding, so that one geometry serves all engines (docs/contract.md). A convolution may be followed by sum pooling:
then its neurons stand on the pooled plane. A shortcut's 1x1 projection is a layer of its own without neurons, directly
before the layer whose sums it joins; so is a bias, which takes a plane that always fires.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rtl_models.errors import InputError
from workloads.joined_layers import bias_parts, shortcut_parts
from workloads.keys import positive, real, table, whole
from workloads.layer import CONSTANT, INPUT, Layer
from workloads.neuron import NeuronConstants, NeuronParameters, parse_neuron

if TYPE_CHECKING:
    from workloads.weights_file import WeightsFile

__all__ = [
    "CONSTANT",
    "DIRECT",
    "INPUT",
    "SPIKES",
    "InputSpec",
    "Layer",
    "Network",
    "NeuronConstants",
    "NeuronParameters",
    "list_networks",
    "load_network",
    "parse_network",
]

DIRECT = "direct"
SPIKES = "spikes"
_SUFFIXES = (".yaml", ".yml")
MOST_VALUES = 2**32
"""Weights of a layer, and potentials of a sample, at most: 8 GiB of either in binary16."""
DEFAULT_INITIAL_GAIN = 0.5  # firing 0.1..0.4 in up to four layers of the default neuron; docs/training.md


@dataclass(frozen=True)
class InputSpec:
    """What enters the first layer, `height` x `width` x `channels`.

    ``direct``: the same bytes x 2^-`exponent` at every timestep (two's complement when `signed`); ``spikes``: bits.
    Where `constant` is not 0, the last channel holds that byte (or bit) everywhere: what a bias of the first layer
    takes. Data sets know nothing of it.
    """

    height: int
    width: int
    channels: int
    coding: str = DIRECT
    exponent: int = 0
    signed: bool = False
    constant: int = 0

    @property
    def data_channels(self) -> int:
        """Channels that a data set fills."""
        return self.channels - (self.constant > 0)


@dataclass(frozen=True)
class Network:
    """A spiking network: input, neuron constants, timesteps and layers; the last layer has no neuron.

    `layers` hold the weight tensors in the order of the file, projections and biases directly before the layer that
    they join. `weights` are what a training starts from, where the file names some: they are no part of `to_dict`.
    """

    name: str
    input: InputSpec
    neuron: NeuronParameters
    timesteps: int
    layers: tuple[Layer, ...]
    initial_gain: float = DEFAULT_INITIAL_GAIN  # standard deviation of a starting weight x sqrt(fan-in)
    normalise: bool = False  # scale and shift of the starting weights by a batch's statistics: workloads/normalise.py
    weights: WeightsFile | None = None

    @property
    def constants(self) -> NeuronConstants:
        """The neuron constants as the machine holds them."""
        return NeuronConstants.of(self.neuron)

    @property
    def classes(self) -> int:
        """Number of logits."""
        return self.layers[-1].out_channels

    @property
    def main(self) -> tuple[int, ...]:
        """Layers with sums of their own, ascending: all but projections and biases."""
        return tuple(number for number, layer in enumerate(self.layers) if layer.joins is None)

    @property
    def hidden(self) -> tuple[int, ...]:
        """Layers with neurons, ascending."""
        return self.main[:-1]

    def joined(self, number: int) -> int:
        """Return the layer to which a layer's sums and gradients belong: itself, or that which it joins."""
        joins = self.layers[number].joins
        return number if joins is None else joins

    def projection(self, number: int) -> int | None:
        """Return the projection that joins a layer, if any."""
        return next((part for part in self.parts(number)[:-1] if self.layers[part].source != CONSTANT), None)

    def bias(self, number: int) -> int | None:
        """Return the bias that joins a layer, if any."""
        return next((part for part in self.parts(number) if self.layers[part].source == CONSTANT), None)

    def parts(self, number: int) -> tuple[int, ...]:
        """Return the weight tensors that a layer's sums run through: its bias and projection, if any, and itself."""
        first = number
        while first and self.layers[first - 1].joins == number:
            first -= 1
        return tuple(range(first, number + 1))

    def taken(self, number: int) -> tuple[int, ...]:
        """Return the layers whose spikes a layer's sums are made of, each once; `INPUT` is the network's input."""
        identity = self.layers[number].identity
        sources = [self.layers[part].source for part in reversed(self.parts(number))]
        sources += [] if identity is None else [identity]
        return tuple(dict.fromkeys(source for source in sources if source != CONSTANT))

    def consumers(self, number: int) -> tuple[int, ...]:
        """Return the layers, projections among them, whose weights the spikes of a layer meet, ascending."""
        return tuple(n for n, layer in enumerate(self.layers) if layer.source == number)

    def identities(self, number: int) -> tuple[int, ...]:
        """Return the layers to whose sums the spikes of a layer are added as they are, ascending."""
        return tuple(n for n, layer in enumerate(self.layers) if layer.identity == number)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the network file; ``parse_network`` gives an equal network back."""
        layers: list[dict[str, Any]] = []
        for number in self.main:
            layer = self.layers[number]
            bias = {} if self.bias(number) is None else {"bias": True}
            if layer.fully_connected:
                linear = {"channels": layer.out_channels} | bias
                layers.append({"linear": linear if bias else layer.out_channels})
            else:
                kernel = [layer.kernel_height, layer.kernel_width]
                conv = {"channels": layer.out_channels, "kernel": kernel}
                conv |= {"stride": layer.stride, "padding": layer.padding}
                conv |= {"pool": layer.pool} if layer.pool > 1 else {}
                layers.append({"conv": conv | bias | self._shortcut_to_dict(number)})
        shape = [self.input.height, self.input.width, self.input.channels]
        source: dict[str, Any] = {"shape": shape, "coding": self.input.coding}
        if self.input.coding == DIRECT:
            source |= {"exponent": self.input.exponent, "signed": self.input.signed}
        source |= {"constant": self.input.constant} if self.input.constant else {}
        return {
            "name": self.name,
            "input": source,
            "timesteps": self.timesteps,
            "neuron": self.neuron.to_dict(),
            "initial_gain": self.initial_gain,
            **({"normalise": True} if self.normalise else {}),
            "layers": layers,
        }

    def _shortcut_to_dict(self, number: int) -> dict[str, Any]:
        """Return the shortcut of a layer as a network file states it."""
        projection, identity = self.projection(number), self.layers[number].identity
        if projection is not None:
            return {"shortcut": {"from": 1 + self.main.index(self.layers[projection].source), "projection": True}}
        return {} if identity is None else {"shortcut": {"from": 1 + self.main.index(identity)}}


def list_networks() -> list[str]:
    """Names of the networks that ship with the package."""
    folder = resources.files("workloads").joinpath("networks")
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(_SUFFIXES))


def load_network(name_or_path: str) -> Network:
    """Read a shipped network by name or a user's network file (YAML); raises InputError for anything else."""
    if name_or_path in list_networks():
        entry = resources.files("workloads").joinpath("networks", f"{name_or_path}.yaml")
        return parse_network(_read_yaml(entry.read_text(encoding="utf-8"), name_or_path), name_or_path)
    path = Path(name_or_path)
    if path.suffix not in _SUFFIXES:
        allowed = ", ".join(list_networks()) + " or a .yaml file"
        raise InputError("unknown network", "network", name_or_path, allowed)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the network file ({error})", "network", name_or_path) from error
    return parse_network(_read_yaml(text, name_or_path), name_or_path, path.parent)


def parse_network(raw: object, where: str, folder: Path | None = None) -> Network:
    """Check the content of a network file and chain its shapes; raises InputError naming the key.

    `folder` is where the file lies, if there is one: only then it can name a file of weights.
    """
    known = {"name", "input", "timesteps", "neuron", "initial_gain", "normalise", "layers"}
    keys = table(raw, where, known if folder is None else known | {"weights"})
    source = _parse_input(keys.get("input"), f"{where}: input")
    neuron = parse_neuron(keys.get("neuron", {}), f"{where}: neuron")
    timesteps = positive(keys.get("timesteps"), f"{where}: timesteps")
    gain = real(keys.get("initial_gain", DEFAULT_INITIAL_GAIN), f"{where}: initial_gain")
    if gain <= 0.0:
        raise InputError("wrong value", f"{where}: initial_gain", gain, "a number > 0")
    normalise = keys.get("normalise", False)
    if not isinstance(normalise, bool):
        raise InputError("wrong value", f"{where}: normalise", normalise, "true, false")
    if normalise and neuron.threshold <= 0.0:
        what = "sums are normalised to the threshold, which must be above 0"
        raise InputError(what, f"{where}: neuron: threshold", neuron.threshold)
    entries = keys.get("layers")
    if not isinstance(entries, list) or len(entries) < 2:
        raise InputError("must be a list of at least two layers", f"{where}: layers", entries)
    shape = (source.height, source.width, source.channels)
    layers: list[Layer] = []
    places = [INPUT]  # where the layers of the file stand among `layers`
    for number, entry in enumerate(entries, start=1):
        here = f"{where}: layers[{number}]"
        layer = replace(_parse_layer(entry, shape, number, number < len(entries), here), source=places[-1])
        shape = (layer.out_height, layer.out_width, layer.out_channels)
        _check_size(layer, timesteps, here)
        shortcut = shortcut_parts(entry, layer, layers, places, here)
        layers += bias_parts(entry, shortcut, number, len(layers), here)
        places.append(len(layers) - 1)
    last = layers[-1]
    if not last.fully_connected and last.out_positions > 1:
        got, allowed = f"conv with {last.out_height} x {last.out_width}", "linear, or a conv whose output is 1 x 1"
        raise InputError("the last layer must have one position", f"{where}: layers[{len(layers)}]", got, allowed)
    name = str(keys.get("name", Path(where).stem))
    network = Network(name, source, neuron, timesteps, tuple(layers), gain, normalise)
    if folder is None or "weights" not in keys:
        return network
    return replace(network, weights=_find_weights(keys["weights"], network, folder, f"{where}: weights"))


def _find_weights(value: object, network: Network, folder: Path, where: str) -> WeightsFile:
    if not isinstance(value, str):
        raise InputError("wrong value", where, value, "the name of a file beside the network file")
    if network.normalise:
        raise InputError("given weights are not normalised: leave out one of both keys", where, value)
    from workloads.weights_file import find_weights  # here, since HDF5 takes a while to import

    return find_weights(folder / value, network.layers)


def _check_size(layer: Layer, timesteps: int, where: str) -> None:
    """Refuse a layer that no memory could hold before anything is planned for it."""
    potentials = layer.conv_positions * layer.out_channels * timesteps
    for count, what in ((layer.weights_count, "weights"), (potentials, "neurons x timesteps")):
        if count > MOST_VALUES:
            raise InputError("the layer is too large", where, f"{count} {what}", f"at most {MOST_VALUES}")


def _read_yaml(text: str, where: str) -> object:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"not valid YAML ({error})", where) from error


def _parse_input(raw: object, where: str) -> InputSpec:
    keys = table(raw, where, {"shape", "coding", "exponent", "signed", "constant"})
    shape = keys.get("shape")
    if not isinstance(shape, list) or len(shape) != 3:
        raise InputError("must be [height, width, channels]", f"{where}: shape", shape)
    height, width, channels = (positive(value, f"{where}: shape") for value in shape)
    coding = keys.get("coding", DIRECT)
    if coding not in (DIRECT, SPIKES):
        raise InputError("unknown coding", f"{where}: coding", coding, f"{DIRECT}, {SPIKES}")
    if coding == SPIKES and ({"exponent", "signed"} & keys.keys()):
        raise InputError("exponent and signed belong to direct coding", where, coding, DIRECT)
    signed = keys.get("signed", False)
    if not isinstance(signed, bool):
        raise InputError("wrong value", f"{where}: signed", signed, "true, false")
    exponent = whole(keys.get("exponent", 0), f"{where}: exponent", 0, 16)
    constant = 0
    if "constant" in keys:
        largest = 1 if coding == SPIKES else 127 if signed else 255
        constant = whole(keys["constant"], f"{where}: constant", 1, largest)
        if channels == 1:
            raise InputError("no channel is left for the data", f"{where}: constant", constant, "two channels or more")
    return InputSpec(height, width, channels, coding, exponent, signed, constant)


def _parse_layer(raw: object, shape: tuple[int, int, int], number: int, spiking: bool, where: str) -> Layer:
    if isinstance(raw, dict) and "pool" in raw:
        what = "pool is a key of a conv layer, whose sums it adds up before the neuron"
        raise InputError(what, where, "pool", "conv: {.., pool: 2}")
    keys = table(raw, where, {"conv", "linear"})
    if len(keys) != 1:
        raise InputError("must have exactly one key", where, sorted(keys), "conv or linear")
    height, width, channels = shape
    if "linear" in keys:
        linear = keys["linear"] if isinstance(keys["linear"], dict) else {"channels": keys["linear"]}
        out = positive(table(linear, f"{where}: linear", {"channels", "bias"}).get("channels"), f"{where}: linear")
        return Layer(f"fc{number}", height, width, channels, out, height, width, 1, 0, True, spiking)
    conv = table(
        keys["conv"], f"{where}: conv", {"channels", "kernel", "stride", "padding", "pool", "bias", "shortcut"}
    )
    kernel = conv.get("kernel")
    if not isinstance(kernel, list) or len(kernel) != 2:
        raise InputError("must be [height, width]", f"{where}: conv: kernel", kernel)
    rows, columns = (positive(value, f"{where}: conv: kernel") for value in kernel)
    out = positive(conv.get("channels"), f"{where}: conv: channels")
    stride = positive(conv.get("stride", 1), f"{where}: conv: stride")
    padding = whole(conv.get("padding", 0), f"{where}: conv: padding", 0)
    if rows > height + 2 * padding or columns > width + 2 * padding:
        limits = f"at most [{height + 2 * padding}, {width + 2 * padding}], the padded input"
        raise InputError("the kernel is larger than its input", f"{where}: conv: kernel", kernel, limits)
    pool = positive(conv.get("pool", 1), f"{where}: conv: pool")
    name = f"conv{number}"
    layer = Layer(name, height, width, channels, out, rows, columns, stride, padding, False, spiking, pool)
    if layer.conv_height % pool or layer.conv_width % pool:
        limits = f"a divisor of both sides of its plane, {layer.conv_height} x {layer.conv_width}"
        raise InputError(f"the windows do not cover the plane of {name}", f"{where}: conv: pool", pool, limits)
    return layer
