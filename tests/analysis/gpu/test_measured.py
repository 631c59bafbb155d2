"""Measured files: read, fitted to, compared; the model against public measurements; and the words for mistakes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from rtl_models.errors import InputError
from tlm.analysis.gpu import measured, public
from tlm.analysis.gpu.device import all_constants, device_names, load_device
from tlm.analysis.gpu.layers import load_layers
from tlm.analysis.gpu.measured import fitted_constants, parse_measurement, read_measurement, step_errors
from tlm.analysis.gpu.model import estimate
from tlm.analysis.gpu.public import compare_all
from tlm.analysis.technology.range import Range
from workloads.network import load_network

FILE: dict[str, Any] = {
    "schema": measured.SCHEMA,
    "date": "2026-11-21T04:00:00+00:00",
    "command": "scripts/measure_gpu.py digits-conv",
    "device": {"name": "NVIDIA A100-SXM4-40GB", "driver": "550.1", "memory_bytes": 42_000_000_000},
    "software": {"python": "3.12", "torch": "2.11", "cuda": "13", "cudnn": "9"},
    "precision": "tf32",
    "rates": {
        "bytes_per_s": [1.3995e12, 1.244e12, 1.0885e12],
        "matmul_flop_per_s": [78e12],
        "conv3x3_flop_per_s": [62.4e12, 93.6e12],
        "launch_s": [3e-6, 5e-6],
    },
    "steps": [
        {
            "network": load_network("digits-conv").to_dict(),
            "neuron": "plain",
            "batch": 64,
            "warmup": 5,
            "step_s": [0.002, 0.004, 0.003],
            "peak_memory_bytes": 30_000_000,
            "power_w": {"mean": 200.0, "least": 180.0, "most": 220.0, "samples": 40},
        }
    ],
}


def changed(path: str, value: object) -> dict[str, Any]:
    """Return FILE with one value replaced (or, for None as a key of a table, kept as null)."""
    content = copy.deepcopy(FILE)
    *parents, last = path.split("/")
    place: Any = content
    for key in parents:
        place = place[int(key)] if isinstance(place, list) else place[key]
    place[last] = value
    return content


class TestFit:
    def test_constants_are_least_median_and_most_of_the_rates(self) -> None:
        constants = fitted_constants(parse_measurement(FILE, "file"))
        assert constants["bandwidth_share"].value.low == pytest.approx(0.7)
        assert constants["bandwidth_share"].value.nominal == pytest.approx(0.8)
        assert constants["bandwidth_share"].value.high == pytest.approx(0.9)
        assert constants["matmul_share"].value.nominal == pytest.approx(0.5)
        assert constants["conv3x3_share"].value.nominal == pytest.approx(0.5)
        assert constants["launch_us"].value.to_dict() == pytest.approx({"low": 3.0, "nominal": 4.0, "high": 5.0})
        assert constants["power_share"].value.nominal == pytest.approx(0.5)
        words = "measured on NVIDIA A100-SXM4-40GB, 2026-11-21T04:00:00+00:00"
        assert {constant.calibrated_on for constant in constants.values()} == {words}

    def test_error_of_a_step_that_was_not_fitted_to(self) -> None:
        (error,) = step_errors(parse_measurement(FILE, "file"))
        assert error.measured.median_s == 0.003
        assert error.result.batch == 64
        assert error.time_error == pytest.approx(error.result.time_s.nominal / 0.003 - 1)
        assert error.memory_error == pytest.approx(error.result.memory_bytes.low / 30_000_000 - 1)
        content = measured.to_dict(error)
        assert (content["measured_s"], content["measured_power_w"]) == (0.003, 200.0)

    def test_rates_of_the_model_give_the_time_of_the_model(self) -> None:
        """A file whose rates are the model's own is answered with no error."""
        measurement = parse_measurement(FILE, "file")
        ours = estimate(
            measurement.steps[0].network, measurement.device, 64, "tf32", fitted_constants(measurement)
        ).time_s.nominal
        (error,) = step_errors(parse_measurement(changed("steps/0/step_s", [ours]), "file"))
        assert error.time_error == pytest.approx(0.0, abs=1e-12)

    def test_without_power_the_table_stays(self) -> None:
        measurement = parse_measurement(changed("steps/0/power_w", None), "file")
        assert "power_share" not in fitted_constants(measurement)
        (error,) = step_errors(measurement)
        assert error.result.constants["power_share"].device == "any"


