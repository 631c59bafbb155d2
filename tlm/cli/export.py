"""`h2learn export`: traces and networks in the formats of other tools."""

from __future__ import annotations

from tlm.cli.lazy import LazyCommand, LazyGroup

export = LazyGroup(
    "export",
    {
        "nir": LazyCommand("tlm.cli.export_nir:nir", "Write a network and its weights as a NIR graph."),
        "tensors": LazyCommand("tlm.cli.export_tensors:tensors", "Write a trace as tensors for PyTorch or NumPy."),
        "sparsity": LazyCommand("tlm.cli.export_sparsity:sparsity", "Write how sparse traces are, layer by layer."),
        "scale-sim": LazyCommand("tlm.cli.export_scale_sim:scale_sim", "Write a network for SCALE-Sim."),
        "sata-sim": LazyCommand("tlm.cli.export_sata_sim:sata_sim", "Write a network and its sparsity for SATA_Sim."),
    },
    help="Write traces and networks in the formats of other tools.",
)
