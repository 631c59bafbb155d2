"""The accelerator's configuration: checked, frozen tables of parameters, read from presets, files and overrides.

A configuration is data first (a preset or a YAML file, then ``key=value`` overrides) and becomes a frozen `Config` in
one place, so that derived values are always computed after the overrides. Every problem is one `InputError`.
"""

from __future__ import annotations

import copy
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rtl_models.errors import InputError
from rtl_models.formats import format_by_name
from tlm.engines.adder_row_law import AdderRowTiming
from tlm.engines.lut_row_law import LutRowTiming
from workloads.record import Arithmetic

MOST = 2**40
"""Largest whole number of a configuration: a second in picoseconds, or a tebibyte; times of a step must fit 64 bits."""
Positive = Annotated[int, Field(ge=1, le=MOST)]
Latency = Annotated[int, Field(ge=1, le=64)]  # what the RTL's pipelines can be given
NotNegative = Annotated[int, Field(ge=0, le=MOST)]
Table = TypeVar("Table", bound=BaseModel)


class FrozenTable(BaseModel):
    """A table of keys: nothing changes in it, nothing unknown comes in, nothing is converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ArithmeticConfig(FrozenTable):
    """Number formats and micro-batch: with `lut.k` and `lut.lanes` the only parameters that change bits."""

    value_format: Literal["binary16", "bfloat16", "binary32"] = "binary16"
    sum_format: Literal["binary16", "bfloat16", "binary32"] = "binary32"
    micro_batch: Positive = 8


class LutConfig(FrozenTable):
    """The look-up element of both LUT engines: `k` index bits, `lanes` elements a row (a power of two)."""

    k: Annotated[int, Field(ge=1, le=8)] = 4
    lanes: Annotated[int, Field(ge=1, le=256)] = 16
    build_latency_cycles: Latency = 2
    adder_latency_cycles: Latency = 4
    tree_registers: bool = True
    skip_zero_tiles: bool = False


LUT, ADDERS, ZERO_SKIPPING = "lut", "adders", "zero_skipping_adders"


class LutEngineConfig(FrozenTable):
    """One LUT engine: `arrays` of `rows` rows, each with an accumulator memory of `accumulator_depth` positions.

    `element` is what a lane is made of: a look-up table, or an adder, of every operand or of those with a spike alone.
    """

    element: Literal["lut", "adders", "zero_skipping_adders"] = "lut"
    arrays: Positive = 3
    rows: Positive = 64
    accumulator_depth: Positive = 1024


class BackwardEngineConfig(FrozenTable):
    """The sparse backward engine: `units` with `lanes` multiply-accumulate lanes and `items_in_flight` work items."""

    units: Positive = 352
    lanes: Positive = 16
    items_in_flight: Annotated[int, Field(ge=1, le=64)] = 2
    channel_tile: Annotated[int, Field(ge=1, le=1024)] = 64
    adder_latency_cycles: Latency = 4
    skip_zero_gradients: bool = True
    skip_inactive_outputs: bool = True


class VectorUnitConfig(FrozenTable):
    """A pipelined vector unit: `width` elements a cycle, the first result after `latency_cycles`."""

    width: Positive = 64
    latency_cycles: Latency = 12


class NeuronUnitConfig(VectorUnitConfig):
    """The neuron unit: a multiply, an add and two compares.

    `any_reset` builds it, and the gradient unit, for neurons that reset by subtraction or without a gradient.
    """

    latency_cycles: Latency = 8
    any_reset: bool = False


class TranspositionUnitConfig(VectorUnitConfig):
    """The transposition unit: whole blocks of k x k spike bits, at most `width` bits a cycle."""

    width: Positive = 1024
    latency_cycles: Latency = 2


class BuffersConfig(FrozenTable):
    """Capacities of the on-chip buffers; a tensor that does not fit goes to DRAM."""

    spikes_bytes: Positive = 1664 * 2**10
    weights_bytes: Positive = 3328 * 2**10
    potentials_bytes: Positive = 2816 * 2**10
    gradients_bytes: Positive = 4864 * 2**10
    partial_sums_bytes: Positive = 1792 * 2**10
    output_bytes: Positive = 768 * 2**10
    backward_sums_bytes: Positive = 576 * 2**10


class PortConfig(FrozenTable):
    """The ports of one buffer: it moves `ports` x `banks` x `bank_width_bytes` a cycle."""

    ports: Positive = 2
    banks: Positive
    bank_width_bytes: Positive

    @property
    def bytes_per_cycle(self) -> int:
        """Bytes that all ports and banks move in one cycle."""
        return self.ports * self.banks * self.bank_width_bytes


class BufferPortsConfig(FrozenTable):
    """Ports of every on-chip buffer; docs/configuration.md derives what the engines ask of each."""

    spikes: PortConfig = PortConfig(banks=32, bank_width_bytes=32)
    weights: PortConfig = PortConfig(banks=235, bank_width_bytes=128)
    potentials: PortConfig = PortConfig(banks=59, bank_width_bytes=64)
    gradients: PortConfig = PortConfig(banks=118, bank_width_bytes=64)
    partial_sums: PortConfig = PortConfig(banks=64, bank_width_bytes=64)
    output: PortConfig = PortConfig(banks=32, bank_width_bytes=64)
    backward_sums: PortConfig = PortConfig(banks=352, bank_width_bytes=64)


class DramConfig(FrozenTable):
    """DRAM of `channels` channels interleaved every `interleave_bytes`.

    `banked`: each a channel of `standard` behind a controller; `flat`: latency and bandwidth only.
    """

    model: Literal["banked", "flat"] = "banked"
    standard: str = "HBM2"
    controller: str = "mop4clxor"
    channels: Positive = 16
    interleave_bytes: Positive = 256
    channel_bytes_per_us: Positive = 32_000
    latency_ps: NotNegative = 30_000


class DmaConfig(FrozenTable):
    """DMA: transactions of at most `chunk_bytes`, `outstanding` of them under way per stream.

    A transaction moves at most `width_bytes` a cycle. What does not fit into a buffer is staged in parts of at most
    `part_bytes`, but of at least one sample.
    """

    chunk_bytes: Positive = 64 * 2**10
    outstanding: Positive = 2
    width_bytes: Positive = 256
    part_bytes: Positive = 256 * 2**10


class HostConfig(FrozenTable):
    """The host that computes the loss gradient: round trip from the last logit to the first gradient."""

    round_trip_ps: NotNegative = 1_000_000


class Config(FrozenTable):
    """A whole accelerator. Defaults are those of the preset `h2learn`."""

    name: str = "h2learn"
    provisional: bool = False
    clock_period_ps: Annotated[int, Field(ge=1, le=10**9)] = 1000  # 2^33 cycles of 1 ms still fit 64 bits of ps
    pipeline: Literal["none", "layer", "end_to_end"] = "end_to_end"
    micro_batches_in_flight: Positive = 2
    potentials: Literal["store", "recompute"] = "store"
    arithmetic: ArithmeticConfig = ArithmeticConfig()
    lut: LutConfig = LutConfig()
    forward_engine: LutEngineConfig = LutEngineConfig()
    weight_update_engine: LutEngineConfig = LutEngineConfig()
    backward_engine: BackwardEngineConfig = BackwardEngineConfig()
    neuron_unit: NeuronUnitConfig = NeuronUnitConfig()
    gradient_unit: VectorUnitConfig = VectorUnitConfig()
    optimiser_unit: VectorUnitConfig = VectorUnitConfig()
    transposition_unit: TranspositionUnitConfig = TranspositionUnitConfig()
    buffers: BuffersConfig = BuffersConfig()
    buffer_ports: BufferPortsConfig = BufferPortsConfig()
    dma: DmaConfig = DmaConfig()
    dram: DramConfig = DramConfig()
    host: HostConfig = HostConfig()

    @model_validator(mode="after")
    def _check_formats_and_lanes(self) -> Config:
        value, total = self.arithmetic.value_format, self.arithmetic.sum_format
        if not format_by_name(total).holds(format_by_name(value)):
            raise ValueError(f"arithmetic.sum_format {total!r} cannot hold every {value} value")
        if self.lut.lanes & (self.lut.lanes - 1):
            raise ValueError(f"lut.lanes must be a power of two, got {self.lut.lanes}")
        unit = self.backward_engine
        if unit.lanes > unit.channel_tile:
            raise ValueError(
                f"backward_engine.lanes must be at most channel_tile {unit.channel_tile}, got {unit.lanes}"
            )
        return self

    @model_validator(mode="after")
    def _check_transposition(self) -> Config:
        width, least = self.transposition_unit.width, self.lut.k**2
        if width < least:
            raise ValueError(f"transposition_unit.width must be at least lut.k squared, {least}, got {width}")
        return self

    @property
    def transposition_blocks(self) -> int:
        """Blocks of k x k spike bits that the transposition unit takes in a cycle."""
        return self.transposition_unit.width // self.lut.k**2

    @property
    def in_flight(self) -> int:
        """Micro-batches that may be under way at once in this configuration's pipeline."""
        return self.micro_batches_in_flight if self.pipeline == "end_to_end" else 1

    @property
    def contract(self) -> Arithmetic:
        """The parameters that change bits, as a trace records them."""
        return Arithmetic(
            value=format_by_name(self.arithmetic.value_format),
            sum=format_by_name(self.arithmetic.sum_format),
            k=self.lut.k,
            lanes=self.lut.lanes,
            micro_batch=self.arithmetic.micro_batch,
        )

    @property
    def row_timing(self) -> LutRowTiming:
        """The cycle law of this configuration's LUT row."""
        return LutRowTiming(**self._row())

    def engine_timing(self, engine: LutEngineConfig) -> LutRowTiming:
        """Return the cycle law of a row of `engine`, of tables or of adders."""
        return self.row_timing if engine.element == LUT else AdderRowTiming(**self._row())

    def _row(self) -> dict[str, Any]:
        lut = self.lut
        return {
            "k": lut.k,
            "lanes": lut.lanes,
            "build_latency_cycles": lut.build_latency_cycles,
            "adder_latency_cycles": lut.adder_latency_cycles,
            "tree_registers": lut.tree_registers,
        }


