"""What is kept of a point adds up to what the simulation counted, and is booked where it belongs."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.analysis.bandwidth.conftest import NOTHING_FITS, STEP
from tests.end_to_end.steps import TINY, make_trace
from tlm.accelerator import DMA_CHANNELS
from tlm.analysis.bandwidth.attribution import READERS, WRITERS, Attribution
from tlm.analysis.bandwidth.measure import Measurement, measure
from tlm.config import Config, load_config
from tlm.kernel.payload import Command
from tlm.schedule.step_counts import StepCounts
from tlm.simulation import DramTransfer, SimulationResult, simulate


class Run:
    """One step: what the simulation says and what a study keeps."""

    def __init__(self, overrides: tuple[str, ...]) -> None:
        self.trace = make_trace(*STEP)
        self.config: Config = load_config("h2learn", overrides)
        self.result: SimulationResult = simulate(self.trace, self.config)
        self.kept: Measurement = measure(self.trace, self.config, self.trace.batch, StepCounts(self.trace))


@pytest.fixture(scope="module", params=[TINY, NOTHING_FITS], ids=["everything fits", "nothing fits"])
def run(request: pytest.FixtureRequest) -> Run:
    return Run(request.param)


def test_engines_add_up_to_the_step(run: Run) -> None:
    total: Counter[str] = Counter()
    for entry in run.kept["engines"]:
        total[entry["engine"]] += entry["time_ps"]
    assert total == dict.fromkeys(run.result.engines, run.result.time_ps)


def test_traffic_adds_up_to_the_bytes_of_each_stream(run: Run) -> None:
    for way, counted in (("read_bytes", run.result.dram_read_bytes), ("written_bytes", run.result.dram_written_bytes)):
        total: Counter[str] = Counter()
        for entry in run.kept["traffic"]:
            total[entry["stream"]] += entry[way]
        assert +total == +Counter(counted)
    assert run.kept["dram_read_bytes"] == sum(run.result.dram_read_bytes.values())
    assert run.kept["dram_written_bytes"] == sum(run.result.dram_written_bytes.values())


def test_every_channel_and_stream_has_its_engine() -> None:
    assert set(READERS) | {"writes"} == set(DMA_CHANNELS)
    nothing_fits = Run(NOTHING_FITS)
    written = {stream for stream, count in nothing_fits.result.dram_written_bytes.items() if count}
    assert written == set(WRITERS)


def test_bytes_are_booked_to_the_layer_that_needs_them() -> None:
    run = Run(NOTHING_FITS)
    attribution = Attribution(run.result.placement, run.trace.network)

    def served(channel: str, stream: str, layer: int, command: Command = Command.READ) -> tuple[str, int]:
        address = run.result.placement.addresses[stream, layer]
        return attribution.of(DramTransfer(stream, 2, 0, 1, address, command, channel))

    assert served("forward_spikes", "spikes", 0) == ("forward", 1)
    assert served("forward_weights", "weights", 2) == ("forward", 2)
    assert served("inputs", "inputs", -1) == ("forward", 0)
    assert served("backward_weights", "weights", 2) == ("backward", 1)
    assert served("backward_gradients", "gradients", 3) == ("backward", 2)
    assert served("gradient_state", "spikes", 1) == ("gradient", 1)
    assert served("update_spikes", "spikes", 1) == ("weight_update", 2)
    assert served("update_gradients", "gradients", 1) == ("weight_update", 1)
    assert served("optimiser", "weight_gradients", 1) == ("optimiser", 1)
    assert served("writes", "weights", 1, Command.WRITE) == ("optimiser", 1)
    assert served("writes", "weight_gradients", 1, Command.WRITE) == ("weight_update", 1)
    layers = run.trace.network.layers
    value_bytes = run.config.contract.value.width_bytes
    read = {(e["engine"], e["layer"], e["stream"]): e["read_bytes"] for e in run.kept["traffic"]}
    for layer in range(1, len(layers)):  # every micro-batch looks up all weights once
        assert read["forward", layer, "weights"] == 3 * layers[layer].weights_count * value_bytes


def test_bytes_of_shortcuts_are_booked_to_layers_that_exist() -> None:
    trace = make_trace("spikes", "residual", 2)
    result = simulate(trace, load_config("h2learn", TINY))
    attribution = Attribution(result.placement, trace.network)

    def served(channel: str, stream: str, layer: int) -> tuple[str, int]:
        address = result.placement.addresses[stream, layer]
        return attribution.of(DramTransfer(stream, 2, 0, 1, address, Command.READ, channel))

    assert [layer.name for layer in trace.network.layers][2:5] == ["conv3", "projection4", "conv4"]
    assert served("forward_weights", "weights", 3) == ("forward", 4)
    assert served("backward_weights", "weights", 3) == ("backward", 1)
    assert served("backward_gradients", "gradients", 4) == ("backward", 2)
    assert served("update_gradients", "gradients", 4) == ("weight_update", 4)
    assert served("forward_spikes", "spikes", 1) == ("forward", 2)
    assert served("optimiser", "weight_gradients", 3) == ("optimiser", 3)


def test_no_engine_does_more_than_it_can_and_none_is_forgotten(run: Run) -> None:
    last = len(run.trace.network.layers) - 1
    for entry in run.kept["work"]:
        assert 0 < entry["operations"] <= entry["peak_operations_per_us"] * entry["time_ps"] / 1e6, entry
    found = {(entry["engine"], entry["layer"]) for entry in run.kept["work"]}
    everywhere = {(engine, layer) for engine in ("forward", "weight_update", "optimiser") for layer in range(last + 1)}
    assert found == everywhere | {(e, n) for e in ("backward", "neuron", "gradient") for n in range(last)}


def test_operations_are_those_of_the_simulation(run: Run) -> None:
    kept = {(entry["engine"], entry["layer"]): entry["operations"] for entry in run.kept["work"]}
    assert {key: kept[key] for key in run.result.operations} == run.result.operations
    assert kept["optimiser", 1] == run.trace.network.layers[1].weights_count


def test_bytes_of_work_are_those_of_the_traffic(run: Run) -> None:
    moved: Counter[tuple[str, int]] = Counter()
    for entry in run.kept["traffic"]:
        moved[entry["engine"], entry["layer"]] += entry["read_bytes"] + entry["written_bytes"]
    loss_gradient = moved.pop(("host", len(run.trace.network.layers) - 1), 0)
    assert loss_gradient in (0, 5 * run.trace.network.classes * run.config.contract.value.width_bytes)
    assert {(e["engine"], e["layer"]): e["dram_bytes"] for e in run.kept["work"] if e["dram_bytes"]} == +moved
