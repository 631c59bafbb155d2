"""Worker process: converts one unit as MyHDL does when nothing is remembered for it."""

from __future__ import annotations

import contextlib

from rtl_models.simulators import convert_worker

if __name__ == "__main__":
    vars(convert_worker)["quick_source_lookup"] = contextlib.nullcontext
    convert_worker.main()
