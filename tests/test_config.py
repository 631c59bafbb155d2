"""The configuration: what can be read, what is derived after the overrides, and the words of every refusal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_models.errors import InputError
from rtl_models.formats import BFLOAT16, BINARY32
from tlm.config import Config, check_config, dump_config, load_config

KEYS = ", ".join(Config.model_fields)

sizes = st.integers(1, 2**40)
vector_units = st.fixed_dictionaries({}, optional={"width": sizes, "latency_cycles": st.integers(1, 64)})
transposition_units = st.fixed_dictionaries({}, optional={"width": st.integers(64, 2**40)})  # 8 x 8 bits or more
lut_engines = st.fixed_dictionaries({}, optional={"arrays": sizes, "rows": sizes, "accumulator_depth": sizes})
tables = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(),
        "provisional": st.booleans(),
        "pipeline": st.sampled_from(["none", "layer", "end_to_end"]),
        "lut": st.fixed_dictionaries(
            {},
            optional={
                "k": st.integers(1, 8),
                "lanes": st.sampled_from([1, 2, 64, 256]),
                "tree_registers": st.booleans(),
            },
        ),
        "forward_engine": lut_engines,
        "weight_update_engine": lut_engines,
        "neuron_unit": vector_units,
        "transposition_unit": transposition_units,
        "dram": st.fixed_dictionaries({}, optional={"latency_ps": st.integers(0, 10**9), "channels": sizes}),
    },
)


def write(folder: Path, text: str) -> str:
    path = folder / "chip.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@settings(max_examples=30)
@given(tables)
def test_what_is_written_reads_back_equal(tmp_path_factory: pytest.TempPathFactory, raw: dict[str, object]) -> None:
    config = check_config(raw, "raw")
    assert load_config(write(tmp_path_factory.mktemp("config"), dump_config(config))) == config


def test_the_preset_is_the_default() -> None:
    assert load_config() == Config()
    assert not Config().provisional


def test_the_preset_states_every_key() -> None:
    path = Path(__file__).parents[1] / "tlm" / "presets" / "h2learn.yaml"
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == Config().model_dump(mode="json")


def test_the_guide_names_every_key_and_its_value() -> None:
    guide = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text(encoding="utf-8")
    for table, value in Config().model_dump().items():
        assert f"`{table}" in guide or table in ("name", "provisional"), table
        for key in value if isinstance(value, dict) else ():
            assert key in guide or (table == "buffers" and "buffers.*_bytes" in guide), f"{table}.{key}"


def test_keys_left_out_have_the_preset_s_values(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "neuron_unit: {width: 3}\ntransposition_unit: {latency_cycles: 9}\n"))
    assert (config.neuron_unit.width, config.neuron_unit.latency_cycles) == (3, 8)
    assert (config.transposition_unit.width, config.transposition_unit.latency_cycles) == (1024, 9)
    assert load_config(write(tmp_path, "")) == Config()


def test_an_override_reaches_a_table_the_file_lacks(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "name: mine\n"), ("dram.channels=4", "optimiser_unit.width=2"))
    assert (config.name, config.dram.channels, config.dram.latency_ps) == ("mine", 4, Config().dram.latency_ps)
    assert (config.optimiser_unit.width, config.optimiser_unit.latency_cycles) == (2, 12)


def test_later_overrides_win_and_whole_tables_replace() -> None:
    config = load_config("h2learn", ("lut.k=2", "lut={k: 5, lanes: 4}", "lut.k=3"))
    assert (config.lut.k, config.lut.lanes) == (3, 4)


def test_derived_values_follow_the_overrides() -> None:
    overrides = ("arithmetic.value_format=bfloat16", "arithmetic.micro_batch=3", "lut.k=2", "lut.lanes=8")
    config = load_config("h2learn", (*overrides, "lut.adder_latency_cycles=5", "lut.build_latency_cycles=1"))
    contract = config.contract
    assert (contract.value, contract.sum, contract.k, contract.lanes, contract.micro_batch) == (
        BFLOAT16,
        BINARY32,
        2,
        8,
        3,
    )
    assert config.row_timing.build_cycles == 3
    assert config.row_timing.output_latency_cycles == 5 + 1 + 3


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().lut.k = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("drm=4", f"h2learn: drm: unknown key, got 'drm', allowed: {KEYS}"),
        (
            "dram.chanels=4",
            "h2learn: dram.chanels: unknown key, got 'chanels', "
            "allowed: model, standard, controller, channels, interleave_bytes, channel_bytes_per_us, latency_ps",
        ),
        ("lut.k=9", "h2learn: lut.k: wrong value, got 9, allowed: less than or equal to 8"),
        ("lut.k=0", "h2learn: lut.k: wrong value, got 0, allowed: greater than or equal to 1"),
        ("lut.k=true", "h2learn: lut.k: wrong value, got True, allowed: integer"),
        ("lut.k=2.0", "h2learn: lut.k: wrong value, got 2.0, allowed: integer"),
        ("lut.k=", "h2learn: lut.k: wrong value, got 'nothing', allowed: integer"),
        ("lut.lanes=12", "h2learn: lut.lanes must be a power of two, got 12"),
        ("backward_engine.lanes=65", "h2learn: backward_engine.lanes must be at most channel_tile 64, got 65"),
        (
            "optimiser_unit.latency_cycles=65",
            "h2learn: optimiser_unit.latency_cycles: wrong value, got 65, allowed: less than or equal to 64",
        ),
        ("lut.lanes=512", "h2learn: lut.lanes: wrong value, got 512, allowed: less than or equal to 256"),
        ("clock_period_ps=0", "h2learn: clock_period_ps: wrong value, got 0, allowed: greater than or equal to 1"),
        (
            "host.round_trip_ps=1099511627777",
            "h2learn: host.round_trip_ps: wrong value, got 1099511627777, allowed: less than or equal to 1099511627776",
        ),
        (
            "clock_period_ps=1000000001",
            "h2learn: clock_period_ps: wrong value, got 1000000001, allowed: less than or equal to 1000000000",
        ),
        ("dram.latency_ps=-1", "h2learn: dram.latency_ps: wrong value, got -1, allowed: greater than or equal to 0"),
        ("buffers.spikes_bytes='1'", "h2learn: buffers.spikes_bytes: wrong value, got '1', allowed: integer"),
        ("pipeline=fast", "h2learn: pipeline: wrong value, got 'fast', allowed: 'none', 'layer' or 'end_to_end'"),
        ("provisional=maybe", "h2learn: provisional: wrong value, got 'maybe', allowed: boolean"),
        (
            "neuron_unit=4",
            "h2learn: neuron_unit: must be a table of keys, got 4, allowed: width, latency_cycles, any_reset",
        ),
        (
            "arithmetic={value_format: binary32, sum_format: binary16}",
            "h2learn: arithmetic.sum_format 'binary16' cannot hold every binary32 value",
        ),
        (
            "arithmetic.sum_format=bfloat16",
            "h2learn: arithmetic.sum_format 'bfloat16' cannot hold every binary16 value",
        ),
        ("lut.k", "--set: wrong override, got 'lut.k', allowed: key=value, e.g. dram.channels=4"),
        ("=4", "--set: wrong override, got '=4', allowed: key=value, e.g. dram.channels=4"),
        ("lut.k=[1", "--set lut.k: the value is not valid YAML, got '[1'"),
        ("lut.k.bits=3", "--set: unknown key, got 'lut.k.bits', allowed: k has no keys below it"),
    ],
)
def test_refused_overrides(override: str, words: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        load_config("h2learn", (override,))


@pytest.mark.parametrize("size", ["0", "-3", "1.5", "'8'", "null"])
def test_every_size_must_be_a_whole_number_of_at_least_one(size: str) -> None:
    nothing_is_fine = {"dram.latency_ps", "host.round_trip_ps"}
    for table, value in Config().model_dump().items():
        for key, default in value.items() if isinstance(value, dict) else ():
            name = f"{table}.{key}"
            if type(default) is int and not (size == "0" and name in nothing_is_fine):
                with pytest.raises(InputError, match=f"^h2learn: {name}: wrong value"):
                    load_config("h2learn", (f"{name}={size}",))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1, 2]", f"chip.yaml: must be a table of keys, got [1, 2], allowed: {KEYS}"),
        ("lut: [", "chip.yaml: not valid YAML (while parsing"),
        ("{" * 5000, "chip.yaml: not valid YAML ("),
        ("1: 2", "chip.yaml: 1: wrong value, got 1, allowed: Keys should be strings"),
        ("dram: {channels: 0}", "chip.yaml: dram.channels: wrong value, got 0, allowed: greater than or equal to 1"),
    ],
)
def test_refused_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, text)
    with pytest.raises(InputError, match=f"^{re.escape(words)}"):
        load_config("chip.yaml")


def test_unknown_preset_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"^config: unknown preset, got 'h2lern', allowed: edge, h2learn, tiny or a \.yaml file$"
    ):
        load_config("h2lern")
    with pytest.raises(
        InputError, match=r"^config: cannot read the configuration \(.*No such file.*\), got '.*no\.yaml'$"
    ):
        load_config(str(tmp_path / "no.yaml"))
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff")
    with pytest.raises(InputError, match=r"^config: cannot read the configuration \(.*utf-8.*\), got '.*latin\.yaml'$"):
        load_config(str(tmp_path / "latin.yaml"))


def test_a_transposition_unit_narrower_than_one_block() -> None:
    words = r"^h2learn: transposition_unit.width must be at least lut.k squared, 16, got 15$"
    with pytest.raises(InputError, match=words):
        load_config("h2learn", ("transposition_unit.width=15",))
