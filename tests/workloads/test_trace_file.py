"""What is written into a trace comes back, bit for bit, whole or in slices."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workloads.trace_file
from rtl_models.errors import InputError
from rtl_models.formats import BFLOAT16, BINARY16, BINARY32
from tests.workloads.synthetic import random_record, small_network
from workloads.network import Network, load_network
from workloads.record import Arithmetic, StepRecord
from workloads.sealed_file import HEADER_BYTES
from workloads.trace_file import open_trace, write_trace
from workloads.trace_schema import layer_tensors


def assert_same(a: object, b: object, where: str = "record") -> None:
    """Compare records, their layers and arrays bit for bit."""
    assert type(a) is type(b), where
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()), where
    elif isinstance(a, tuple) and isinstance(b, tuple):
        assert len(a) == len(b), where
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{index}]")
    elif isinstance(a, StepRecord) or type(a).__name__ == "LayerRecord":
        for field in dataclasses.fields(a):  # type: ignore[arg-type]
            assert_same(getattr(a, field.name), getattr(b, field.name), f"{where}.{field.name}")
    else:
        assert a == b, where


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Small networks of every input coding, with convolutions whose channels are no multiple of eight."""
    size = st.integers(1, 5)
    coding = draw(st.sampled_from(("unsigned", "signed", "spikes")))
    source: dict[str, Any] = {"shape": [draw(size), draw(size), draw(st.integers(1, 17))]}
    source |= {"coding": "spikes"} if coding == "spikes" else {"exponent": 3, "signed": coding == "signed"}
    channels = st.lists(st.integers(1, 19), min_size=0, max_size=2)
    layers: list[Any] = [{"conv": {"channels": c, "kernel": [1, 1], "stride": 2}} for c in draw(channels)]
    layers += [{"linear": draw(st.integers(1, 9))}, {"linear": draw(st.integers(1, 11))}]
    return small_network(input=source, layers=layers, timesteps=draw(st.integers(1, 4)))


@given(
    network=networks(),
    batch=st.integers(1, 5),
    value=st.sampled_from((BINARY16, BFLOAT16, BINARY32)),
    seed=st.integers(0, 2**63 - 1),
)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, network: Network, batch: int, value: Any, seed: int
) -> None:
    path = tmp_path_factory.mktemp("trace") / "step.h5"
    record = random_record(network, batch, seed, Arithmetic(value=value, k=3, lanes=8, micro_batch=2))
    digest = write_trace(record, path)
    with open_trace(path) as trace:
        assert trace.digest == digest
        assert_same(trace.record(), record)


@given(network=networks(), data=st.data())
@settings(deadline=None, derandomize=True, max_examples=30)
def test_slices_equal_slices_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, network: Network, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("trace") / "step.h5"
    record = random_record(network, 5)
    write_trace(record, path)
    with open_trace(path) as trace:
        samples = data.draw(st.slices(5).filter(lambda s: s.step is None or s.step > 0))
        times = data.draw(st.slices(network.timesteps).filter(lambda s: s.step is None or s.step > 0))
        layer = record.layers[0]
        assert layer.spikes is not None
        assert layer.potentials is not None
        np.testing.assert_array_equal(trace.spikes(0, samples, times), layer.spikes[times, samples])
        np.testing.assert_array_equal(trace.potentials(0, samples, times), layer.potentials[times, samples])
        np.testing.assert_array_equal(trace.gradients(0, samples, times), layer.gradients[times, samples])
        last = len(network.layers) - 1
        np.testing.assert_array_equal(trace.gradients(last, samples, times), record.layers[last].gradients[samples])
        inputs = record.inputs[samples] if record.inputs.ndim == 4 else record.inputs[times, samples]
        np.testing.assert_array_equal(trace.inputs(samples, times), inputs)
        if layer.gradient_sums is not None:
            np.testing.assert_array_equal(trace.gradient_sums(0, samples), layer.gradient_sums[samples])


