"""The example in docs/cosim.md runs."""

from __future__ import annotations

import re
from pathlib import Path

from tests.cosim.test_cosimulate import needs_verilator

GUIDE = Path(__file__).parents[2] / "docs" / "cosim.md"


@needs_verilator
def test_the_interactive_example_runs() -> None:
    examples = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 1
    exec(compile(examples[0], str(GUIDE), "exec"), {})
