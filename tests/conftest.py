"""Settings for all tests: reproducible properties, plots without a display."""

from __future__ import annotations

import os
import signal

# Before anything imports matplotlib: tests draw into files only.
os.environ["MPLBACKEND"] = "Agg"

from hypothesis import HealthCheck, settings

# The same examples on every machine and run; nothing depends on time, because a first call may compile a kernel and a
# machine may be busy with other things.
settings.register_profile(
    "reproducible", derandomize=True, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("reproducible")

# A run started in the background of a script ignores Ctrl-C, and so would every process under test.
signal.signal(signal.SIGINT, signal.default_int_handler)
