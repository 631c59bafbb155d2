"""Tensors of a trace in PyTorch's layouts: PyTorch itself comes to the potentials of a real step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtl_models.errors import InputError
from tests.workloads.synthetic import random_record, small_network
from workloads.exporters.tensors import named_tensors, write_tensors
from workloads.trace_file import Trace, open_trace, write_trace


def test_pytorch_computes_the_same_potentials(trace: Trace, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    names = write_tensors(trace, tmp_path / "step.pt")
    step = torch.load(tmp_path / "step.pt", weights_only=True)
    assert list(step) == names
    first = functional.conv2d(step["inputs"], step["conv1.weight"], padding=1)
    spikes = step["conv1.spikes"][0].float()
    second = 4 * functional.avg_pool2d(functional.conv2d(spikes, step["conv2.weight"], padding=1), 2)
    second += functional.conv2d(spikes, step["projection2.weight"], stride=2) + step["conv2.bias"][:, None, None]
    third = functional.linear(torch.flatten(step["conv2.spikes"][0].float(), 1), step["fc3.weight"])
    for name, sums in (("conv1", first), ("conv2", second), ("fc3", third)):
        assert step[f"{name}.potentials"][0].shape == sums.shape
        assert torch.allclose(step[f"{name}.potentials"][0], sums, atol=2e-3), name
    logits = functional.linear(step["fc3.spikes"].float(), step["fc4.weight"], step["fc4.bias"]).mean(0)
    assert torch.allclose(step["logits"].float(), logits, atol=2e-3)
    weight = step["conv2.weight"].clone().requires_grad_()
    sums = functional.conv2d(step["conv1.spikes"].flatten(0, 1).float(), weight, padding=1)
    (4 * functional.avg_pool2d(sums, 2)).backward(step["conv2.gradients"].flatten(0, 1))
    assert torch.allclose(weight.grad, step["conv2.weight_gradient"], atol=1e-4)


def test_npz_holds_the_same_and_the_same_bytes_again(trace: Trace, tmp_path: Path) -> None:
    names = write_tensors(trace, tmp_path / "a.npz", images=2)
    write_tensors(trace, tmp_path / "b.npz", images=2)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz") as step:
        assert step.files == names
        for name, tensor in named_tensors(trace, slice(0, 2)):
            assert step[name].dtype == tensor.dtype
            np.testing.assert_array_equal(step[name], tensor)
        assert step["conv1.masks"].shape == (2, 2, 5, 8, 8)
        assert step["fc4.gradients"].shape == (2, 10)
        np.testing.assert_array_equal(step["labels"], trace.labels[:2])


def test_spikes_that_enter_and_gradients_without_the_loss_scale(tmp_path: Path) -> None:
    record = random_record(small_network(input={"shape": [4, 5, 3], "coding": "spikes"}))
    write_trace(record, tmp_path / "step.h5")
    with open_trace(tmp_path / "step.h5") as trace:
        step = dict(named_tensors(trace))
    np.testing.assert_array_equal(step["inputs"], record.inputs.transpose(0, 1, 4, 2, 3))
    hidden, last = record.layers
    np.testing.assert_array_equal(step["conv1.gradients"] * 4096, hidden.gradients.transpose(0, 1, 4, 2, 3))
    weights = {"": "weights", "_gradient": "weight_gradient"}
    weights |= {f"_{name}": name for name in ("master", "momentum", "new_master", "new_momentum")}
    weights["_new"] = "new_weights"
    for suffix, name in weights.items():
        scale = 4096 if suffix == "_gradient" else 1
        for layer, found in ((hidden, step[f"conv1.weight{suffix}"]), (last, step[f"fc2.weight{suffix}"])):
            wanted = getattr(layer, name).transpose(0, 3, 1, 2)
            np.testing.assert_array_equal(found * scale, wanted.reshape(found.shape), err_msg=name)
    assert step["fc2.weight"].shape == (4, 180)
    assert {name.partition("weight")[2] for name in step if "weight" in name} == set(weights)


def test_words_of_mistakes(trace: Trace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^--out: no such kind of file, got 'step.mat', allowed: .npz, .pt$"):
        write_tensors(trace, tmp_path / "step.mat")
    for images in (0, 4):
        words = rf"^--images: the trace has not so many images, got {images}, allowed: 1..3$"
        with pytest.raises(InputError, match=words):
            write_tensors(trace, tmp_path / "step.npz", images=images)
    for images in (1, 3):
        write_tensors(trace, tmp_path / "step.npz", images=images)
        with np.load(tmp_path / "step.npz") as step:
            assert step["labels"].tolist() == trace.labels[:images].tolist()


def test_constants_of_a_reset(tmp_path: Path) -> None:
    neuron = {"threshold": 0.5, "reset": "subtract", "reset_gradient": False}
    for content, found in (({}, []), (neuron, ["neuron.subtract", "neuron.drop", "neuron.detached"])):
        write_trace(random_record(small_network(neuron=content)), tmp_path / "step.h5")
        with open_trace(tmp_path / "step.h5") as trace:
            step = dict(named_tensors(trace))
        assert [name for name in step if name.startswith("neuron.")][5:] == found
        assert all(step[name].dtype != object for name in found)
    assert step["neuron.drop"] == 0.125
