"""The example of the guide runs."""

import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "kernel.md"


def test_the_example_runs() -> None:
    examples = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(examples) == 1
    exec(examples[0], {})
