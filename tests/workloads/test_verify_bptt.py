"""Training steps against references solved by automatic differentiation, and what a damaged reference is told."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from rtl_models.errors import InputError
from tests.workloads.residual import residual_network
from tests.workloads.test_training_step import random_inputs, small_network
from tlm.cli.verify_bptt import bptt
from workloads import verify_bptt
from workloads.bptt_bounds import Bounds, Errors
from workloads.bptt_reference import BpttReference, ReferenceLayer, read_reference
from workloads.float_step import float_step, real_inputs
from workloads.initialise import initial_weights
from workloads.record import Arithmetic
from workloads.training_step import training_step
from workloads.verify_bptt import verify_file, verify_machine

FOLDER = Path(__file__).parent / "data" / "bptt"
RESETS = FOLDER.with_name("bptt_resets")  # other resets, made by the script beside them
FILES = sorted([*FOLDER.glob("*.npz"), *RESETS.glob("*.npz")])
SMALL = FOLDER / "mlp_spikes.npz"
PIXELS = FOLDER / "planes7_bytes_t1.npz"


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_every_reference_is_inside_its_bounds(file: Path) -> None:
    verdict = verify_file(file)
    assert verdict.good
    assert [mode.mode for mode in verdict.modes][:1] == ["binary64"]
    assert len(verdict.modes) == (1 if verdict.encoding == "direct" else 2)
    for mode in verdict.modes:
        assert all(layer.weight_gradient.compared > 0 for layer in mode.layers)
        assert all(layer.potentials is None or layer.potentials.compared > 0 for layer in mode.layers)


def reference_of(seed: int, coding: str, arithmetic: Arithmetic, first: str = "conv", **source: Any) -> BpttReference:
    """A reference that our own binary64 step solves: any number of them, for the bounds to hold on."""
    timesteps = 2 + seed % 6
    if first == "residual":
        network = residual_network(coding, timesteps, **source)
    else:
        network = small_network(coding, first, timesteps, **source)
    rng = np.random.default_rng(seed)
    stored = arithmetic.value.fraction_bits + 1
    weights = []
    for array in initial_weights(network, seed):
        mantissa, exponent = np.frexp((0.5 + 2 * rng.random()) * array.astype(np.float64))
        weights.append(np.ldexp(np.round(np.ldexp(mantissa, stored - 3)), exponent - stored + 3))
    batch = 1 + seed % 4
    inputs, labels = random_inputs(network, batch, rng), rng.integers(0, network.classes, batch)
    step = float_step(network, tuple(weights), inputs, labels)
    reals = real_inputs(network, inputs)
    layers = tuple(
        ReferenceLayer(
            w,
            layer.weight_gradient,
            layer.potentials,
            layer.spikes,
            layer.gradients if layer.spikes is not None else None,
        )
        for w, layer in zip(weights, step.layers, strict=True)
    )
    reals = np.broadcast_to(reals, (network.timesteps, *reals.shape[1:]))
    return BpttReference("own", network, coding, reals, inputs, labels, step.logits, step.loss, layers)


@pytest.mark.parametrize("coding", ["spikes", "direct"])
@pytest.mark.parametrize(
    ("first", "seed"),
    [("conv", seed) for seed in range(8)] + [(first, seed) for first in ("pool", "residual") for seed in range(4)],
)
def test_bounds_hold_on_other_networks(coding: str, first: str, seed: int) -> None:
    arithmetic = Arithmetic(k=1 + seed % 8, lanes=2 ** (seed % 5), micro_batch=1 + seed % 3)
    source = {} if coding == "spikes" else {"exponent": 8}
    reference = reference_of(seed, coding, arithmetic, first, **source)
    weights = tuple(layer.weights for layer in reference.layers)
    exact = float_step(reference.network, weights, reference.inputs, reference.labels)
    verdict = verify_machine(reference, exact, arithmetic, "own")
    assert verdict.good


def changed(tmp_path: Path, source: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a reference whose arrays `change` has changed."""
    with np.load(source, allow_pickle=False) as arrays:
        content = dict(arrays)
    change(content)
    path = tmp_path / "changed.npz"
    np.savez(path, **content)
    return path


@pytest.mark.parametrize(
    ("name", "neuron"),
    [
        ("subtract", {"reset_by": 0.31}),
        ("subtract", {"reset": "zero"}),
        ("subtract_by", {"reset_gradient": False}),
        ("subtract_detached", {"reset_gradient": True}),
        ("zero_detached", {"reset_gradient": True}),
    ],
)
def test_another_reset_than_the_reference_has_is_outside(tmp_path: Path, name: str, neuron: dict[str, Any]) -> None:
    path = RESETS / f"{name}.npz"
    with np.load(path) as arrays:
        meta = json.loads(str(arrays["meta"]))
    verdict = verify_file(changed(tmp_path, path, put_meta(neuron=meta["neuron"] | neuron)))
    assert not verdict.modes[0].good