class TestWords:
    @pytest.mark.parametrize(
        ("path", "value", "words"),
        [
            ("schema", "x", f"f: schema: not a measurement of this version, got 'x', allowed: {measured.SCHEMA}"),
            (
                "device/name",
                "Tesla T4",
                "device: a measurement on a device without a model, got 'Tesla T4', allowed: V100, A100, RTX3090, H200",
            ),
            (
                "precision",
                "bf16",
                "precision: A100 has no such precision, got 'bf16', allowed: binary32, tf32, tensor16",
            ),
            ("steps", [], "f: steps: must be a list of measured steps, got []"),
            ("rates/launch_s", [], "f: rates: launch_s: must be a list of repeated measurements, got []"),
            ("rates/launch_s", [0], "f: rates: launch_s: wrong value, got 0, allowed: a number > 0"),
            ("steps/0/batch", 0, "f: steps[1]: batch: wrong value, got 0, allowed: a whole number >= 1"),
            ("steps/0/network", 1, "f: steps[1]: network: must be a table of keys, got 1"),
            ("steps/0/more", 1, "f: steps[1]: unknown key, got 'more'"),
        ],
    )
    def test_words(self, path: str, value: object, words: str) -> None:
        with pytest.raises(InputError) as caught:
            parse_measurement(changed(path, value), "f")
        assert str(caught.value).startswith(words)

    def test_files(self, tmp_path: Path) -> None:
        path = tmp_path / "m.json"
        with pytest.raises(InputError, match=r"m\.json: cannot read the file \(.*No such file"):
            read_measurement(path)
        path.write_text("{")
        with pytest.raises(InputError, match=r"m\.json: not valid JSON"):
            read_measurement(path)
        path.write_text("[" * 100_000)
        with pytest.raises(InputError, match=r"m\.json: not valid JSON \(maximum recursion depth exceeded"):
            read_measurement(path)
        path.write_text(json.dumps(FILE))
        assert read_measurement(path).device.key == "A100"


class TestPublicMeasurements:
    def test_what_was_fitted_is_met(self) -> None:
        fitted = [comparison for comparison in compare_all() if comparison.calibration]
        assert [comparison.key for comparison in fitted] == ["resnet50-v100"]
        for comparison in fitted:
            assert abs(comparison.error) < 0.01, comparison.key

    def test_what_was_not_fitted(self) -> None:
        """The errors that docs/gpu_baseline.md states; they change only with the model or its constants."""
        errors = {comparison.key: comparison.error for comparison in compare_all() if not comparison.calibration}
        assert errors == pytest.approx(
            {
                "vgg16-v100": 0.10,
                "resnet50-dgx1": -0.02,
                "resnet50-v100-mixed": -0.18,
                "gated-lif-a100": -0.22,
                "tet-3090-t2": -0.53,
                "tet-3090-t4": -0.02,
                "tet-3090-t6": 0.53,
            },
            abs=0.01,
        )

    def test_a_report_names_its_source_and_its_assumptions(self) -> None:
        for comparison in compare_all():
            content = public.to_dict(comparison)
            assert content["source"].startswith("github.com/")
            assert content["assumed"]
            model = content["model_s"]
            assert content["within"] == (model["low"] <= content["measured_s"] <= model["high"])

    def test_time_grows_with_timesteps(self) -> None:
        """As the report of the four RTX 3090 says."""
        times = [c.model_s.nominal for c in compare_all() if c.key.startswith("tet")]
        assert times == sorted(times)
        assert times[2] / times[0] > 3.0


class TestDocument:
    """docs/gpu_baseline.md against the tables it shows."""

    TEXT = (Path(__file__).parents[3] / "docs" / "gpu_baseline.md").read_text(encoding="utf-8")

    def test_constants(self) -> None:
        for constant in all_constants():
            value = constant.value
            row = f"| `{constant.name}` | {constant.device} | {constant.precision or 'all'} | "
            row += f"{value.low:g} | {value.nominal:g} | {value.high:g} | "
            row += f"{constant.source.strip()} | {constant.verified} |"
            assert row in self.TEXT

    def test_steps_of_the_cifar_network(self) -> None:
        def written(value: Range, digits: int) -> str:
            return f"{value.nominal:.{digits}f} ({value.low:.{digits}f}-{value.high:.{digits}f})"

        for name in device_names():
            device = load_device(name)
            for precision in device.peak_flop_per_s:
                plain, fused = (
                    estimate(load_layers("cifar-cnn", neuron), device, 64, precision) for neuron in ("plain", "fused")
                )
                times = [written(result.time_s * (1e3 / 64), 2) for result in (plain, fused)]
                energies = [written(result.energy_j * (1e3 / 64), 0) for result in (plain, fused)]
                memory = written(plain.memory_bytes * 2**-30, 1)
                assert " | ".join([f"| {name}", precision, *times, *energies, f"{memory} |"]) in self.TEXT
