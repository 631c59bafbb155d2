"""Tables of DRAM standards: what they say, what is derived after overrides, and the words of every mistake."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rtl_models.errors import InputError
from tlm.memory.family import FAMILIES
from tlm.memory.reference import TIMINGS_JSON
from tlm.memory.standard import list_standards, load_standard, resolve_standard, standard_table

REFERENCE = json.loads(TIMINGS_JSON.read_text(encoding="utf-8"))["standards"]
RENAMED = {"nBL_min": "nBL", "nRTPL": "nRTP"}
NOT_MODELLED = {"nCCDS_WR", "nCCDL_WR", "nCAS", "nRFMab", "nRFMpb"}  # equal to nCCDS, nCCDL; next tick; not issued

OWN = ["DDR4-2400", "HBM2-2000", "HBM2-V100", "HBM3-6400", "LPDDR5-6400"]


def table(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load(standard_table(name)))


@pytest.mark.parametrize("name", REFERENCE)
def test_the_reference_presets_are_the_reference_simulators(name: str) -> None:
    standard, reference = load_standard(name), REFERENCE[name]
    timings = {RENAMED.get(key, key): value for key, value in reference["timings_in_CK"].items()}
    assert standard.timings == {key: value for key, value in timings.items() if key not in NOT_MODELLED}
    assert standard.clock_period_ps == reference["tCK_ps"]
    assert standard.burst_bytes == reference["burst_bytes"]
    assert standard.capacity_bytes == reference["capacity_bytes"]
    assert standard.organisation.banks == reference["banks_total"]
    assert standard.peak_bytes_per_us == pytest.approx(reference["peak_GBps"] * 1000, rel=1e-12)
    assert standard.ticks_per_clock == reference["simulated_ticks_per_CK"]
    assert standard.read_latency_ticks == reference["read_latency_RD_to_last_data_CK"] * standard.ticks_per_clock
    assert standard.write_latency_ticks == reference["write_latency_WR_to_last_data_CK"] * standard.ticks_per_clock


def test_what_comes_with_the_project() -> None:
    assert list_standards() == sorted([*REFERENCE, *OWN])


@pytest.mark.parametrize("name", OWN)
def test_own_presets_stand_apart_with_a_source_beside_each_number(name: str) -> None:
    raw = table(name)
    assert raw["name"] == name
    assert raw["source"]
    assert load_standard(name).name == name
    for key, value in raw["timings"].items():
        if isinstance(value, dict) and "source" in value:
            assert value["source"], key


def test_the_v100_has_900_gigabytes_a_second_and_16_gibibytes() -> None:
    standard = load_standard("HBM2-V100")
    assert 4 * 8 * standard.peak_bytes_per_us == pytest.approx(900e3, rel=1e-3)
    assert 4 * 8 * standard.capacity_bytes == 16 << 30


def test_nanoseconds_become_clocks_after_the_overrides() -> None:
    assert load_standard("DDR4").timings["nRFC"] == 433
    halved = load_standard("DDR4", ("clock_period_ps=1666",))
    assert (halved.timings["nRFC"], halved.timings["nREFI"], halved.timings["nRCD"]) == (217, 4682, 16)
    assert load_standard("DDR4", ("nRFC=350ns",)).timings["nRFC"] == 421
    assert load_standard("DDR4-2400", ("nRAS=50",)).timings["nRC"] == 66, "nRC is nRAS + nRP where no table gives it"
    assert load_standard("DDR4", ("nWR=15ns",)).timings["nWR"] == 18, "18.007 clocks, as JEDEC rounds"
    assert load_standard("DDR4", ("nWR=15.1ns",)).timings["nWR"] == 19
    assert load_standard("HBM2", ("bank_groups=8",)).timings["nREFIpb"] == 61, "one bank of 64 after another"


def test_organisation_can_be_overridden() -> None:
    two = load_standard("DDR4", ("ranks=2",))
    assert two.capacity_bytes == 16 << 30
    assert two.peak_bytes_per_us == load_standard("DDR4").peak_bytes_per_us, "ranks share the data bus"
    assert load_standard("HBM2").with_units(1).peak_bytes_per_us == 16_000


@pytest.mark.parametrize("name", ["DDR4", "HBM3"])
def test_ticks_and_picoseconds(name: str) -> None:
    standard = load_standard(name)
    for ps in (0, 1, 312, 313, 624, 625, 833, 834, 10**12 + 7):
        tick = standard.tick_of_ps(ps)
        assert standard.ps_of_tick(tick) >= ps > standard.ps_of_tick(tick - 1) - 1
    assert [load_standard("HBM3").ps_of_tick(tick) for tick in (0, 1, 2)] == [0, 313, 625]
    assert load_standard("HBM3").tick_of_ps(313) == 2, "313 ps lies after tick 1 at 312.5 ps"


def test_a_users_own_table(tmp_path: Path) -> None:
    own = table("HBM2") | {"name": "mine"}
    own["timings"]["nRP"] = 20
    own["timings"]["nRC"] = 54
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(own), encoding="utf-8")
    standard = load_standard(str(path), ("nCL=15",))
    assert (standard.name, standard.timings["nRP"], standard.timings["nCL"]) == ("mine", 20, 15)
    assert pickle.loads(pickle.dumps(standard)) == standard
    assert hash(standard) == hash(load_standard(str(path), ("nCL=15",)))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("nRC=54",), r"nRC: nRC < nRAS \+ nRP, got 54, allowed: 55 or more"),
        (("nRAS=15", "nRC=60"), r"nRAS: nRAS < nRCD, got 15, allowed: 16 or more"),
        (("nCCDL=3",), r"nCCDL: nCCDL < nCCDS, got 3, allowed: 4 or more"),
        (("nRRDL=3",), r"nRRDL: nRRDL < nRRDS, got 3, allowed: 4 or more"),
        (("nWTRL=2",), r"nWTRL: nWTRL < nWTRS, got 2, allowed: 3 or more"),
        (("nFAW=3",), r"nFAW: nFAW < nRRDS, got 3, allowed: 4 or more"),
        (("nREFI=488",), r"nREFI: nREFI < nRFC \+ nRAS \+ nRP \+ 1, got 488, allowed: 489 or more"),
        (("nBL=2",), r"nBL: contradicts burst_length_beats = 8, got 2, allowed: 4"),
        (("nRP=0", "nRC=39"), r"nRP: must be a whole number, got 0, allowed: 1 or more"),
        (("nRP=-1",), r"nRP: must be a whole number, got -1, allowed: 0 or more"),
        (("nRP=fast",), r"nRP: must be a whole number, got 'fast', allowed: 0 or more"),
        (("nRFC=xns",), r"nRFC: must be a number of nanoseconds, got 'x'"),
        (("nRFC=-3ns",), r"nRFC: must be a number of nanoseconds, got '-3', allowed: 0 or more"),
        (("nRRR=1",), r"nRRR: unknown timing, allowed: nBL, nCL"),
        (("bankgroups=2",), r"organisation: bankgroups: unknown key, allowed: channel_width_bits"),
        (("bank_groups=3",), r"organisation: bank_groups: must be a power of two, got 3"),
        (("bank_groups=0",), r"bank_groups: must be a whole number, got 0, allowed: 1 or more"),
        (("bank_groups=1024",), r"organisation: too many banks in a channel, got 4096, allowed: at most 512"),
        (("columns=4",), r"columns: a row holds less than one burst, got 4, allowed: 8 or more"),
        (("channel_width_bits=1", "burst_length_beats=4", "nBL=2"), r"a burst is less than a byte, got 1"),
        (("clock_period_ps=0",), r"clock_period_ps: must be a whole number, got 0, allowed: 1 or more"),
        (("nRP",), r"an override of a DRAM standard is key=value, got 'nRP'"),
    ],
)
def test_words_for_overrides(overrides: tuple[str, ...], words: str) -> None:
    with pytest.raises(InputError, match=f"^DDR4: .*{words}"):
        load_standard("DDR4", overrides)


def _drop(*keys: str) -> Callable[[dict[str, Any]], object]:
    def change(raw: dict[str, Any]) -> None:
        for key in keys:
            (raw if key in raw else raw["timings"]).pop(key)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_drop("name"), r"t: name: must be a text, got None|t: name: must be a text$"),
        (_drop("source"), r"t: source: must be a text"),
        (_drop("timings"), r"t: timings: must be a mapping"),
        (_drop("organisation"), r"t: organisation: must be a mapping"),
        (_drop("nRP", "nCL"), r"t: timings: missing timings, allowed: nCL, nRP"),
        (lambda raw: raw.update(family="DDR9"), r"t: family: unknown family, got 'DDR9', allowed: DDR4, LPDDR5"),
        (lambda raw: raw.update(colour=1), r"t: colour: unknown key, allowed: name, family, source"),
        (
            lambda raw: raw["timings"].update(nRP={"ns": 3, "clocks": 2}),
            r"nRP: must be clocks, or a mapping with ns or",
        ),
        (lambda raw: raw["timings"].update(nRP={"nanoseconds": 3}), r"nRP: must be clocks, or a mapping with ns or"),
        (lambda raw: raw["timings"].update(nRP=True), r"nRP: must be a whole number, got True"),
    ],
)
def test_words_for_tables(change: Callable[[dict[str, Any]], object], words: str) -> None:
    raw = table("DDR4")
    change(raw)
    with pytest.raises(InputError, match=words):
        resolve_standard(raw, "t")


def test_words_for_names_and_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^unknown DRAM standard, got 'DDR3', allowed: DDR4, .* or a \.yaml file$"):
        load_standard("DDR3")
    with pytest.raises(InputError, match=r"none\.yaml: cannot read the table of a DRAM standard: .*No such file"):
        load_standard(str(tmp_path / "none.yaml"))
    path = tmp_path / "bad.yaml"
    path.write_text("a: [", encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.yaml: not a YAML file: "):
        load_standard(str(path))
    path.write_text("- 1", encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.yaml: a table of a DRAM standard is a mapping, got \[1\]"):
        load_standard(str(path))
    path.write_text("name: x\nfamily: DDR4\nsource: y\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.yaml: timings: must be a mapping"):
        load_standard(str(path), ("nRP=3",))


def test_every_family_has_a_standard() -> None:
    assert {load_standard(name).family for name in list_standards()} == set(FAMILIES)
