"""`h2learn train`: train a network on a data set, go on after an interruption, capture one step as a trace."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rtl_models.errors import InputError
from rtl_models.formats import format_by_name
from tlm.cli.completion import complete_networks
from tlm.cli.examples import examples
from tlm.cli.training_options import descent_options

if TYPE_CHECKING:
    from workloads.checkpoint import Progress as TrainingProgress
    from workloads.trainer import TrainingResult
    from workloads.training_settings import TrainingSettings

CHECKPOINT_SUFFIX = ".checkpoint"


@click.command(
    epilog=examples(
        "h2learn train digits-conv --epochs 5 --out digits.h5",
        "h2learn train cifar-cnn --steps 200 --stages 0,50,100 --out stages",
    )
)
@click.argument("network", metavar="NETWORK", shell_complete=complete_networks)
@click.option(
    "--dataset",
    "dataset_name",
    metavar="NAME",
    help="digits (8x8), photographs or photographs-224 (crops of 32x32 or 224x224), event-camera-model (crops "
    "that move, as events); with --data cifar-10, n-mnist, dvs-gesture, or a data set of the package tonic, such as "
    "tonic:NMNIST.  [default: by the folder, else by the input]",
)
@click.option("--data", metavar="DIR", help="Folder with the files of cifar-10, n-mnist, dvs-gesture or tonic.")
@click.option("--epochs", type=int, help="Passes over the training images.  [default: 25]")
@click.option("--steps", type=int, help="Steps, instead of epochs.")
@click.option("--batch", type=int, default=32, show_default=True, help="Images a step.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides initial weights, order and shifts.")
@click.option("--capture", type=int, metavar="STEP", help="Step, from 1, that FILE holds.  [default: the last]")
@click.option("--capture-batch", type=int, metavar="N", help="Capture the step of the batch's first N images alone.")
@click.option(
    "--stages",
    metavar="PERCENTS",
    help="Capture several steps, such as 0,10,50,100 % of the run, a trace each in the folder that --out names.",
)
@click.option("--evaluated", type=int, metavar="N", help="Held-out images to measure accuracy on.  [default: all]")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Trace to write.")
@click.option("--value-format", default="binary16", show_default=True, help="Format of stored values.")
@click.option("--sum-format", default="binary32", show_default=True, help="Format of sums.")
@descent_options
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def train(
    network: str, epochs: int | None, steps: int | None, stages: str | None, out: Path, as_json: bool, **options: Any
) -> None:
    """Train NETWORK, bit-exact, and capture one training step as a trace.

    NETWORK is a name of `h2learn list networks` or a network file (YAML). Beside FILE stands FILE.checkpoint, written
    after every epoch and on Ctrl-C; the same command goes on from it and ends with the same bits. With --stages, one
    run leaves a trace at each of these percentages in the folder FILE, and those that are there are used again.
    """
    from workloads.trainer import train as run_training

    if stages is not None and options["capture"] is not None:
        raise InputError("give --capture or --stages, not both", "train", f"--stages {stages}")
    settings = _settings(network, epochs, steps, options)
    if stages is not None:
        from tlm.cli.train_stages import show_stages, train_stages

        with _progress_bar(settings.steps) as report:
            summary = train_stages(settings, out, stages, report)
        show_stages(summary, as_json)
        return
    checkpoint = Path(f"{out}{CHECKPOINT_SUFFIX}")
    with _progress_bar(settings.steps) as report:
        result = run_training(settings, trace=out, checkpoint=checkpoint, report=report)
    summary = summarise(settings, result, out, checkpoint)
    if as_json:
        click.echo(json.dumps(summary, indent=2, allow_nan=False))
    else:
        _print_summary(summary)


def summarise(settings: TrainingSettings, result: TrainingResult, trace: Path, checkpoint: Path) -> dict[str, Any]:
    """Return the summary of a run that has ended, as `--json` prints it; numbers that are not finite become null."""
    progress = result.progress
    epochs = [{name: _finite(value) for name, value in vars(entry).items()} for entry in progress.history]
    return {
        "network": settings.network.name,
        "dataset": settings.dataset.name,
        "epochs_trained": settings.training_run.epochs,
        "briefly_trained": settings.training_run.brief,
        "steps": progress.step,
        "resumed_at_step": result.started_at if 0 < result.started_at < settings.steps else None,
        "was_finished": result.started_at == settings.steps,
        "loss": epochs[-1]["loss"],
        "accuracy": epochs[-1]["accuracy"],
        "held_out_accuracy": epochs[-1]["held_out_accuracy"],
        "held_out_images": settings.evaluated_images,
        "skipped_steps": progress.skipped_steps,
        "nonfinite": progress.nonfinite,
        "subnormal": progress.subnormal,
        "seconds": progress.seconds,
        "steps_per_second": progress.step / progress.seconds,
        "trace": {"path": str(trace), "step": settings.capture, "sha256": progress.captured},
        "checkpoint": str(checkpoint),
        "epochs": epochs,
    }


def _settings(network: str, epochs: int | None, steps: int | None, options: dict[str, Any]) -> TrainingSettings:
    """Check the options against each other and return the settings of the run; raises InputError."""
    from workloads.datasets import choose_dataset
    from workloads.network import load_network
    from workloads.record import Arithmetic
    from workloads.training_settings import DEFAULT_EPOCHS, TrainingSettings, check_whole

    if epochs is not None and steps is not None:
        raise InputError("give --epochs or --steps, not both", "train", f"--epochs {epochs} --steps {steps}")
    chosen = load_network(network)
    if steps is None:
        epochs = DEFAULT_EPOCHS if epochs is None else epochs
        check_whole("epochs", epochs, 1)
        steps = epochs * choose_dataset(chosen, options["dataset_name"], options["data"]).steps_per_epoch(
            options["batch"]
        )
    arithmetic = Arithmetic(
        value=format_by_name(options.pop("value_format"), "value-format"),
        sum=format_by_name(options.pop("sum_format"), "sum-format"),
        **{name: options.pop(name) for name in ("k", "lanes", "micro_batch")},
    )
    capture = options.pop("capture")
    settings = TrainingSettings(chosen, steps, steps if capture is None else capture, arithmetic, **options)
    settings.check()
    return settings


@contextmanager
def _progress_bar(steps: int) -> Iterator[Callable[[TrainingProgress], None]]:
    """Give a function that shows progress on stderr, if that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    text = TextColumn("loss {task.fields[loss]}, held out {task.fields[held_out]}")
    with Progress(*columns, text, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=steps, loss="-", held_out="-")

        def report(progress: TrainingProgress) -> None:
            share = progress.history[-1].held_out_accuracy if progress.history else math.nan
            held_out = f"{share:.1%}" if math.isfinite(share) else "-"
            bar.update(task, completed=progress.step, loss=f"{progress.loss:.3f}", held_out=held_out)

        yield report


