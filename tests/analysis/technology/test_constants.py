"""The table of constants: every entry with unit, node and source, and one line for what is wrong with a table."""

from __future__ import annotations

import re

import pytest
import yaml

from rtl_models.errors import InputError
from tlm.analysis.technology.constants import WIDE, Constant, constants, parse_constants
from tlm.analysis.technology.scaling import scale_to_28nm

ENTRY = {
    "name": "cell",
    "low": 1,
    "nominal": 2,
    "high": 3,
    "unit": "um2",
    "node": "28 nm",
    "source": "a paper",
    "verified": "quoted",
}
CURVE = {"name": "65", "square": 1.0, "linear": 0.0, "constant": 0.0}


def table(*entries: dict[str, object], curves: tuple[dict[str, object], ...] = (CURVE,)) -> str:
    return yaml.safe_dump({"scaling_source": "a paper", "energy_curves": list(curves), "constants": list(entries)})


@pytest.mark.parametrize("constant", constants().constants, ids=lambda constant: constant.name)
def test_every_constant_says_where_it_is_from(constant: Constant) -> None:
    assert len(constant.source) > 20
    assert constant.unit
    assert constant.node in ("28 nm", "45 nm", "65 nm", "12 nm", "DRAM", "any")
    assert 0 <= constant.low <= constant.nominal <= constant.high
    if constant.verified == "assumed":
        assert constant.high >= WIDE * constant.low
    if constant.unit.startswith("pJ") and constant.node != "DRAM":
        scale_to_28nm(constant.node)


def test_nothing_is_calibrated_on_a_result() -> None:
    assert {constant.calibrated_on for constant in constants().constants} == {""}


def test_what_is_assumed_is_marked() -> None:
    """A source of ours that says so must be in the class of what is assumed, and the other way round."""
    assumed = {constant.name for constant in constants().constants if constant.verified == "assumed"}
    assert {"control_share", "leakage", "latch_transistors", "wire_length"} <= assumed
    assert not {"sram_cell", "add_binary32", "hbm2_activation"} & assumed


def test_a_good_table() -> None:
    found = parse_constants(table(ENTRY))
    assert found.range("cell").high == 3
    assert found.curve("65").square == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", r"constants.yaml: not valid YAML \(.*\)"),
        ("", "constants.yaml: Input should be a valid dictionary or instance of Constants"),
        (table({**ENTRY, "unit": ""}), r"constants.yaml: constants.0.unit: String should have at least 1 character"),
        (table({**ENTRY, "low": -1}), r"constants.yaml: constants.0.low: Input should be greater than or equal to 0"),
        (
            table({key: value for key, value in ENTRY.items() if key != "source"}),
            r"constants.yaml: constants.0.source: Field required",
        ),
        (
            table({**ENTRY, "verified": "guessed"}),
            r"constants.yaml: constants.0.verified: Input should be 'seen', 'quoted' or 'assumed'",
        ),
        (
            table({**ENTRY, "low": 2.5}),
            r"constants.yaml: constants.0: Value error, cell: low, nominal and high must ascend",
        ),
        (
            table({**ENTRY, "verified": "assumed", "low": 2, "high": 2.9}),
            r"constants.yaml: constants.0: Value error, cell: what is assumed needs high at least 1.5 x low",
        ),
        (table(ENTRY, ENTRY), r"constants.yaml: Value error, constant cell stands there twice"),
        (table(curves=(CURVE, CURVE)), r"constants.yaml: Value error, energy curve 65 stands there twice"),
    ],
)
def test_a_wrong_table_is_one_line(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_constants(text)
    assert re.fullmatch(words, str(caught.value)), str(caught.value)


def test_unknown_names() -> None:
    found = parse_constants(table(ENTRY))
    with pytest.raises(InputError, match=r"^constants.yaml: unknown constant, got 'cel', allowed: cell$"):
        found.range("cel")
    with pytest.raises(InputError, match=r"^constants.yaml: unknown energy curve, got '66', allowed: 65$"):
        found.curve("66")