def list_presets() -> list[str]:
    """Names of the configurations that ship with the package."""
    folder = resources.files("tlm").joinpath("presets")
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_config(name_or_path: str = "h2learn", overrides: tuple[str, ...] = ()) -> Config:
    """Read a preset or a user's YAML file, apply ``key=value`` overrides, check everything and freeze it."""
    if name_or_path in list_presets():
        text = resources.files("tlm").joinpath("presets", f"{name_or_path}.yaml").read_text(encoding="utf-8")
    else:
        text = _read_file(name_or_path)
    raw = _parse_yaml(text, name_or_path)
    for override in overrides:
        _apply(raw, override)
    return check_config(raw, name_or_path)


def check_config(raw: dict[str, Any], where: str) -> Config:
    """Turn plain data into a `Config`; raises InputError with the key, the value got and the values allowed."""
    return check_table(Config, raw, where)


def check_table(model: type[Table], raw: dict[str, Any], where: str) -> Table:
    """Turn plain data into a table; raises InputError with the key, the value got and the values allowed."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise _input_error(error, where, model) from error


def check_key(key: str, where: str) -> None:
    """Raise InputError unless `key`, such as ``dram.channels``, names one value of a configuration."""
    model: type[BaseModel] = Config
    *tables, last = key.split(".")
    for name in tables:
        inner = model.model_fields[name].annotation if name in model.model_fields else None
        if not _is_table(inner):
            raise InputError("unknown key", where, key, ", ".join(model.model_fields))
        model = inner
    if last not in model.model_fields:
        raise InputError("unknown key", where, key, ", ".join(model.model_fields))
    inner = model.model_fields[last].annotation
    if _is_table(inner):
        raise InputError("is a table of keys", where, key, ", ".join(f"{key}.{name}" for name in inner.model_fields))


def set_key(settings: dict[str, Any], key: str, value: Any, where: str) -> None:
    """Set ``dram.channels`` and the like in plain data; raises InputError for a key below one that is no table."""
    *tables, last = key.split(".")
    table = settings
    for name in tables:
        inner = table.setdefault(name, {})
        if not isinstance(inner, dict):
            raise InputError("unknown key", where, key, f"{name} has no keys below it")
        table = inner
    table[last] = copy.deepcopy(value)


def dump_config(config: Config) -> str:
    """Return the configuration as YAML that `load_config` reads back to an equal `Config`."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _read_file(name: str) -> str:
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        raise InputError("unknown preset", "config", name, ", ".join(list_presets()) + " or a .yaml file")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the configuration ({error})", "config", name) from error


