"""What can be asked of an evaluation, and the words of every refusal, before anything is trained for."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from rtl_models.errors import InputError
from tlm.analysis.evaluation.options import EvaluationOptions, check_options, parse_stages
from workloads.network import list_networks


def test_the_defaults_can_be_used() -> None:
    plan = check_options(EvaluationOptions())
    assert [network.name for network in plan.networks] == ["cifar-cnn"]
    assert plan.percents == (0, 10, 50, 100)
    assert (plan.images, plan.sizes) == (24, (16, 24))
    settings = plan.settings(plan.networks[0])
    assert (settings.steps, settings.batch, settings.captured_images) == (40, 32, 24)


def test_few_images_are_captured_whole() -> None:
    plan = check_options(EvaluationOptions(networks="digits-conv,digits-mlp", batch=5))
    assert (plan.images, plan.sizes) == (5, (5,))


def test_stages_ascend() -> None:
    assert parse_stages("100, 0,50") == (0, 50, 100)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"networks": "digits-conv,digits-conv"}, "--networks: is named twice, got 'digits-conv'"),
        ({"networks": "cifar"}, f"network: unknown network, got 'cifar', allowed: {', '.join(list_networks())}"),
        ({"stages": "0,half"}, "--stages: wrong value in the list, got 'half', allowed: whole percents 0..100, e.g. "),
        ({"stages": "0,101"}, "--stages: wrong value in the list, got '101'"),
        ({"stages": "0,10,0"}, "--stages: is named twice, got '0'"),
        ({"steps": 0}, "--steps: wrong value, got 0, allowed: a whole number >= 1"),
        ({"batch": 0}, "--batch: wrong value, got 0"),
        ({"gpu_batch": 0}, "--gpu-batch: wrong value, got 0"),
        ({"training_batch": 0}, "--training-batch: wrong value, got 0"),
        ({"workers": 0}, "--workers: wrong value, got 0"),
        ({"images": 65}, "--images: wrong value, got 65, allowed: a whole number 1..64"),
        (
            {"images": 64},
            "--images: more images cannot be captured than a step of the training has, got 64, allowed: at",
        ),
        ({"images": 12}, "--images: a step cannot be told from so many images, got 12"),
        ({"gpu": "V200"}, "device: unknown device, got 'V200', allowed: V100, "),
        ({"gpu_precision": "tf32"}, "precision: V100 has no such precision, got 'tf32'"),
        ({"gpu_neuron": "soft"}, "--gpu-neuron: unknown implementation, got 'soft', allowed: plain, fused"),
        ({"config": "h2lern"}, "config: unknown preset, got 'h2lern'"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(words)}"):
        check_options(replace(EvaluationOptions(), **changes))
