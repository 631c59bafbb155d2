"""Spiking networks as data files: layers, neuron constants, input coding; shapes checked when a file is read.

Every layer is a convolution. A fully connected layer on an H x W x C map is the convolution with R = H, S = W and
no padding, so that one geometry serves all engines (docs/contract.md). A convolution may be followed by sum pooling:
then its neurons stand on the pooled plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from rtl_models.errors import InputError

DIRECT = "direct"
SPIKES = "spikes"
_SUFFIXES = (".yaml", ".yml")
DEFAULT_INITIAL_GAIN = 0.5  # firing 0.1..0.4 in up to four layers of the default neuron; docs/training.md


@dataclass(frozen=True)
class NeuronParameters:
    """Decimal constants of the leaky integrate-and-fire neuron, as a network file states them."""

    alpha: float = 0.25
    threshold: float = 0.25
    interval: float = 0.5
    beta: float = 1.0


@dataclass(frozen=True)
class NeuronConstants:
    """The machine's five neuron constants, computed in binary64 and rounded once to binary32."""

    alpha: np.float32
    beta: np.float32
    threshold: np.float32
    low: np.float32
    high: np.float32

    @classmethod
    def of(cls, neuron: NeuronParameters) -> NeuronConstants:
        """Round the constants of a network file (docs/contract.md, "Neuron")."""
        return cls(
            alpha=np.float32(neuron.alpha),
            beta=np.float32(neuron.beta),
            threshold=np.float32(neuron.threshold),
            low=np.float32(neuron.threshold - neuron.interval),
            high=np.float32(neuron.threshold + neuron.interval),
        )


@dataclass(frozen=True)
class InputSpec:
    """What enters the first layer, `height` x `width` x `channels`.

    ``direct``: the same bytes x 2^-`exponent` at every timestep (two's complement when `signed`); ``spikes``: bits.
    """

    height: int
    width: int
    channels: int
    coding: str = DIRECT
    exponent: int = 0
    signed: bool = False