def _print_summary(summary: dict[str, Any]) -> None:
    trace = summary["trace"]
    loss = "not finite" if summary["loss"] is None else f"{summary['loss']:.4f}"
    epochs = len(summary["epochs"])
    steps = f"{summary['steps']} ({epochs} epoch{'s' if epochs > 1 else ''})"
    if summary["briefly_trained"]:
        steps = f"{summary['steps']} ({summary['epochs_trained']:.2g} epochs: briefly trained)"
    if summary["was_finished"]:
        steps += ", finished already: nothing was done"
    elif summary["resumed_at_step"] is not None:
        steps += f", went on after step {summary['resumed_at_step']}"
    rows = {
        "network": f"{summary['network']}, trained on the {summary['dataset']}",
        "steps": steps,
        "speed": f"{summary['steps_per_second']:.3g} steps/s",
        "loss, last epoch": loss,
        "accuracy, last epoch": f"{summary['accuracy']:.2%} of the training batches",
        "held-out accuracy": held_out_words(summary),
        "stored values": f"{summary['nonfinite']:,} non-finite, {summary['subnormal']:,} subnormal",
        "skipped steps": str(summary["skipped_steps"]),
        "trace": f"{trace['path']}, step {trace['step']}",
        "trace sha256": trace["sha256"],
        "checkpoint": summary["checkpoint"],
    }
    for name, value in rows.items():
        click.echo(f"{name:<21} {value}")


def held_out_words(summary: dict[str, Any]) -> str:
    """The accuracy on held-out images, in words."""
    share = summary["held_out_accuracy"]
    return "not measured" if share is None else f"{share:.2%} of {summary['held_out_images']} images"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
