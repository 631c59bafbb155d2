"""Worker process: converts one unit to Verilog text."""

from __future__ import annotations

import re
import tempfile
import warnings
from pathlib import Path

from rtl_models.simulators.ports import port_signals
from rtl_models.simulators.process import read_request, send_answer
from rtl_models.simulators.source_lookup import quick_source_lookup
from rtl_models.units import Unit


def convert(unit: Unit, module: str) -> str:
    """Return the Verilog of `unit` as module `module`, without the date in its head."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), quick_source_lookup():
        warnings.simplefilter("ignore")  # "driven but not read": taps of blocks that a parameter switches off
        unit.block(**port_signals(unit), **unit.parameters).convert(hdl="Verilog", path=folder, name=module)
        text = Path(folder, f"{module}.v").read_text(encoding="utf-8")
    return re.sub(r"^// (File|Date):.*\n", "", text, flags=re.MULTILINE)


def main() -> None:
    """Answer one request (unit, module name) with the text."""
    send_answer(convert(*read_request()))


if __name__ == "__main__":
    main()