@dataclass(frozen=True)
class Layer:
    """One layer as a convolution: C x H x W in, M x OH x OW out, R x S kernel; weights are [M, R, S, C].

    Each output is the sum of `pool` x `pool` neighbouring positions of the convolution's plane.
    """

    name: str
    in_height: int
    in_width: int
    in_channels: int
    out_channels: int
    kernel_height: int
    kernel_width: int
    stride: int
    padding: int
    fully_connected: bool
    spiking: bool
    pool: int = 1

    @property
    def conv_height(self) -> int:
        """Rows of the convolution's plane."""
        return (self.in_height + 2 * self.padding - self.kernel_height) // self.stride + 1

    @property
    def conv_width(self) -> int:
        """Columns of the convolution's plane."""
        return (self.in_width + 2 * self.padding - self.kernel_width) // self.stride + 1

    @property
    def conv_positions(self) -> int:
        """Positions of the convolution's plane, of one timestep of one sample."""
        return self.conv_height * self.conv_width

    @property
    def out_height(self) -> int:
        """Rows of the output plane."""
        return self.conv_height // self.pool

    @property
    def out_width(self) -> int:
        """Columns of the output plane."""
        return self.conv_width // self.pool

    @property
    def out_positions(self) -> int:
        """Output positions (y, x) of one timestep of one sample."""
        return self.out_height * self.out_width

    @property
    def window(self) -> int:
        """Positions of the convolution's plane that one output sums."""
        return self.pool * self.pool

    @property
    def elements(self) -> int:
        """Elements R S C of one receptive field, without padding."""
        return self.kernel_height * self.kernel_width * self.in_channels

    @property
    def weights_shape(self) -> tuple[int, int, int, int]:
        """Shape [M, R, S, C] of the weights."""
        return (self.out_channels, self.kernel_height, self.kernel_width, self.in_channels)

    @property
    def weights_count(self) -> int:
        """Number of weights."""
        return self.out_channels * self.elements

    def groups(self, k: int) -> int:
        """Groups of k elements of a receptive field: the channels of each tap are padded to a multiple of k."""
        return self.kernel_height * self.kernel_width * -(-self.in_channels // k)

    def macs_per_timestep(self) -> int:
        """Dense multiply-accumulates of one timestep of one sample."""
        return self.conv_positions * self.weights_count


@dataclass(frozen=True)
class Network:
    """A spiking network: input, neuron constants, timesteps and a chain of layers; the last layer has no neuron."""

    name: str
    input: InputSpec
    neuron: NeuronParameters
    timesteps: int
    layers: tuple[Layer, ...]
    initial_gain: float = DEFAULT_INITIAL_GAIN  # standard deviation of a starting weight x sqrt(fan-in)

    @property
    def constants(self) -> NeuronConstants:
        """The neuron constants as the machine holds them."""
        return NeuronConstants.of(self.neuron)

    @property
    def classes(self) -> int:
        """Number of logits."""
        return self.layers[-1].out_channels

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the network file; ``parse_network`` gives an equal network back."""
        layers: list[dict[str, Any]] = []
        for layer in self.layers:
            if layer.fully_connected:
                layers.append({"linear": layer.out_channels})
            else:
                kernel = [layer.kernel_height, layer.kernel_width]
                conv = {"channels": layer.out_channels, "kernel": kernel}
                conv |= {"stride": layer.stride, "padding": layer.padding}
                layers.append({"conv": conv | ({"pool": layer.pool} if layer.pool > 1 else {})})
        shape = [self.input.height, self.input.width, self.input.channels]
        source: dict[str, Any] = {"shape": shape, "coding": self.input.coding}
        if self.input.coding == DIRECT:
            source |= {"exponent": self.input.exponent, "signed": self.input.signed}
        neuron = {name: getattr(self.neuron, name) for name in ("alpha", "threshold", "interval", "beta")}
        return {
            "name": self.name,
            "input": source,
            "timesteps": self.timesteps,
            "neuron": neuron,
            "initial_gain": self.initial_gain,
            "layers": layers,
        }


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
    return parse_network(_read_yaml(text, name_or_path), name_or_path)


def parse_network(raw: object, where: str) -> Network:
    """Check the content of a network file and chain its shapes; raises InputError naming the key."""
    table = _table(raw, where, {"name", "input", "timesteps", "neuron", "initial_gain", "layers"})
    source = _parse_input(table.get("input"), f"{where}: input")
    neuron = _parse_neuron(table.get("neuron", {}), f"{where}: neuron")
    timesteps = _positive(table.get("timesteps"), f"{where}: timesteps")
    gain = _number(table.get("initial_gain", DEFAULT_INITIAL_GAIN), f"{where}: initial_gain")
    if gain <= 0.0:
        raise InputError("wrong value", f"{where}: initial_gain", gain, "a number > 0")
    entries = table.get("layers")
    if not isinstance(entries, list) or len(entries) < 2:
        raise InputError("must be a list of at least two layers", f"{where}: layers", entries)
    shape = (source.height, source.width, source.channels)
    layers: list[Layer] = []
    for number, entry in enumerate(entries, start=1):
        layer = _parse_layer(entry, shape, number, number < len(entries), f"{where}: layers[{number}]")
        shape = (layer.out_height, layer.out_width, layer.out_channels)
        layers.append(layer)
    last = layers[-1]
    if not last.fully_connected and last.out_positions > 1:
        got, allowed = f"conv with {last.out_height} x {last.out_width}", "linear, or a conv whose output is 1 x 1"
        raise InputError("the last layer must have one position", f"{where}: layers[{len(layers)}]", got, allowed)
    return Network(str(table.get("name", Path(where).stem)), source, neuron, timesteps, tuple(layers), gain)


def _read_yaml(text: str, where: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"not valid YAML ({error})", where) from error


def _table(raw: object, where: str, allowed: set[str]) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise InputError("must be a table of keys", where, raw, ", ".join(sorted(allowed)))
    for key in raw:
        if key not in allowed:
            raise InputError("unknown key", where, key, ", ".join(sorted(allowed)))
    return raw


def _whole(value: object, where: str, lowest: int, highest: int | None = None) -> int:
    limits = f"a whole number >= {lowest}" if highest is None else f"a whole number {lowest}..{highest}"
    if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
        raise InputError("wrong value", where, value if value is not None else "nothing", limits)
    if highest is not None and value > highest:
        raise InputError("wrong value", where, value, limits)
    return value


def _positive(value: object, where: str) -> int:
    return _whole(value, where, 1)


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise InputError("wrong value", where, value, "a finite number")
    return float(value)


def _parse_input(raw: object, where: str) -> InputSpec:
    table = _table(raw, where, {"shape", "coding", "exponent", "signed"})
    shape = table.get("shape")
    if not isinstance(shape, list) or len(shape) != 3:
        raise InputError("must be [height, width, channels]", f"{where}: shape", shape)
    height, width, channels = (_positive(value, f"{where}: shape") for value in shape)
    coding = table.get("coding", DIRECT)
    if coding not in (DIRECT, SPIKES):
        raise InputError("unknown coding", f"{where}: coding", coding, f"{DIRECT}, {SPIKES}")
    if coding == SPIKES and ({"exponent", "signed"} & table.keys()):
        raise InputError("exponent and signed belong to direct coding", where, coding, DIRECT)
    signed = table.get("signed", False)
    if not isinstance(signed, bool):
        raise InputError("wrong value", f"{where}: signed", signed, "true, false")
    exponent = _whole(table.get("exponent", 0), f"{where}: exponent", 0, 16)
    return InputSpec(height, width, channels, coding, exponent, signed)


def _parse_neuron(raw: object, where: str) -> NeuronParameters:
    table = _table(raw, where, {"alpha", "threshold", "interval", "beta"})
    neuron = NeuronParameters(**{key: _number(value, f"{where}: {key}") for key, value in table.items()})
    if not 0.0 <= neuron.alpha <= 1.0:
        raise InputError("wrong value", f"{where}: alpha", neuron.alpha, "0..1")
    if neuron.interval <= 0.0:
        raise InputError("wrong value", f"{where}: interval", neuron.interval, "a number > 0")
    return neuron


def _parse_layer(raw: object, shape: tuple[int, int, int], number: int, spiking: bool, where: str) -> Layer:
    if isinstance(raw, dict) and "pool" in raw:
        what = "pool is a key of a conv layer, whose sums it adds up before the neuron"
        raise InputError(what, where, "pool", "conv: {.., pool: 2}")
    table = _table(raw, where, {"conv", "linear"})
    if len(table) != 1:
        raise InputError("must have exactly one key", where, sorted(table), "conv or linear")
    height, width, channels = shape
    if "linear" in table:
        out = _positive(table["linear"], f"{where}: linear")
        return Layer(f"fc{number}", height, width, channels, out, height, width, 1, 0, True, spiking)
    conv = _table(table["conv"], f"{where}: conv", {"channels", "kernel", "stride", "padding", "pool"})
    kernel = conv.get("kernel")
    if not isinstance(kernel, list) or len(kernel) != 2:
        raise InputError("must be [height, width]", f"{where}: conv: kernel", kernel)
    rows, columns = (_positive(value, f"{where}: conv: kernel") for value in kernel)
    out = _positive(conv.get("channels"), f"{where}: conv: channels")
    stride = _positive(conv.get("stride", 1), f"{where}: conv: stride")
    padding = _whole(conv.get("padding", 0), f"{where}: conv: padding", 0)
    if rows > height + 2 * padding or columns > width + 2 * padding:
        limits = f"at most [{height + 2 * padding}, {width + 2 * padding}], the padded input"
        raise InputError("the kernel is larger than its input", f"{where}: conv: kernel", kernel, limits)
    pool = _positive(conv.get("pool", 1), f"{where}: conv: pool")
    name = f"conv{number}"
    layer = Layer(name, height, width, channels, out, rows, columns, stride, padding, False, spiking, pool)
    if layer.conv_height % pool or layer.conv_width % pool:
        limits = f"a divisor of both sides of its plane, {layer.conv_height} x {layer.conv_width}"
        raise InputError(f"the windows do not cover the plane of {name}", f"{where}: conv: pool", pool, limits)
    return layer
