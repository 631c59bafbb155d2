#!/usr/bin/env python3
"""Held-out accuracy of digits-conv in the machine's arithmetic and in float32, over several seeds.

Every run keeps a checkpoint in the work folder, so the benchmark can be stopped and started again; runs that are
finished are not repeated. Exit code 1 if the machine's mean is below the target or too far below float32's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from workloads.atomic import replacing
from workloads.checkpoint import Progress
from workloads.network import load_network
from workloads.trainer import train
from workloads.training_settings import DEFAULT_EPOCHS, FLOAT32, MACHINE, TrainingSettings

TARGET = 0.95  # mean held-out accuracy after the last epoch
MARGIN = 0.01  # how far the mean may be from float32's


def run(network: str, epochs: int, seed: int, learner: str, folder: Path) -> dict[str, Any]:
    """Train once, or go on with a run that was stopped, and return what is kept of it."""
    settings = TrainingSettings(load_network(network), steps=1, capture=1, seed=seed, learner=learner)
    steps = epochs * settings.steps_per_epoch
    settings = TrainingSettings(load_network(network), steps=steps, capture=steps, seed=seed, learner=learner)

    def report(progress: Progress) -> None:
        if progress.step % settings.steps_per_epoch == 0:
            last = progress.history[-1]
            print(
                f"{learner} seed {seed} epoch {last.epoch}: held out {last.held_out_accuracy:.2%}",
                file=sys.stderr,
                flush=True,
            )

    name = f"{network}-{epochs}-{learner}-{seed}.checkpoint"
    progress = train(settings, checkpoint=folder / name, report=report).progress
    return {
        "learner": learner,
        "seed": seed,
        "held_out_accuracy": progress.history[-1].held_out_accuracy,
        "loss": progress.history[-1].loss,
        "skipped_steps": progress.skipped_steps,
        "nonfinite": progress.nonfinite,
        "subnormal": progress.subnormal,
        "seconds": progress.seconds,
        "steps_per_second": progress.step / progress.seconds,
    }


def main() -> int:
    """Run all seeds, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="digits-conv")
    parser.add_argument("--epochs", type=int, default=DEFAULT_EPOCHS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("build/bench_accuracy"), help="work folder")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    try:
        runs = [
            run(arguments.network, arguments.epochs, seed, learner, arguments.folder)
            for seed in arguments.seeds
            for learner in (MACHINE, FLOAT32)
        ]
    except InputError as error:
        print(f"bench_accuracy: error: {error}", file=sys.stderr)
        return 2
    accuracies = {
        learner: statistics.mean(r["held_out_accuracy"] for r in runs if r["learner"] == learner)
        for learner in (MACHINE, FLOAT32)
    }
    difference = accuracies[MACHINE] - accuracies[FLOAT32]
    good = accuracies[MACHINE] >= TARGET and difference >= -MARGIN
    for entry in runs:
        print(
            f"{entry['learner']:<8} seed {entry['seed']}  {entry['held_out_accuracy']:7.2%}  loss {entry['loss']:.4f}"
            f"  {entry['skipped_steps']} skipped  {entry['steps_per_second']:.1f} steps/s"
        )
    print(
        f"means of {len(arguments.seeds)} seeds: machine {accuracies[MACHINE]:.2%}, float32 {accuracies[FLOAT32]:.2%},"
        f" difference {100 * difference:+.2f} points; target >= {TARGET:.0%} and within {100 * MARGIN:.0f} point:"
        f" {'met' if good else 'MISSED'}"
    )
    if arguments.json:
        result = {
            "network": arguments.network,
            "epochs": arguments.epochs,
            "machine_mean": accuracies[MACHINE],
            "float32_mean": accuracies[FLOAT32],
            "difference_points": 100 * difference,
            "good": good,
            "runs": runs,
        }
        with replacing(arguments.json) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
