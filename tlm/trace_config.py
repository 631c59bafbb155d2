"""Which configuration a trace can be simulated with: one whose bit-changing parameters are the trace's own."""

from __future__ import annotations

from rtl_models.errors import InputError
from tlm.config import Config, load_config
from workloads.network import Network
from workloads.record import Arithmetic
from workloads.trace_file import Trace

DEFAULT_PRESET = "h2learn"


def arithmetic_overrides(arithmetic: Arithmetic) -> tuple[str, ...]:
    """Return the ``key=value`` overrides that give any configuration this arithmetic."""
    return tuple(f"{key}={value}" for key, value in _by_key(arithmetic).items())


def config_for_trace(
    arithmetic: Arithmetic, name_or_path: str | None = None, overrides: tuple[str, ...] = ()
) -> Config:
    """Return the configuration to work on a trace of this `arithmetic` with.

    Without a name the preset `h2learn` takes over the trace's own arithmetic, before the user's `overrides` come.
    Raises InputError for what `load_config` refuses, and where the outcome's arithmetic is not the trace's.
    """
    own = () if name_or_path is not None else arithmetic_overrides(arithmetic)
    config = load_config(name_or_path or DEFAULT_PRESET, own + overrides)
    check_same_arithmetic(config, arithmetic)
    return config


def check_same_arithmetic(config: Config, arithmetic: Arithmetic) -> None:
    """Raise InputError, naming both values, if a bit-changing parameter of `config` is not that of the trace."""
    trace = _by_key(arithmetic)
    for key, value in _by_key(config.contract).items():
        if value != trace[key]:
            what = "differs from the arithmetic that the trace was computed with"
            raise InputError(what, f"config: {key}", value, str(trace[key]))


def check_fits(config: Config, trace: Trace) -> None:
    """Raise InputError if `config` has not the arithmetic of the trace, or cannot reset as its neurons do."""
    check_same_arithmetic(config, trace.arithmetic)
    check_reset(config, trace.network)


def check_reset(config: Config, network: Network) -> None:
    """Raise InputError, naming the key to set, if neurons of `network` reset as the units of `config` cannot."""
    neuron = network.neuron
    if config.neuron_unit.any_reset or (neuron.reset_gradient and not neuron.subtracts):
        return
    how = "by subtraction" if neuron.subtracts else "to zero"
    detached = "" if neuron.reset_gradient else " without a gradient"
    what = f"neurons of {network.name} reset {how}{detached}, for which the units are not built"
    raise InputError(what, "config: neuron_unit.any_reset", "false", "true")


def _by_key(arithmetic: Arithmetic) -> dict[str, str | int]:
    """The bit-changing parameters by their keys in a configuration."""
    return {
        "arithmetic.value_format": arithmetic.value.name,
        "arithmetic.sum_format": arithmetic.sum.name,
        "arithmetic.micro_batch": arithmetic.micro_batch,
        "lut.k": arithmetic.k,
        "lut.lanes": arithmetic.lanes,
    }
