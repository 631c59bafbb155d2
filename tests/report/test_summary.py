"""The summary says what `result.json` holds, for any name and for a loss that is not finite."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from tests.report.conftest import Run
from tests.report.test_result import RUN, TRAINING
from tlm.report.summary import print_summary


def summary(content: dict[str, Any]) -> str:
    out = io.StringIO()
    print_summary(content, Console(file=out, width=120, highlight=False))
    return out.getvalue()


def test_it_names_time_engines_streams_and_co_simulation(linear: Run) -> None:
    text = summary(linear.content)
    time = linear.content["time"]
    assert f"one training step: {time['step_cycles']:,} cycles, {time['step_ps'] / 1e6:,.2f} us at 1,000 MHz" in text
    assert "(provisional)" not in text
    assert "(provisional)" in summary({**linear.content, "provisional": True})
    for name, engine in linear.content["engines"].items():
        line = next(line for line in text.splitlines() if line.startswith(f"│ {name.replace('_', ' ')} "))
        assert f"{engine['busy_ps'] / time['step_ps']:.1%}" in line
    for stream, read in linear.content["dram"]["read_bytes"].items():
        line = next(line for line in text.splitlines() if line.startswith(f"│ {stream.replace('_', ' ')} "))
        assert f"{read:,}" in line
    assert "co-simulation: not run (--cosim none); no cycle law is proved by this run" in text


def test_training_and_a_skipped_step(linear: Run) -> None:
    content = linear.content | {"network": linear.content["network"] | {"skipped": True}}
    text = summary(content | {"training": TRAINING | {"loss": 1.25}})
    assert "trained 3 steps on digits: held-out accuracy 50.0%, loss 1.250, seed 0" in text
    assert "not finite: the optimiser left the weights alone" in text
    assert "loss not finite, seed 0" in summary(content | {"training": TRAINING})


def test_a_step_computed_elsewhere(linear: Run) -> None:
    content = linear.content | {"network": linear.content["network"] | {"origin": "another framework"}}
    assert "the step was computed by another framework, not bit by bit as the machine does" in summary(content)
    assert "was computed by" not in summary(linear.content)


def test_the_run_that_the_step_belongs_to(linear: Run) -> None:
    network = linear.content["network"]
    assert "epochs in all" not in summary(linear.content)
    brief = summary(linear.content | {"network": network | {"run": RUN}})
    assert f"step 7 of 40 on {network['dataset']}, batch 5, 0.14 epochs in all: briefly trained" in brief
    longer = RUN | {"epochs": 2.0, "briefly_trained": False}
    text = summary(linear.content | {"network": network | {"run": longer}})
    assert "batch 5, 2 epochs in all\n" in text
    assert "briefly" not in text


def test_names_are_not_read_as_markup(linear: Run) -> None:
    network = linear.content["network"] | {"name": "[/bold] [red]net"}
    config = linear.content["config"] | {"name": "[/]"}
    assert "[/bold] [red]net, step 7: batch 5, 9 timesteps, on [/]" in summary(
        linear.content | {"network": network, "config": config}
    )


def test_the_verdict_of_a_co_simulation(linear: Run) -> None:
    comparison = {"tiles": 3, "results": 1200, "transfers": 7, "mismatched_bits": 1, "mismatched_transfers": 2}
    cosim = {
        "notes": ["no [Verilator]: MyHDL alone"],
        "comparisons": [comparison, comparison],
        "passed": False,
        "simulators": ["myhdl"],
        "units": [{"unit": "lut_row", "verdict": "refuted"}, {"unit": "neuron", "verdict": "not yet"}],
    }
    text = " ".join(summary(linear.content | {"cosim": cosim}).split())
    assert "no [Verilator]: MyHDL alone" in text
    assert (
        "co-simulation (myhdl): FAILED, 6 tiles, 2,400 results compared, 2 wrong bits, 14 transfers timed, 4 off"
        in text
    )
    assert "cycle laws: refuted: lut row; not yet: neuron" in text
