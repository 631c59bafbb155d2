"""The names that `tlm` exports: what they accept, return and refuse, and that importing them is cheap."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib import import_module, resources
from pathlib import Path

import jsonschema
import pytest

import tlm
from tests.end_to_end.steps import make_record
from tlm import InputError, SimulatedStep
from workloads.record import Arithmetic
from workloads.trace_file import open_trace, write_trace

NETWORK = "input: {shape: [8, 8, 1], exponent: 4}\ntimesteps: 2\nlayers: [{linear: 5}, {linear: 10}]\n"
EDGE = Arithmetic(micro_batch=4)


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("api") / "step.h5"
    assert tlm.train("digits-mlp", path, "edge", steps=2, batch=4).progress.step == 2
    return path


@pytest.fixture(scope="module")
def step(trace: Path) -> SimulatedStep:
    return tlm.simulate(trace, "edge")


class TestNames:
    def test_every_name_is_what_its_module_has(self) -> None:
        for name in tlm.__all__:
            assert getattr(tlm, name) is getattr(import_module(tlm._MODULE_OF[name]), name)
        assert set(tlm.__all__) <= set(dir(tlm))

    def test_type_checkers_see_the_same_names(self) -> None:
        tree = ast.parse(Path(tlm.__file__).read_text(encoding="utf-8"))
        (block,) = (node for node in tree.body if isinstance(node, ast.If))
        seen = {
            alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
        }
        assert seen == tlm._MODULE_OF
        assert sorted(seen) == sorted(tlm.__all__)

    def test_no_name_hides_a_module(self) -> None:
        modules = {entry.name.removesuffix(".py") for entry in resources.files("tlm").iterdir()}
        assert not modules & set(tlm.__all__)

    def test_every_function_is_documented(self) -> None:
        for name in tlm.__all__:
            assert (getattr(tlm, name).__doc__ or "").strip(), name

    def test_an_unknown_name(self) -> None:
        with pytest.raises(AttributeError, match=r"^module 'tlm' has no attribute 'simulation_of'$"):
            tlm.simulation_of  # type: ignore[attr-defined]  # noqa: B018

    def test_importing_the_package_imports_nothing_heavy(self) -> None:
        heavy = {"numpy", "numba", "simpy", "h5py", "pydantic", "pyarrow", "matplotlib", "tlm.api"}
        code = f"import sys, tlm; dir(tlm); print(sorted({heavy!r} & set(sys.modules)))"
        assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


class TestTrain:
    def test_the_last_step_is_captured_in_the_arithmetic_of_the_machine(self, trace: Path) -> None:
        with open_trace(trace) as opened:
            assert (opened.step, opened.batch, opened.network.name) == (2, 4, "digits-mlp")
            assert opened.arithmetic == EDGE

    def test_a_network_of_ones_own_and_the_same_bits_again(self, tmp_path: Path) -> None:
        network = tmp_path / "mine.yaml"
        network.write_text(NETWORK)
        for source, name in ((network, "first.h5"), (tlm.load_network(str(network)), "second.h5")):
            found = tlm.train(source, tmp_path / name, steps=2, batch=8, seed=3)
            assert repr(found).startswith(f"TrainingResult(2 steps, loss {found.loss:.3f}, held-out accuracy ")
        assert (tmp_path / "first.h5").read_bytes() == (tmp_path / "second.h5").read_bytes()

    def test_epochs_are_passes_over_the_images(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from workloads import trainer

        monkeypatch.setattr(trainer, "train", lambda settings, trace: settings)
        for epochs, batch, steps in ((1, 32, 44), (2, 32, 88), (2, 718, 4)):
            found: object = tlm.train("digits-mlp", tmp_path / "step.h5", epochs=epochs, batch=batch)
            assert (found.steps, found.capture) == (steps, steps)  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"network": "digits"}, "unknown network, got 'digits', allowed: .*digits-mlp"),
            ({"epochs": 0}, "epochs: wrong value, got 0, allowed: a whole number >= 1"),
            ({"steps": 0}, "steps: wrong value, got 0, allowed: a whole number >= 1"),
            ({"config": "huge"}, "unknown preset, got 'huge', allowed: edge, h2learn, tiny or a .yaml file"),
        ],
    )
    def test_words_of_mistakes(self, tmp_path: Path, options: dict[str, object], words: str) -> None:
        arguments = {"network": "digits-mlp", "trace": tmp_path / "step.h5"} | options
        with pytest.raises(InputError, match=words):
            tlm.train(**arguments)  # type: ignore[arg-type]
        assert list(tmp_path.iterdir()) == []


class TestSimulate:
    def test_a_path_an_open_trace_a_name_and_a_configuration_give_the_same(
        self, trace: Path, step: SimulatedStep
    ) -> None:
        with tlm.open_trace(trace) as opened:
            again = tlm.simulate(opened, tlm.load_config("edge"))
            assert opened.labels.size == 4
            assert opened.inputs().size  # still open
        assert again.to_dict() == step.to_dict()

    def test_without_a_name_it_is_h2learn_in_the_traces_arithmetic(self, trace: Path) -> None:
        found = tlm.simulate(str(trace))
        assert (found.config.name, found.config.contract) == ("h2learn", EDGE)

    def test_overrides_count(self, trace: Path, step: SimulatedStep) -> None:
        slower = tlm.simulate(trace, "edge", ("clock_period_ps=4000",))
        assert slower.config.clock_period_ps == 4000
        assert slower.time_ps > step.time_ps

    def test_shares_and_stalls_add_up(self, step: SimulatedStep) -> None:
        assert step.time_us == step.time_ps / 1e6
        assert step.cycles == -(-step.time_ps // 1000)
        for name in step.engines:
            stalled = sum(ps for (engine, _, _), ps in step.stalls_ps.items() if engine == name)
            assert step.engines[name].busy_ps + stalled == step.time_ps
            assert step.busy_share(name) == step.engines[name].busy_ps / step.time_ps
        assert list(step.stalls_ps.values()) == sorted(step.stalls_ps.values(), reverse=True)
        assert sum(step.dram_bytes.values()) == step.to_dict()["dram"]["total_bytes"]

    def test_plain_data_fits_the_schema_of_the_result_file(self, step: SimulatedStep, trace: Path) -> None:
        schema = json.loads(resources.files("tlm").joinpath("report", "result.schema.json").read_text())
        content = json.loads(json.dumps(step.to_dict()))
        jsonschema.validate(content, schema)
        assert content["provenance"]["trace"] == str(trace)
        assert (content["training"], content["cosim"]) == (None, None)

    def test_plain_data_is_a_copy(self, step: SimulatedStep) -> None:
        step.to_dict()["time"]["step_ps"] = 0
        assert step.to_dict()["time"]["step_ps"] == step.time_ps

    def test_transactions_are_written(self, trace: Path, tmp_path: Path) -> None:
        import pyarrow.parquet as pq

        found = tlm.simulate(trace, "edge", transactions=tmp_path / "transactions.parquet")
        assert pq.read_metadata(tmp_path / "transactions.parquet").num_rows == len(found.result.transfers)

    def test_it_shows_itself(self, step: SimulatedStep) -> None:
        title = f"digits-mlp, batch 4, on edge: {step.cycles:,} cycles, {step.time_us:,.2f} us"
        assert repr(step) == f"SimulatedStep({title})"
        assert repr(step.result).startswith(f"SimulationResult({step.cycles:,} cycles, ")
        table = step._repr_html_()
        assert f"<caption>{title}</caption>" in table
        assert table.count("<tr>") == 1 + len(step.engines)
        assert f"<td>weight update</td><td>{step.busy_share('weight_update'):.1%}</td>" in table

    def test_a_hostile_name_stays_text(self, tmp_path: Path) -> None:
        path = tmp_path / "step.h5"
        record = make_record("spikes", "linear", 2)
        write_trace(record, path)
        with open_trace(path) as opened:
            object.__setattr__(opened.network, "name", "<script>&")
            table = tlm.simulate(opened)._repr_html_()
        assert "&lt;script&gt;&amp;" in table
        assert "<script" not in table

    def test_words_of_mistakes(self, trace: Path) -> None:
        with pytest.raises(InputError, match=r"missing\.h5"):
            tlm.simulate("missing.h5")
        with pytest.raises(InputError, match=r"overrides: overrides go with a preset or a file, got \('lut.k=3',\)"):
            tlm.simulate(trace, tlm.load_config("edge"), ("lut.k=3",))
        for config in ("h2learn", tlm.load_config("h2learn")):
            with pytest.raises(InputError, match=r"^config: arithmetic.micro_batch: differs .* got 8, allowed: 4$"):
                tlm.simulate(trace, config)


class TestOtherQuestions:
    def test_cosimulate(self, trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The comparison itself has tests of its own; here: what it is called with."""
        from tlm.cosim import run

        called: list[tuple[object, ...]] = []
        monkeypatch.setattr(run, "cosimulate", lambda *arguments: called.append(arguments))
        tlm.cosimulate(trace, "edge", ("dram.channels=2",), mode="all", simulator="verilator", sample_seed=5, out="x")
        config = tlm.load_config("edge", ("dram.channels=2",))
        assert called == [(trace, config, "all", "verilator", 5, None, "x", None, None)]

    def test_chip_area(self) -> None:
        area = tlm.chip_area("edge")
        assert area == tlm.chip_area(tlm.load_config("edge"))
        assert tlm.chip_area("edge", ("backward_engine.units=24",)).area_mm2.nominal > area.area_mm2.nominal
        found = area.area_mm2
        assert repr(area).startswith(f"ChipArea({found.nominal:.2f} mm2 ({found.low:.2f} to {found.high:.2f}), ")

    def test_step_energy(self, trace: Path, step: SimulatedStep) -> None:
        energy = tlm.step_energy(trace, "edge")
        assert energy.time_ps == step.time_ps
        assert repr(energy) == (
            f"StepEnergy({energy.energy_pj.nominal / 1e6:.3g} uJ ({energy.energy_pj.low / 1e6:.3g} to "
            f"{energy.energy_pj.high / 1e6:.3g}) in {step.time_us:,.2f} us)"
        )

    def test_gpu_step(self) -> None:
        plain = tlm.gpu_step("digits-mlp", batch=32)
        assert plain == tlm.gpu_step(tlm.load_network("digits-mlp"), batch=32)
        assert tlm.gpu_step(tlm.load_network("digits-mlp"), batch=32, neuron="fused").time_s.high < plain.time_s.high
        assert repr(plain).startswith("Estimate(digits-mlp on NVIDIA V100 SXM2, binary32, batch 32: ")
        with pytest.raises(InputError, match=r"^device: unknown device, got 'V1'"):
            tlm.gpu_step("digits-mlp", "V1")
