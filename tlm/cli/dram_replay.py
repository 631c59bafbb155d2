"""`h2learn dram replay TRACE`: a file of requests through one or more DRAM channels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlm.cli.completion import complete_controllers, complete_standards
from tlm.cli.dram_output import described, print_result, write_commands
from tlm.cli.examples import examples

if TYPE_CHECKING:
    from tlm.memory.controller import ControllerConfig

# What the command needs is imported inside it, so that its help answers at once.


@click.command(
    "replay",
    epilog=examples(
        "h2learn dram replay requests.txt.gz --standard DDR4 --set nRCD=20",
        "h2learn dram replay step.txt --standard HBM2 --controller mop4clxor --channels 8 --interleave 256",
    ),
)
@click.argument("trace", metavar="TRACE", type=click.Path(path_type=Path))
@click.option(
    "--standard",
    required=True,
    metavar="NAME|FILE",
    shell_complete=complete_standards,
    help="DRAM standard (see: h2learn dram standards).",
)
@click.option(
    "--controller",
    "controller_name",
    default="base",
    show_default=True,
    metavar="NAME",
    shell_complete=complete_controllers,
    help="Controller.",
)
@click.option("--channels", default=1, show_default=True, metavar="N", type=click.IntRange(min=1), help="Channels.")
@click.option(
    "--interleave", metavar="BYTES", type=int, help="Bytes after which the channel changes [default: a burst]"
)
@click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override a timing (nRCD=20, nRFC=350ns), a size of the organisation, or a setting of the controller.",
)
@click.option("--align", is_flag=True, help="Round addresses down to a burst instead of refusing them.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.option(
    "--log-commands",
    "log",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write every DRAM command into FILE: CSV, or Parquet if it is named so.",
)
def replay_command(
    trace: Path,
    standard: str,
    controller_name: str,
    channels: int,
    interleave: int | None,
    overrides: tuple[str, ...],
    align: bool,
    as_json: bool,
    log: Path | None,
) -> None:
    """Replay the requests of a file ("R 0xADDR" or "W 0xADDR" a line, gzip too) on a DRAM standard.

    All requests are offered from the first cycle on, in order, as fast as the controller takes them.
    """
    from tlm.memory.replay import replay
    from tlm.memory.request_trace import read_request_trace
    from tlm.memory.standard import load_standard
    from workloads.atomic import check_writable

    controller, timings = _controller(controller_name, overrides)
    chosen = load_standard(standard, timings)
    if log is not None:
        check_writable(log)
    addresses, is_write = read_request_trace(trace, chosen.burst_bytes, chosen.capacity_bytes * channels, align)
    result = replay(addresses, is_write, chosen, controller, channels, log is not None, interleave)
    if log is not None:
        write_commands(log, result, addresses // (interleave or chosen.burst_bytes) % channels)
    setting = {"trace": str(trace), "standard": chosen.name, "controller": controller_name, "channels": channels}
    answer = setting | {"clock_period_ps": chosen.clock_period_ps} | described(result)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        print_result(answer)


def _controller(name: str, overrides: tuple[str, ...]) -> tuple[ControllerConfig, tuple[str, ...]]:
    """Return the controller with its part of the overrides, and the overrides of the standard."""
    from dataclasses import asdict, replace

    from rtl_models.errors import InputError
    from tlm.memory.controller import CONTROLLERS

    if name not in CONTROLLERS:
        raise InputError("unknown controller", "--controller", name, ", ".join(CONTROLLERS))
    defaults = asdict(CONTROLLERS[name])
    settings: dict[str, Any] = {}
    timings = []
    for override in overrides:
        key, _, text = (part.strip() for part in override.partition("="))
        if key in defaults:
            settings[key] = _setting(key, text, defaults[key])
        else:
            timings.append(override)
    return replace(CONTROLLERS[name], **settings), tuple(timings)


def _setting(key: str, text: str, default: object) -> object:
    """Return a controller's setting of the type that its default has."""
    from rtl_models.errors import InputError

    if isinstance(default, str):
        return text
    if isinstance(default, bool):
        if text not in ("true", "false"):
            raise InputError("not a setting of the controller", f"--set {key}", text, "true, false")
        return text == "true"
    try:
        return float(text) if isinstance(default, float) else int(text)
    except ValueError:
        allowed = "a number" if isinstance(default, float) else "a whole number"
        raise InputError("not a setting of the controller", f"--set {key}", text, allowed) from None
