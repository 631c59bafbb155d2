"""`h2learn evaluate`: training steps of whole networks against a GPU, and what each idea of the machine contributes."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable

from tlm.cli.completion import complete_devices
from tlm.cli.config import config_option, set_option
from tlm.cli.console import output_console
from tlm.cli.examples import examples
from tlm.cli.job_options import out_option, workers_option


@click.command(
    epilog=examples(
        "h2learn evaluate --networks cifar-cnn --stages 0,100 --ablations none",
        "h2learn evaluate --networks all --gpu A100 --out against-a100",
    )
)
@click.option("--networks", metavar="LIST", default="cifar-cnn", show_default=True, help="Names or files, or all.")
@click.option("--stages", metavar="LIST", default="0,10,50,100", show_default=True, help="Percents of the training.")
@click.option("--steps", type=int, default=40, show_default=True, help="Steps of the training.")
@click.option("--training-batch", type=int, default=32, show_default=True, help="Images of a step of the training.")
@click.option("--learning-rate", type=float, default=0.02, show_default=True, help="At the start of the cosine.")
@click.option("--batch", type=int, default=64, show_default=True, help="Images of a step of ours that is told.")
@click.option("--images", type=int, help="Of these, images to capture and simulate.  [default: up to 3 micro-batches]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the training.")
@click.option(
    "--gpu",
    metavar="NAME",
    default="V100",
    show_default=True,
    shell_complete=complete_devices,
    help="V100, A100, RTX3090 or H200.",
)
@click.option("--gpu-batch", type=int, default=64, show_default=True, help="Images of a step on the GPU.")
@click.option(
    "--gpu-precision", metavar="NAME", default="binary32", show_default=True, help="binary32, tf32, tensor16."
)
@click.option(
    "--gpu-neuron", metavar="NAME", default="plain", show_default=True, help="Element-wise kernels: plain, fused."
)
@click.option(
    "--ablations",
    metavar="LIST",
    default="all",
    show_default=True,
    help="backward, pipeline, elements, together, k, buffers, dram, potentials; all or none.",
)
@click.option("--ablation-stage", type=int, metavar="PERCENT", help="[default: the stage nearest to 50]")
@config_option(default="h2learn")
@set_option
@workers_option
@click.option(
    "--traces", type=click.Path(path_type=Path), metavar="DIR", help="Folder of captured stages.  [default: a cache]"
)
@out_option("h2learn-evaluation", "evaluate.json, .md, .html, the plots")
@click.option("--json", "as_json", is_flag=True, help="Print evaluate.json instead of the tables.")
def evaluate(out: Path, as_json: bool, **options: Any) -> None:
    """Compare training steps of whole networks on this machine with a GPU: time, energy and area, as the paper does.

    Every network is trained for some steps, captured at several stages, simulated at each and averaged. The same
    command goes on where an interrupted one was; docs/evaluation.md says how each number comes about.
    """
    from tlm.analysis.evaluation.evaluation import run_evaluation
    from tlm.analysis.evaluation.options import EvaluationOptions
    from tlm.analysis.evaluation.report import write_report
    from tlm.cli.run import progress_bar

    with progress_bar() as report:
        content = run_evaluation(EvaluationOptions(**options), out, shlex.join(["h2learn", *sys.argv[1:]]), report)
        report("report", 0, 1)
        files = write_report(out, content)
    if as_json:
        click.echo(json.dumps(content, indent=2, allow_nan=False))
        return
    _print(content)
    click.echo(f"results: {out}/{', '.join(files)}")


def _print(content: dict[str, Any]) -> None:
    from tlm.analysis.evaluation.tables import all_tables

    console = output_console()
    for found in all_tables(content):
        table = RichTable(title=f"\n{found.title}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        for number, heading in enumerate(found.headings):
            table.add_column(heading, justify="right" if number else "left", no_wrap=not number, overflow="fold")
        for row in found.rows:
            table.add_row(*row)
        console.print(table)
        for note in found.notes:
            console.print(note.replace("**", ""))
