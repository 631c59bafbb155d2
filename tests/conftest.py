"""Settings for all tests: reproducible properties, plots without a display."""

from __future__ import annotations

import os

# Before anything imports matplotlib: tests draw into files only.
os.environ["MPLBACKEND"] = "Agg"

from hypothesis import settings

# The same examples on every machine and run; no deadline, because a first call may compile a kernel.
settings.register_profile("reproducible", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("reproducible")
