"""`h2learn verify`: our models against reference results that were computed elsewhere."""

from __future__ import annotations

from tlm.cli.lazy import LazyCommand, LazyGroup

verify = LazyGroup(
    "verify",
    {
        "dataflow": LazyCommand(
            "tlm.cli.verify_dataflow:dataflow", "Run dataflow graphs on the kernel and compare every time."
        ),
        "bptt": LazyCommand("tlm.cli.verify_bptt:bptt", "Run training steps and compare spikes and gradients."),
        "dram": LazyCommand("tlm.cli.verify_dram:dram", "Replay DRAM request traces and compare the cycles."),
    },
    help="Compare the models with reference results that were computed elsewhere.",
)