def _parse_yaml(text: str, where: str) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"not valid YAML ({error})", where) from error
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise InputError("must be a table of keys", where, raw, ", ".join(Config.model_fields))
    return raw


def _apply(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError("wrong override", "--set", override, "key=value, e.g. dram.channels=4")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError("the value is not valid YAML", f"--set {key}", text) from error
    set_key(raw, key, value, "--set")


def _input_error(error: ValidationError, where: str, model: type[BaseModel]) -> InputError:
    """Turn the first of pydantic's problems into the project's one-line error."""
    problem = error.errors()[0]
    path = [str(part) for part in problem["loc"]]
    place = f"{where}: {'.'.join(path)}" if path else where
    if problem["type"] == "extra_forbidden":
        return InputError("unknown key", place, path[-1], ", ".join(_keys_at(model, path[:-1])))
    if problem["type"] == "value_error":
        return InputError(str(problem["ctx"]["error"]), place)
    got = "nothing" if problem["input"] is None else problem["input"]
    if problem["type"] == "model_type":
        return InputError("must be a table of keys", place, got, ", ".join(_keys_at(model, path)))
    return InputError("wrong value", place, got, _allowed(problem["msg"]))


def _keys_at(model: type[BaseModel], path: list[str]) -> list[str]:
    for name in path:
        fields = {field.alias or own: field.annotation for own, field in model.model_fields.items()}
        tables = [part for part in (fields.get(name), *get_args(fields.get(name))) if _is_table(part)]
        model = tables[0] if tables else model
    return [field.alias or name for name, field in model.model_fields.items()]


def _is_table(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _allowed(message: str) -> str:
    return message.removeprefix("Input should be ").removeprefix("a valid ")
