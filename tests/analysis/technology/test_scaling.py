"""Scaling of energy between nodes: the published example, and the ends of what is taken for 28 nm."""

from __future__ import annotations

import pytest

from rtl_models.errors import InputError
from tlm.analysis.technology.constants import constants
from tlm.analysis.technology.scaling import energy_28nm, energy_factor, factor_at_28nm, scale_to_28nm


def test_the_example_of_the_published_correction() -> None:
    """Stillmaker and Baas' corrigendum: 1 pJ at 65 nm and 1.3 V is 0.1755 pJ at 32 nm and 0.9 V."""
    at_32 = energy_factor(constants().curve("HP32"), 0.9)
    at_65 = energy_factor(constants().curve("65"), 1.3)
    assert at_32 == pytest.approx(0.4571, abs=5e-5)
    assert at_65 == pytest.approx(2.604, abs=5e-4)
    assert at_32 / at_65 == pytest.approx(0.1755, abs=1e-4)


@pytest.mark.parametrize("flavour", ["HP", "LP"])
def test_28_nm_lies_between_its_neighbours(flavour: str) -> None:
    at_32, at_20 = (energy_factor(constants().curve(f"{flavour}{node}"), 0.9) for node in (32, 20))
    assert at_20 < factor_at_28nm(flavour) < at_32
    assert factor_at_28nm(flavour) == pytest.approx((2 * at_32 + at_20) / 3)


@pytest.mark.parametrize("node", ["45 nm", "65 nm"])
def test_a_smaller_node_takes_less(node: str) -> None:
    found = scale_to_28nm(node)
    assert 0.2 < found.low <= found.nominal <= found.high < 0.7


def test_energies_at_28_nm() -> None:
    assert energy_28nm("wire") == constants().range("wire")
    assert energy_28nm("add_binary32") == constants().range("add_binary32") * scale_to_28nm("45 nm")


def test_a_node_without_a_curve() -> None:
    words = "^technology: no scaling of energy from this node, got 'any', allowed: 28 nm, 45 nm, 65 nm$"
    with pytest.raises(InputError, match=words):
        energy_28nm("control_share")
