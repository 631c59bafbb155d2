"""What a cycle-level DRAM simulator gives for simple request traces: simulator output, and a generator of the traces.

Made with Ramulator 2.1 (github.com/CMU-SAFARI/ramulator2, commit c5b1c3a478b68853a61a0b8f99510d0dde7e6fd0).

- ``dram_reference.csv``: 4 standards x 9 traces of 20,000 requests, configuration ``base``
- ``dram_reference_variants.csv``: the same traces under 14 other configurations; no command counts
- ``phase_spread.csv``: how far the cycles move when only the refresh phase or the acceptance rule moves
- ``dram_timings.json``: the simulator's timings, organisations, address bits and controller settings
- ``traces.py``: the nine traces

The timings are the simulator's presets, not a vendor's data sheet.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent

BASE_CSV = FOLDER / "dram_reference.csv"
VARIANTS_CSV = FOLDER / "dram_reference_variants.csv"
PHASE_SPREAD_CSV = FOLDER / "phase_spread.csv"
TIMINGS_JSON = FOLDER / "dram_timings.json"
