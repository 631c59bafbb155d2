"""`h2learn dram`: the memory system alone, on request traces."""

from __future__ import annotations

from tlm.cli.lazy import LazyCommand, LazyGroup

dram = LazyGroup(
    "dram",
    {
        "replay": LazyCommand("tlm.cli.dram_replay:replay_command", "Replay the requests of a file."),
        "record": LazyCommand("tlm.cli.dram_record:record", "Write a training step's requests into a file."),
        "standards": LazyCommand("tlm.cli.dram_standards:standards", "List the DRAM standards, or show one as YAML."),
    },
    help="Run the DRAM model on request traces.",
)
