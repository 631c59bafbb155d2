"""Row streams hold what the contract says, and their reference sums are what the trace was made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtl_models.formats import BFLOAT16, BINARY16, BINARY32, decode
from rtl_models.reference.row import lut_row
from tests.cosim.traces import ARITHMETIC, make_step, small_network
from tlm.config import Config
from tlm.cosim import config_for_trace
from tlm.cosim.cases import make_case
from tlm.cosim.engine import Engine, Expectation
from tlm.cosim.everything import cut_jobs
from tlm.cosim.expected import Reference
from tlm.cosim.geometry import StepGeometry
from tlm.cosim.keys import BACKWARD, FORWARD, WEIGHT_UPDATE, StreamKey
from tlm.cosim.streams import StreamReader, tile_flags
from tlm.cosim.units import open_engines
from workloads.record import Arithmetic
from workloads.trace_file import Trace, open_trace, write_trace

CASES = {
    "signed bytes": (small_network(signed=True, exponent=6), ARITHMETIC),
    "unsigned bytes, one block": (small_network(exponent=7), Arithmetic(k=4, lanes=4, micro_batch=3)),
    "spikes": (small_network("spikes"), Arithmetic(k=2, lanes=1, micro_batch=8)),
    "bytes into a linear layer": (small_network(first="linear", signed=True, exponent=7), ARITHMETIC),
    "pooled signed bytes": (small_network(first="pool", signed=True, exponent=6), ARITHMETIC),
    "pooled spikes": (small_network("spikes", "pool"), Arithmetic(k=2, lanes=1, micro_batch=8)),
    "binary16": (small_network(exponent=7), Arithmetic(k=3, lanes=2, micro_batch=2)),
    "binary16 sums": (small_network(exponent=7), Arithmetic(BINARY16, BINARY16, k=3, lanes=4, micro_batch=4)),
    "bfloat16 sums": (small_network(exponent=7), Arithmetic(BFLOAT16, BFLOAT16, k=3, lanes=4, micro_batch=4)),
    "binary32": (small_network(exponent=7), Arithmetic(BINARY32, BINARY32, k=1, lanes=8, micro_batch=2)),
}


def lut_engines(trace: Trace, config: Config) -> list[Engine]:
    engines = open_engines(trace, config)
    return [engines[FORWARD], engines[WEIGHT_UPDATE]]


def expectations(engine: Engine) -> list[Expectation]:
    """Everything that an engine has to do."""
    return [entry for layer in engine.layers for key in engine.keys(layer) for entry in engine.expect(key)]


def all_expectations(path: Path, config: Config) -> tuple[int, int]:
    """Compare every stream of the LUT engines with the trace: (values compared, values that differ)."""
    with open_trace(path) as trace:
        found = [entry for engine in lut_engines(trace, config) for entry in expectations(engine)]
    return sum(len(entry.in_trace) for entry in found), sum(len(entry.trace_mismatches) for entry in found)


@pytest.mark.parametrize("case", CASES)
def test_sums_of_every_stream_lead_to_the_trace(case: str, tmp_path: Path) -> None:
    network, arithmetic = CASES[case]
    record = make_step(network, arithmetic, seed=len(case), spread=5)
    write_trace(record, tmp_path / "trace")
    overrides = ("forward_engine.accumulator_depth=7", "weight_update_engine.accumulator_depth=16")
    config = config_for_trace(arithmetic, overrides=overrides)
    compared, differing = all_expectations(tmp_path / "trace", config)
    layers = record.layers
    potentials = sum(layer.potentials.size for layer in layers if layer.potentials is not None)
    gradients = sum(layer.weight_gradient.size for layer in layers)
    assert compared == potentials + gradients + record.logits.size
    assert differing == 0


@pytest.mark.parametrize("case", ["signed bytes", "spikes", "pooled signed bytes"])
def test_leaving_out_zero_tiles_changes_no_bit(case: str, tmp_path: Path) -> None:
    network, arithmetic = CASES[case]
    write_trace(make_step(network, arithmetic), tmp_path / "trace")
    depth = ("forward_engine.accumulator_depth=1", "weight_update_engine.accumulator_depth=1")
    config = config_for_trace(arithmetic, overrides=(*depth, "lut.skip_zero_tiles=true"))
    full = config_for_trace(arithmetic, overrides=depth)
    compared, differing = all_expectations(tmp_path / "trace", config)
    assert compared > 0
    assert differing == 0
    with open_trace(tmp_path / "trace") as trace:
        skipping, running = (lut_engines(trace, one) for one in (config, full))
        fewer = 0
        for skipping_engine, running_engine in zip(skipping, running, strict=True):
            for one, other in zip(expectations(skipping_engine), expectations(running_engine), strict=True):
                assert np.array_equal(one.results["data"], other.results["data"]), one.name
                fewer += len(other.task.positions) - len(one.task.positions)
    assert fewer > 0


def test_flags_of_bit_planes() -> None:
    flags = tile_flags(np.arange(6), 2, signed=True)
    assert flags.start.tolist() == [True] + [False] * 5
    assert flags.double.tolist() == [False, False, True, False, True, False]
    assert flags.subtract.tolist() == [True, True, False, False, False, False]
    assert flags.emit.tolist() == [False] * 5 + [True]


def test_flags_when_the_first_plane_is_left_out() -> None:
    flags = tile_flags(np.array([3, 4]), 2, signed=True)
    assert flags.start.tolist() == [True, False]
    assert flags.double.tolist() == [False, True]
    assert not flags.subtract.any()
    assert flags.emit.tolist() == [False, True]


def test_a_forward_stream_sums_the_weights_of_the_spikes(trace_path: Path, config: Config) -> None:
    with open_trace(trace_path) as trace:
        geometry = StepGeometry(trace.network, config, trace.batch)
        key = StreamKey(FORWARD, 1, 0, 4, 0)
        expectation = Reference(StreamReader(trace, geometry)).expect(key)
        positions = geometry.shape(FORWARD, 1, 0).blocks[0]
        spikes = trace.spikes(0, slice(0, 2)).reshape(6, -1)[positions].astype(np.float64)
        weights = trace.weights(1)[4].reshape(-1).astype(np.float64)
    assert np.allclose(
        decode(expectation.results["data"], BINARY32), spikes @ weights, rtol=0, atol=0.02
    )  # entries are bfloat16


def test_a_weight_update_goes_on_from_the_micro_batches_before(trace_path: Path, config: Config) -> None:
    with open_trace(trace_path) as trace:
        geometry = StepGeometry(trace.network, config, trace.batch)
        keys = [StreamKey(WEIGHT_UPDATE, 1, index, 2, 1) for index in range(3)]
        in_order = Reference(StreamReader(trace, geometry))
        ascending = [in_order.expect(key) for key in keys]
        for key, entry in zip(keys, ascending, strict=True):
            alone = Reference(StreamReader(trace, geometry)).expect(key)
            assert np.array_equal(alone.results["data"], entry.results["data"])
            assert np.array_equal(alone.task.init, entry.task.init)
        again = in_order.expect(keys[0])
    assert np.array_equal(again.results["data"], ascending[0].results["data"])
    first = ascending[1].task.init[: int(ascending[1].task.positions[0])]
    assert np.array_equal(first, ascending[0].results["data"])
    assert first.any()
    assert len(ascending[0].in_trace) == 0
    assert len(ascending[2].in_trace) == len(ascending[2].results["data"])


def test_a_tampered_gradient_is_found(tmp_path: Path) -> None:
    record = make_step(CASES["signed bytes"][0])
    gradient = record.layers[2].weight_gradient
    gradient[1, 0, 0, 2] = np.nextafter(gradient[1, 0, 0, 2], np.float32(1))
    write_trace(record, tmp_path / "trace")
    assert all_expectations(tmp_path / "trace", config_for_trace(ARITHMETIC))[1] == 1


def test_jobs_hold_every_stream_once(trace_path: Path, config: Config) -> None:
    with open_trace(trace_path) as trace:
        engines = open_engines(trace, config)
        jobs = cut_jobs(engines)
        from_jobs = [key for job in jobs for key in engines[job.engine].keys(job.layer, job.micro_batches, job.rows)]
        everything = [key for engine in engines.values() for layer in engine.layers for key in engine.keys(layer)]
        counts = [engine.count(layer) for engine in engines.values() for layer in engine.layers]
    assert sorted(from_jobs) == sorted(everything)
    assert len(set(from_jobs)) == len(from_jobs)
    assert [job.number for job in jobs] == list(range(len(jobs)))
    assert len(from_jobs) == sum(count.streams for count in counts)
    assert sum(job.cycles for job in jobs) == sum(count.cycles for count in counts)
    updates = [key.micro_batch for key in from_jobs if (key.engine, key.layer, key.row) == (WEIGHT_UPDATE, 1, 0)]
    assert updates == sorted(updates)


def test_counts_are_those_of_the_streams(trace_path: Path, config: Config) -> None:
    with open_trace(trace_path) as trace:
        for engine in open_engines(trace, config).values():
            exact = engine.name != BACKWARD  # empty masks are left out
            for layer in engine.layers:
                count, geometry = engine.count(layer), engine.geometry
                own = [entry for key in engine.keys(layer) for entry in engine.expect(key)]
                cases = [make_case(e.name, engine.hardware, geometry, e.task, results=e.results) for e in own]
                tiles = sum(engine.hardware.tiles(case.task) for case in cases)
                results = sum(case.values for case in cases)
                cycles = sum(case.law_cycles for case in cases)
                assert (count.tiles, count.results) == (tiles, results) or (not exact and 0 < tiles <= count.tiles)
                assert (count.streams, count.cycles) == (len(own), cycles) or not exact


def test_the_same_sums_whatever_the_blocks(trace_path: Path, config: Config) -> None:
    with open_trace(trace_path) as trace:
        geometry = StepGeometry(trace.network, config, trace.batch)
        reader = StreamReader(trace, geometry)
        blocks = geometry.shape(FORWARD, 0, 0).blocks
        assert len(blocks) > 1
        assert blocks[-1].stop - blocks[-1].start < blocks[0].stop - blocks[0].start
        parts = [Reference(reader).expect(StreamKey(FORWARD, 0, 0, 1, n)).results["data"] for n in range(len(blocks))]
        whole = reader.source(FORWARD, 0, 0).task(1, slice(0, blocks[-1].stop))
    assert np.array_equal(np.concatenate(parts), lut_row(whole, BFLOAT16, BINARY32))
