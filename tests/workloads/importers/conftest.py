"""What all tests of importers share."""

from __future__ import annotations

import pytest

from tests.workloads.importers import nir_graphs


@pytest.fixture(autouse=True)
def _own_numbers() -> None:
    """Every test makes graphs of the same numbers whichever were run before it."""
    nir_graphs.draw_anew()