def test_every_reader_of_a_layer(tmp_path: Path) -> None:
    record = random_record(small_network())
    write_trace(record, tmp_path / "step.h5")
    with open_trace(tmp_path / "step.h5") as trace:
        for index, layer in enumerate(record.layers):
            for name in layer_tensors(record.network, BINARY16, index, 4):
                assert_same(getattr(trace, name)(index), getattr(layer, name), name)
                assert trace.has(index, name)
            assert trace.nonfinite(index) == layer.nonfinite
            assert trace.subnormal(index) == layer.subnormal
        assert not trace.has(1, "spikes")
        assert (trace.batch, trace.timesteps, trace.step) == (4, 3, 7)
        assert trace.constants == record.network.constants
        assert trace.versions == {"h2learn": "0.1.0", "numpy": np.__version__}
    assert_same(trace.labels, record.labels)  # stays valid after the file is closed


def test_constants_are_the_binary32_ones(tmp_path: Path) -> None:
    network = small_network(neuron={"alpha": 0.1, "threshold": 0.3, "interval": 0.7, "beta": 1.1})
    write_trace(random_record(network), tmp_path / "step.h5")
    with open_trace(tmp_path / "step.h5") as trace:
        assert trace.constants.low == np.float32(0.3 - 0.7)
        assert trace.constants.high == np.float32(0.3 + 0.7)
        assert trace.constants.alpha.dtype == np.float32


@pytest.mark.parametrize("reset", [{"reset": "subtract", "reset_by": 0.7}, {"reset_gradient": False}])
def test_the_reset_of_the_neurons(reset: dict[str, Any], tmp_path: Path) -> None:
    network = small_network(neuron={"alpha": 0.1} | reset)
    write_trace(random_record(network), tmp_path / "step.h5")
    with open_trace(tmp_path / "step.h5") as trace:
        assert trace.network.neuron == network.neuron
        assert trace.constants == network.constants
        assert trace.constants.reset.drop == (np.float32(0.1 * 0.7) if "reset" in reset else 0)


def test_a_default_reset_and_origin_leave_no_mark(tmp_path: Path) -> None:
    write_trace(random_record(small_network()), tmp_path / "step.h5")
    with h5py.File(tmp_path / "step.h5") as file:
        assert sorted(file["constants"].attrs) == ["alpha", "beta", "high", "low", "threshold"]
        assert "origin" not in file.attrs
        assert "reset" not in json.loads(file["network"].asstr()[()])["neuron"]


def test_a_step_computed_elsewhere_says_so(tmp_path: Path) -> None:
    record = random_record(small_network())
    write_trace(dataclasses.replace(record, origin="snnTorch"), tmp_path / "step.h5")
    with open_trace(tmp_path / "step.h5") as trace:
        assert (trace.origin, trace.bit_exact) == ("snnTorch", False)
        assert trace.record().origin == "snnTorch"
    write_trace(dataclasses.replace(record, skipped=True), tmp_path / "step.h5")
    with open_trace(tmp_path / "step.h5") as trace:
        assert (trace.origin, trace.bit_exact) == ("", False)


