"""The study: what it counts adds up, what is told follows its formulas, and its files say the same."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtl_models.errors import InputError
from tests.analysis.sparsity.conftest import SEED
from tests.end_to_end.steps import make_trace
from tlm.analysis.area.chip_area import BACKWARD, FORWARD, UPDATE
from tlm.analysis.energy.step_energy import GROUPS, energy_of_trace
from tlm.analysis.sparsity.designs import SKIPPED_TILES, SKIPPING_ADDERS, TABLES, dense, list_designs
from tlm.analysis.sparsity.estimate import peaks
from tlm.analysis.sparsity.measure import ENGINES, Simulated, Structure
from tlm.analysis.sparsity.plots import engines_figure, layers_figure
from tlm.analysis.sparsity.structure import gradient_density, layer_structure
from tlm.analysis.sparsity.study import SPARSITIES, SparsityStudy, run_sparsity
from tlm.analysis.sparsity.summary import summarise
from tlm.config import load_config
from tlm.schedule.step_counts import StepCounts
from workloads.network import CONSTANT
from workloads.trace_file import ALL, Trace

Content = dict[str, Any]
INSIDE = 3 * 3 * 4 * 4 - 4 * 4 * 3 + 4  # taps of 3 x 3 kernels over 4 x 4 positions that lie in the plane


def design(content: Content, name: str) -> Content:
    (found,) = (one for one in content["designs"] if one["name"] == name)
    return dict(found)


def test_designs_differ_in_what_meets_the_spikes() -> None:
    config = load_config("tiny", ("backward_engine.skip_zero_gradients=false",))
    designs = list_designs(config)
    assert [(name, one.forward_engine.element, one.lut.skip_zero_tiles) for name, one in designs.items()] == [
        (TABLES, "lut", False),
        (SKIPPED_TILES, "lut", True),
        (SKIPPING_ADDERS, "zero_skipping_adders", False),
    ]
    assert all(one.backward_engine.skip_zero_gradients for one in designs.values())
    without = dense(designs[SKIPPING_ADDERS])
    assert without.weight_update_engine.element == "adders"
    assert not without.backward_engine.skip_zero_gradients
    assert not without.backward_engine.skip_inactive_outputs
    assert not dense(designs[SKIPPED_TILES]).lut.skip_zero_tiles
    most, tables = peaks(designs[SKIPPING_ADDERS]), peaks(config)
    assert most["forward"] * config.lut.k == tables["forward"]


def test_cycles_of_layers_add_up_to_those_of_engines(content: Content) -> None:
    for one in content["designs"]:
        for step in (*one["steps"].values(), one["dense"]):
            for engine in ENGINES:
                layers = [entry["busy_cycles"] for entry in step["layers"] if entry["engine"] == engine]
                assert sum(layers) == pytest.approx(step["busy_cycles"][engine], abs=len(layers))
                assert 0 < step["busy_cycles"][engine] <= step["step_cycles"]
            assert all(0 <= entry["utilisation"] <= 1 for entry in step["layers"])


def test_tables_alone_take_no_notice_of_zeros(content: Content) -> None:
    tables, tiles, adders = (design(content, name) for name in (TABLES, SKIPPED_TILES, SKIPPING_ADDERS))
    for engine in ("forward", "weight_update"):
        alone = {step["busy_cycles"][engine] for step in tables["steps"].values()}
        assert alone == {tables["dense"]["busy_cycles"][engine]}
        assert tiles["steps"]["real"]["busy_cycles"][engine] <= tables["steps"]["real"]["busy_cycles"][engine]
        assert adders["steps"]["real"]["busy_cycles"][engine] < adders["dense"]["busy_cycles"][engine]
    assert {entry["density"] for entry in tables["estimates"] if entry["engine"] == "forward"} == {1.0}


def test_dense_operations_and_densities_are_plain_counts(content: Content, trace: Trace) -> None:
    network = trace.network
    estimates = {(e["engine"], e["layer"]): e for e in design(content, SKIPPING_ADDERS)["estimates"]}
    layers = design(content, SKIPPING_ADDERS)["dense"]["layers"]
    operations = {(e["engine"], e["layer"]): e["dense_operations"] for e in layers}
    assert operations["forward", 0] == 8 * 2 * network.layers[0].macs_per_timestep()
    assert network.layers[1].source == CONSTANT
    convolution = network.layers[2]
    assert operations["forward", 2] == 2 * 2 * sum(network.layers[part].macs_per_timestep() for part in (1, 2))
    assert operations["weight_update", 2] == 2 * 2 * convolution.macs_per_timestep()
    assert estimates["forward", 2]["density"] == pytest.approx(trace.spikes(0).mean())
    gradients, masks = trace.gradients(2), trace.masks(0)
    expected = np.count_nonzero(gradients) / gradients.size * masks.mean()
    assert estimates["backward", 0]["density"] == pytest.approx(expected)
    assert operations["backward", 0] == 2 * 2 * INSIDE * 5 * 4
    most = peaks(list_designs(load_config("tiny"))[SKIPPING_ADDERS])
    told = estimates["backward", 0]
    assert told["ideal_cycles"] == pytest.approx(operations["backward", 0] * expected / most["backward"])


def test_what_is_told_is_dense_work_times_density(content: Content) -> None:
    designs = list_designs(load_config("tiny"))
    for one in content["designs"]:
        most, dense_step = peaks(designs[one["name"]]), one["dense"]
        layers = {(entry["engine"], entry["layer"]): entry for entry in dense_step["layers"]}
        assert [(told["engine"], told["layer"]) for told in one["estimates"]] == list(layers)
        met: defaultdict[str, float] = defaultdict(float)
        for told in one["estimates"]:
            entry = layers[told["engine"], told["layer"]]
            met[told["engine"]] += entry["dense_operations"] * told["density"]
            assert told["scaled_cycles"] == entry["busy_cycles"] * told["density"]
            ideal = entry["dense_operations"] * told["density"] / most[told["engine"]]
            assert told["ideal_cycles"] == pytest.approx(ideal)
        for engine, group in (("forward", FORWARD), ("backward", BACKWARD), ("weight_update", UPDATE)):
            share = met[engine] / sum(e["dense_operations"] for e in layers.values() if e["engine"] == engine)
            assert one["estimated_energy_pj"][engine] == pytest.approx(dense_step["energy_pj"][group] * share)


def test_a_step_is_the_simulation_of_the_trace(content: Content, trace: Trace) -> None:
    machine = list_designs(load_config("tiny"))[SKIPPING_ADDERS]
    result, energy = energy_of_trace(trace, machine)
    step = design(content, SKIPPING_ADDERS)["steps"]["real"]
    read, written = result.dram_read_bytes, result.dram_written_bytes
    assert step["step_cycles"] == result.cycles
    assert step["dram_bytes"] == {stream: read[stream] + written[stream] for stream in read}
    assert step["energy_pj"] == {group: energy.group_pj(group).nominal for group in GROUPS}
    done = {engine: sum(e["operations"] for e in step["layers"] if e["engine"] == engine) for engine in ENGINES}
    did = energy.activity
    assert list(done.values()) == [did.forward.lane_additions, did.backward_macs, did.weight_update.lane_additions]


def test_the_study_s_seed_spreads_the_zeros(content: Content, trace: Trace) -> None:
    config, counts = load_config("tiny"), StepCounts(trace)
    for spread in ("timestep", "layer"):
        told = content["structure"][spread]
        assert Structure(spread, SEED)(trace, config, 2, counts)["layers"] == told
        assert Structure(spread, SEED + 1)(trace, config, 2, counts)["layers"] != told
    machine = list_designs(config)[SKIPPING_ADDERS]
    assert Simulated("layer", SEED)(trace, machine, 2, counts) == design(content, SKIPPING_ADDERS)["steps"]["layer"]


def test_structure(content: Content, trace: Trace) -> None:
    real = content["structure"]["real"]
    assert [layer["name"] for layer in real] == content["layers"]
    for layer in (0, 2):
        assert real[layer]["zero_index_groups"] == pytest.approx(trace.sparsity(layer).zero_index_groups)
    for layer in trace.network.hidden:
        found = real[layer]
        assert found["macs"] <= found["chunk_macs"]
        assert found["macs"] <= found["dense_macs"]
        assert 0 <= found["empty_items"] < 1
    assert "macs" not in real[-1]
    for spread in ("timestep", "layer"):
        for one, other in zip(real, content["structure"][spread], strict=True):
            assert one["input_bits"] == pytest.approx(other["input_bits"])
            assert one.get("mask_density") == other.get("mask_density")


def test_structure_of_the_backward_items(trace: Trace) -> None:
    class HalfMasked(Trace):
        """The trace without an active mask in its upper rows."""

        def masks(self, layer: int, samples: slice = ALL, timesteps: slice = ALL) -> Any:
            return trace.masks(layer, samples, timesteps) * (np.arange(4) > 1)[:, None, None]

    config, step = load_config("tiny"), HalfMasked.__new__(HalfMasked)
    vars(step).update(vars(trace))
    found, lanes = layer_structure(step, 0, config, StepCounts(step)), config.backward_engine.lanes
    active = step.masks(0).sum(axis=-1, dtype=int)  # an item for each position, whose five channels are one tile
    nonzero = np.pad(np.count_nonzero(trace.gradients(2), axis=-1), ((0, 0), (0, 0), (1, 1), (1, 1)))
    reach = sum(nonzero[:, :, y : y + 4, x : x + 4] for y in range(3) for x in range(3))
    assert found["macs"] == (active * reach).sum()
    assert found["dense_macs"] == 2 * 2 * INSIDE * 5 * 4
    assert found["chunk_macs"] == (reach * -(-active // lanes) * lanes).sum()
    assert found["empty_items"] == (active == 0).mean() == 0.5
    assert found["active_spread"] == pytest.approx(np.std(active) / np.mean(active))
    assert found["gradient_spread"] == pytest.approx(np.std(reach) / np.mean(reach))


def test_identity_shortcuts_hand_gradients_on_as_well() -> None:
    step = make_trace("spikes", "residual", 2)
    layers = step.network.layers
    layer = 2
    assert (step.network.consumers(layer), step.network.identities(layer)) == ((4,), (6,))
    work = {4: layers[4].macs_per_timestep(), 6: layers[6].out_positions * layers[6].out_channels}
    shares = {one: np.count_nonzero(step.gradients(one)) / step.gradients(one).size for one in work}
    assert shares[4] != shares[6]
    expected = sum(work[one] * shares[one] for one in work) / sum(work.values())
    assert gradient_density(step, layer) == pytest.approx(expected)


@pytest.mark.parametrize("spread", ["timestep", "layer"])
def test_zeros_are_really_spread_in_counts_and_in_simulations(content: Content, spread: str) -> None:
    real, moved = (
        [(layer["zero_index_groups"], layer.get("macs")) for layer in content["structure"][name]]
        for name in ("real", spread)
    )
    assert real != moved
    steps = design(content, TABLES)["steps"]
    assert steps["real"]["busy_cycles"]["backward"] != steps[spread]["busy_cycles"]["backward"]


def test_what_was_studied(content: Content, trace: Trace) -> None:
    assert trace.training is not None
    assert content["training"] == trace.training.words(trace.step)
    assert [content[key] for key in ("network", "dataset", "step", "trace_sha256", "images", "seed")] == [
        "sparse", "digits", 2, trace.digest, 2, SEED,
    ]  # fmt: skip


def test_files_say_the_same(content: Content, out: Path) -> None:
    assert json.loads((out / "sparsity.json").read_text()) == json.loads(json.dumps(content))
    with (out / "sparsity.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for summary in summarise(content):
        steps = design(content, summary["design"])["steps"]
        assert summary["step_cycles"] == {one: steps[one]["step_cycles"] for one in SPARSITIES}
        for name in ("energy_pj", "dram_bytes"):
            assert summary[name] == {one: pytest.approx(sum(steps[one][name].values())) for one in SPARSITIES}
        for engine in summary["engines"]:
            mine = [r for r in rows if (r["design"], r["engine"]) == (summary["design"], engine["engine"])]
            assert sum(float(row["scaled_cycles"]) for row in mine) == pytest.approx(engine["scaled_cycles"])
            assert sum(int(row["real_cycles"]) for row in mine) == engine["real_cycles"]
        for row in (row for row in rows if row["design"] == summary["design"]):
            key = row["engine"], content["layers"].index(row["name"])
            for one, prefix in (("real", "real"), ("timestep", "spread_by_timestep"), ("layer", "spread_by_layer")):
                (entry,) = (e for e in steps[one]["layers"] if (e["engine"], e["layer"]) == key)
                assert int(row[f"{prefix}_cycles"]) == entry["busy_cycles"]
                assert float(row[f"{prefix}_utilisation"]) == entry["utilisation"]


def test_the_same_study_again_simulates_nothing(trace_path: Path, out: Path, content: Content) -> None:
    journal = (out / "sparsity.journal").read_bytes()
    again = run_sparsity(SparsityStudy(trace_path, seed=SEED, config="tiny", workers=1), out)
    assert json.dumps(again) == json.dumps(content)
    assert (out / "sparsity.journal").read_bytes() == journal


def test_plots_show_every_account(content: Content) -> None:
    engines, layers = engines_figure(content), layers_figure(content)
    assert [axes.get_title() for axes in engines.axes] == [TABLES, SKIPPED_TILES, SKIPPING_ADDERS]
    assert [len(axes.patches) for axes in engines.axes] == [12, 12, 12]
    above, below = layers.axes
    assert len(above.patches) == 4 * sum("macs" in layer for layer in content["structure"]["real"])
    assert len(below.patches) == 3 * len(content["layers"])


@pytest.mark.parametrize("images", [0, 3])
def test_words_for_images_that_are_not_there(trace_path: Path, tmp_path: Path, images: int) -> None:
    with pytest.raises(InputError, match=rf"^--images: the trace has not so many images, got {images}, allowed: 1..2$"):
        run_sparsity(SparsityStudy(trace_path, images, config="tiny"), tmp_path)


def test_words_of_a_step_that_cannot_be_simulated(trace_path: Path, tmp_path: Path) -> None:
    study = SparsityStudy(trace_path, config="tiny", overrides=("buffers.weights_bytes=16",), workers=1)
    with pytest.raises(InputError, match=r"^study sparsity: .*buffers"):
        run_sparsity(study, tmp_path)