def put(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda arrays: arrays.update({key: np.asarray(value)})


def put_meta(**fields: Any) -> Callable[[dict[str, Any]], None]:
    def change(arrays: dict[str, Any]) -> None:
        arrays["meta"] = np.array(json.dumps(json.loads(str(arrays["meta"])) | fields))

    return change


def scaled(key: str, factor: float) -> Callable[[dict[str, Any]], None]:
    return lambda arrays: arrays.update({key: arrays[key] * factor})


@pytest.mark.parametrize("key", ["du0", "dW0", "dW1", "u1", "logits", "loss"])
def test_a_deviation_beyond_the_tolerance_is_outside(tmp_path: Path, key: str) -> None:
    verdict = verify_file(changed(tmp_path, SMALL, scaled(key, 1 + 1e-11)))
    assert not verdict.modes[0].good
    assert not verdict.good
    assert verdict.modes[1].good


def test_a_flipped_spike_is_outside_in_binary64(tmp_path: Path) -> None:
    def flip(arrays: dict[str, Any]) -> None:
        arrays["s0"][0, 0, 0] ^= 1

    verdict = verify_file(changed(tmp_path, SMALL, flip))
    assert verdict.modes[0].layers[0].flipped_spikes == 1
    assert not verdict.modes[0].good


@pytest.mark.parametrize(
    ("field", "layer", "factor"),
    [("potentials", 0, 1.003), ("gradients", 0, 1.02), ("gradients", 2, 1.003), ("weight_gradient", 1, 1.02)],
)
def test_a_wrong_machine_step_is_outside(
    monkeypatch: pytest.MonkeyPatch, field: str, layer: int, factor: float
) -> None:
    """A step whose tensor is off by two per cent (0.3 where one rounding is all there is) does not pass."""

    def wrong(*arguments: Any) -> Any:
        record = training_step(*arguments)
        tensor = getattr(record.layers[layer], field)
        tensor *= np.float32(factor)
        return record

    monkeypatch.setattr(verify_bptt, "training_step", wrong)
    verdict = verify_file(SMALL)
    assert verdict.modes[0].good
    assert not verdict.modes[1].good


def test_gradients_behind_a_flip_are_compared_with_the_machines_own_activity() -> None:
    verdict = verify_file(FOLDER / "conv_spikes.npz").modes[1]
    assert verdict.flipped_samples == 3
    assert verdict.logits.compared == verdict.loss.compared == 0
    assert verdict.layers[0].gradients is not None
    assert verdict.layers[0].gradients.compared == 9216


def test_bounds_grow_with_the_roundoff() -> None:
    reference = read_reference(SMALL)
    weights = tuple(layer.weights for layer in reference.layers)
    exact = float_step(reference.network, weights, reference.inputs, reference.labels)
    clean = np.ones(reference.labels.size, np.bool_)
    sizes = []
    for k in (1, 4, 8):
        bounds = Bounds(reference, exact, exact, Errors(Arithmetic(k=k), reference.network, 12), clean)
        sizes.append([bounds.potentials[0].max(), bounds.gradients[0].max(), bounds.weight_gradients[0].max()])
    assert np.all(np.diff(sizes, axis=0) > 0)


# A command keeps the names of its help option from its first call, and tests after this one call it within `h2learn`.
AS_A_PART: dict[str, Any] = {"help_option_names": ["-h", "--help"]}


def test_the_command_prints_a_table_and_json() -> None:
    result = CliRunner().invoke(bptt, [str(SMALL), str(PIXELS)], **AS_A_PART)
    assert result.exit_code == 0
    assert "mlp_spikes (spikes), machine: good" in result.output
    assert "2 of 2 files inside their bounds, 4 steps compared" in result.output
    result = CliRunner().invoke(bptt, ["--json", str(SMALL)], **AS_A_PART)
    described = json.loads(result.output)
    assert described[0]["good"] is True
    assert [mode["mode"] for mode in described[0]["modes"]] == ["binary64", "machine"]
    assert described[0]["modes"][1]["layers"][0]["flipped_spikes"] == 0


def test_the_command_fails_where_something_is_outside(tmp_path: Path) -> None:
    result = CliRunner().invoke(bptt, [str(changed(tmp_path, SMALL, scaled("dW0", 1.001)))], **AS_A_PART)
    assert result.exit_code == 1
    assert "changed (spikes), binary64: OUTSIDE" in result.output


def tenths(arrays: dict[str, Any]) -> None:
    arrays["W0"] = np.full_like(arrays["W0"], 0.1)


def moving_pixels(arrays: dict[str, Any]) -> None:
    arrays["x"][1] = arrays["x"][1][..., ::-1]


@pytest.mark.parametrize(
    ("source", "change", "words"),
    [
        (SMALL, lambda arrays: arrays.pop("dW1"), "dW1: missing key, allowed: meta, "),
        (SMALL, lambda arrays: arrays.pop("meta"), "meta: missing key, allowed: x, "),
        (SMALL, put("W1", np.zeros((24, 31))), r"W1: wrong shape, got \(24, 31\), allowed: \(24, 32\)$"),
        (SMALL, put("W1", np.zeros((24, 32), np.int64)), "W1: wrong type of elements, got 'int64'$"),
        (SMALL, scaled("u0", np.inf), "u0: a number that is not finite$"),
        (SMALL, put("s0", np.full((4, 3, 32), 2, np.uint8)), "s0: not a spike, got 2, allowed: 0, 1$"),
        (SMALL, put("y", np.array([0, 1, 5])), r"y: no such class, got 5, allowed: 0\.\.4$"),
        (SMALL, put("y", np.array([0, -1, 4])), r"y: no such class, got -1, allowed: 0\.\.4$"),
        (SMALL, scaled("x", 0.5), "x: not a spike, allowed: 0, 1$"),
        (PIXELS, scaled("x", 0.5), r"x: not a byte / 256, allowed: 0/256\.\.255/256$"),
        (FOLDER / "planes7_bytes_t5.npz", moving_pixels, "x: bytes that change from timestep to timestep, allowed: "),
        (SMALL, tenths, "W0: not exact in binary16$"),
        (SMALL, put("meta", "{"), r"meta: not JSON \("),
        (SMALL, put("meta", "[1]"), "meta: must be a JSON object, got 'list'$"),
        (SMALL, put("meta", "{}"), "meta: layers: missing key"),
        (
            SMALL,
            put_meta(encoding="morse"),
            "meta: encoding: unknown encoding, got 'morse', allowed: direct, bytes, spikes",
        ),
        (SMALL, put_meta(batch=0), "meta: batch: wrong value, got 0, allowed: a whole number >= 1$"),
        (SMALL, put_meta(timesteps=-1), "meta: timesteps: wrong value, got -1, allowed: a whole number >= 1$"),
        (SMALL, put_meta(layers=3), "meta: layers: must be a list, got 3$"),
        (SMALL, put_meta(layers=[{"kind": "pool"}]), r"meta: layers\[0\]: must be an object whose kind is known, got "),
        (
            SMALL,
            put_meta(layers=[{"kind": "fc", "out": 3, "pool": 2}]),
            r"meta: layers\[0\]: wrong keys, got 'kind, out, pool', allowed: kind, out$",
        ),
        (SMALL, put_meta(layers=[{"kind": "fc"}]), r"meta: layers\[0\]: wrong keys, got 'kind', allowed: kind, out$"),
        (SMALL, put_meta(input_shape=[1, 2]), r"meta: input_shape: must be \[channels, height, width\], got \[1, 2\]$"),
        (SMALL, put_meta(neuron={"alpha": 2}), "meta: neuron: alpha: wrong value, got 2.0, allowed: 0..1$"),
    ],
)
def test_a_damaged_reference_is_refused_in_one_line(tmp_path: Path, source: Path, change: Any, words: str) -> None:
    path = changed(tmp_path, source, change)
    with pytest.raises(InputError, match=rf"changed\.npz: {words}") as error:
        verify_file(path)
    assert "\n" not in str(error.value)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


WANTED = r"allowed: an \.npz file of one training step$"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, f"no such file, {WANTED}"),
        (b"", rf"not an \.npz file, got 'an empty file', {WANTED}"),
        (b"# text, or a pickle for all NumPy knows", rf"not an \.npz file, got 'another file', {WANTED}"),
        (SMALL.read_bytes()[:-100], r"not a readable \.npz file \("),
        (SMALL.read_bytes()[:3000] + b"?" * 2000 + SMALL.read_bytes()[5000:], r"not a readable \.npz file \("),
        (npy(np.zeros(3)), rf"not an \.npz file, got 'a single array', {WANTED}"),
    ],
)
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "file.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=rf"file\.npz: {words}"):
        verify_file(path)


def test_a_pickle_inside_is_refused(tmp_path: Path) -> None:
    path = changed(tmp_path, SMALL, lambda arrays: arrays.update(y=np.array([{}, {}, {}], dtype=object)))
    with pytest.raises(InputError, match="not a readable"):
        verify_file(path)
