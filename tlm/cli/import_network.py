"""`h2learn import`: networks of other frameworks as network files."""

from __future__ import annotations

from tlm.cli.lazy import LazyCommand, LazyGroup

import_network = LazyGroup(
    "import",
    {"nir": LazyCommand("tlm.cli.import_nir:nir", "Read a NIR graph, as snnTorch, SpikingJelly and others write it.")},
    help="Read networks of other frameworks: a network file and the file of its weights.",
)
