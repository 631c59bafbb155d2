"""`h2learn verify bptt FILE...`: the training step against steps solved by automatic differentiation in binary64."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from tlm.cli.console import output_console
from tlm.cli.examples import examples

if TYPE_CHECKING:
    from workloads.verify_bptt import Deviation, FileVerdict, LayerVerdict, ModeVerdict


@click.command(
    epilog=examples(
        "h2learn verify bptt conv_t6.npz linear_t1.npz --json",
    )
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def bptt(ctx: click.Context, files: tuple[Path, ...], as_json: bool) -> None:
    """Run training steps and compare spikes and gradients with references solved in binary64.

    FILE is an .npz of one step. Every file is run in binary64 (within 1e-12); files of bytes or spikes also in machine
    arithmetic, within running error bounds. Exit code 1 if anything is outside.
    """
    from workloads.verify_bptt import verify_file

    verdicts = [verify_file(file) for file in files]
    if as_json:
        click.echo(json.dumps([describe(verdict) for verdict in verdicts], indent=2, allow_nan=False))
    else:
        _print(verdicts)
    if not all(verdict.good for verdict in verdicts):
        ctx.exit(1)


def describe(verdict: FileVerdict) -> dict[str, Any]:
    """Return what `--json` prints of one file; numbers that are not finite become null."""
    modes = [asdict(mode) | {"good": mode.good} for mode in verdict.modes]
    described: dict[str, Any] = _finite(asdict(verdict) | {"modes": modes, "good": verdict.good})
    return described


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print(verdicts: list[FileVerdict]) -> None:
    console = output_console(soft_wrap=True)
    for verdict in verdicts:
        for mode in verdict.modes:
            console.print(_table(verdict, mode))
            console.print(_summary(mode))
    good = sum(verdict.good for verdict in verdicts)
    steps = sum(len(verdict.modes) for verdict in verdicts)
    console.print(f"{good} of {len(verdicts)} files inside their bounds, {steps} steps compared")
    console.print(
        "each deviation: largest deviation / the tensor's largest magnitude (share of its bound, 100% allowed)"
    )


def _table(verdict: FileVerdict, mode: ModeVerdict) -> Table:
    table = Table(title=f"{verdict.name} ({verdict.encoding}), {mode.mode}: {'good' if mode.good else 'OUTSIDE'}")
    table.add_column("layer")
    for heading in ("flipped spikes", "flipped masks", "neurons", "u", "du", "dW"):
        table.add_column(heading, justify="right", overflow="fold")
    for layer in mode.layers:
        table.add_row(*_row(layer))
    return table


def _row(layer: LayerVerdict) -> tuple[str, ...]:
    neurons = (layer.flipped_spikes, layer.flipped_masks, layer.neurons or None)
    counts = ("-" if count is None else f"{count:,}" for count in neurons)
    deviations = (_shown(d) for d in (layer.potentials, layer.gradients, layer.weight_gradient))
    return (layer.name, *counts, *deviations)


def _shown(deviation: Deviation | None) -> str:
    if deviation is None:
        return "-"
    if not deviation.compared:
        return "not compared"
    return f"{deviation.relative:.1e} ({deviation.used:.1%})"


def _summary(mode: ModeVerdict) -> str:
    text = f"loss {_shown(mode.loss)}, logits {_shown(mode.logits)}"
    if mode.flipped_samples:
        text += f"; samples with a flip: {mode.flipped_samples}, their gradients compared on the machine's own activity"
    if mode.nonfinite:
        text += f", {mode.nonfinite} stored values are not finite"
    return text
