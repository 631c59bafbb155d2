"""What an export of a network may be asked of: a network by name or file, or a trace of one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from workloads.exporters.sparsity import sparsity_rows
from workloads.network import Network, list_networks, load_network
from workloads.trace_file import open_trace

_NETWORK_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Target:
    """A network, the images of its trace (1 without one), and a row of sparsity for each layer if it was asked for."""

    network: Network
    images: int = 1
    sparsity: tuple[dict[str, Any], ...] = ()


def read_target(target: str, command: str, sparsity: bool) -> Target:
    """Read a network or a trace; raises InputError for what is neither."""
    if target in list_networks() or Path(target).suffix in _NETWORK_SUFFIXES:
        return Target(load_network(target))
    if not Path(target).exists():
        allowed = f"{', '.join(list_networks())}, a network file (.yaml) or a trace file"
        raise InputError("unknown network or trace", command, target, allowed)
    with open_trace(target) as trace:
        return Target(trace.network, trace.batch, tuple(sparsity_rows(trace)) if sparsity else ())