def test_same_record_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_trace(random_record(small_network()), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_spikes_take_one_bit_each_and_values_their_own_width(tmp_path: Path) -> None:
    network = load_network("digits-conv")
    write_trace(random_record(network, 8), tmp_path / "step.h5")
    with h5py.File(tmp_path / "step.h5", "r") as file:
        spikes = file["layers/0/spikes"]
        assert (spikes.shape, spikes.dtype) == ((6, 8, 8, 8, 4), np.uint8)
        assert spikes.fletcher32
        assert spikes.chunks[0] == 1
        assert file["layers/0/potentials"].dtype == np.uint16
        assert file["layers/0/master"].dtype == np.float32
        assert json.loads(file["network"].asstr()[()]) == network.to_dict()


def test_bit_of_a_channel(tmp_path: Path) -> None:
    record = random_record(small_network())
    spikes = np.zeros_like(record.layers[0].spikes)
    spikes[..., 3] = 1  # bit 3 of byte 0
    spikes[..., 8] = 1  # bit 0 of byte 1
    layer = dataclasses.replace(record.layers[0], spikes=spikes)
    write_trace(dataclasses.replace(record, layers=(layer, record.layers[1])), tmp_path / "step.h5")
    with h5py.File(tmp_path / "step.h5", "r") as file:
        assert set(file["layers/0/spikes"][..., 0].ravel()) == {8}
        assert set(file["layers/0/spikes"][..., 1].ravel()) == {1}


def test_a_chunk_holds_one_timestep_and_about_a_mebibyte() -> None:
    network = small_network(input={"shape": [32, 32, 128], "coding": "spikes"})
    tensors = layer_tensors(network, BINARY16, 0, 32)
    assert tensors["potentials"].chunks == (1, 32, 32, 32, 9)  # 576 KiB
    wide = small_network(layers=[{"conv": {"channels": 4096, "kernel": [1, 1]}}, {"linear": 2}])
    assert layer_tensors(wide, BINARY16, 0, 32)["potentials"].chunks == (1, 6, 4, 5, 4096)


def test_nothing_in_a_trace_is_pickled(tmp_path: Path) -> None:
    write_trace(random_record(small_network()), tmp_path / "step.h5")
    kinds: set[str] = set()
    with h5py.File(tmp_path / "step.h5", "r") as file:
        file.visititems(lambda name, item: kinds.add(item.dtype.kind) if isinstance(item, h5py.Dataset) else None)
        assert kinds <= {"u", "i", "f", "O"}  # O: the network's text
    content = (tmp_path / "step.h5").read_bytes()[HEADER_BYTES:]
    assert pickle.dumps(0, protocol=4)[:2] != content[:2]


def test_wrong_shape_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    record = random_record(small_network())
    layer = dataclasses.replace(record.layers[0], masks=None)
    with pytest.raises(ValueError, match=r"/layers/0: masks has shape None, its network demands \(3, 4, 4, 5, 9\)"):
        write_trace(dataclasses.replace(record, layers=(layer, record.layers[1])), tmp_path / "step.h5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda t: t.spikes(2), r"layer: the trace has no such layer, got 2, allowed: 0\.\.1"),
        (lambda t: t.weights(-1), r"layer: the trace has no such layer, got -1, allowed: 0\.\.1"),
        (lambda t: t.sparsity(9), r"layer: the trace has no such layer, got 9"),
        (lambda t: t.nonfinite(9), r"layer: the trace has no such layer, got 9"),
        (lambda t: t.has(9, "spikes"), r"layer: the trace has no such layer, got 9"),
        (lambda t: t.masks(1), r"layer 1 \(fc2\): the layer has no such tensor, got 'masks', allowed: weights, "),
        (lambda t: t.gradient_sums(1), r"layer 1 \(fc2\): the layer has no such tensor, got 'gradient_sums'"),
    ],
)
def test_words_of_reader_errors(tmp_path: Path, call: Any, text: str) -> None:
    write_trace(random_record(small_network()), tmp_path / "step.h5")
    with open_trace(tmp_path / "step.h5") as trace, pytest.raises(InputError, match=text):
        call(trace)


@pytest.mark.parametrize("moment", [1, 5, 20])
def test_ctrl_c_while_writing_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    path = tmp_path / "step.h5"
    digest = write_trace(random_record(small_network()), path)
    write_tensor, calls = workloads.trace_file._write_tensor, itertools.count(1)

    def interrupted(*arguments: Any) -> None:
        if next(calls) == moment:
            raise KeyboardInterrupt
        write_tensor(*arguments)

    monkeypatch.setattr(workloads.trace_file, "_write_tensor", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_trace(random_record(small_network(), seed=1), path)
    assert list(tmp_path.iterdir()) == [path]
    with open_trace(path) as trace:
        assert trace.digest == digest
