"""The roofline: its corners, what it must be monotone in, its sums, its ranges, and the words of its errors."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_models.errors import InputError
from tlm.analysis.gpu import kernels as step
from tlm.analysis.gpu.data import number, package_yaml, table, whole
from tlm.analysis.gpu.device import (
    CORNERS,
    Constant,
    Rates,
    all_constants,
    constants_for,
    device_names,
    device_of_driver_name,
    load_device,
    rates,
)
from tlm.analysis.gpu.kernels import Kernel
from tlm.analysis.gpu.layers import load_layers
from tlm.analysis.gpu.model import Estimate, estimate, kernel_time_s, to_dict
from tlm.analysis.technology.range import Range

RATES = Rates(
    matmul_flop_per_s=1e12,
    conv3x3_flop_per_s=2e12,
    vector_flop_per_s=1e12,
    bytes_per_s=1e11,
    link_bytes_per_s=1e10,
    launch_s=5e-6,
    power_w=100.0,
    memory_overhead=0.1,
)


def kernel(unit: str, flop: int, moved: int) -> Kernel:
    return Kernel("layer", "kind", "name", step.FORWARD, unit, 1, flop, moved)


class TestRoofline:
    @pytest.mark.parametrize(
        ("unit", "flop", "moved", "seconds"),
        [
            (step.MATMUL, 0, 0, 5e-6),  # nothing to do: the launch
            (step.MATMUL, 10**9, 10**6, 5e-6 + 1e-3),  # arithmetic
            (step.CONV3X3, 10**9, 10**6, 5e-6 + 0.5e-3),
            (step.VECTOR, 10**6, 10**9, 5e-6 + 1e-2),  # memory
            (step.MATMUL, 10**10, 10**9, 5e-6 + 1e-2),  # the ridge: both take as long
            (step.LINK, 0, 10**9, 5e-6 + 0.1),
        ],
    )
    def test_corners(self, unit: str, flop: int, moved: int, seconds: float) -> None:
        assert kernel_time_s(kernel(unit, flop, moved), RATES) == pytest.approx(seconds, rel=1e-12)

    @given(
        flop=st.integers(0, 10**15),
        moved=st.integers(0, 10**12),
        more_flop=st.integers(0, 10**15),
        more_bytes=st.integers(0, 10**12),
        unit=st.sampled_from(step.UNITS),
    )
    def test_more_work_never_takes_less(
        self, flop: int, moved: int, more_flop: int, more_bytes: int, unit: str
    ) -> None:
        little = kernel_time_s(kernel(unit, flop, moved), RATES)
        assert kernel_time_s(kernel(unit, flop + more_flop, moved + more_bytes), RATES) >= little >= RATES.launch_s

    @given(factor=st.floats(1.0, 1e3), flop=st.integers(0, 10**15), moved=st.integers(0, 10**12))
    def test_faster_hardware_never_takes_longer(self, factor: float, flop: int, moved: int) -> None:
        one = kernel(step.MATMUL, flop, moved)
        before = kernel_time_s(one, RATES)
        assert kernel_time_s(one, replace(RATES, matmul_flop_per_s=1e12 * factor)) <= before
        assert kernel_time_s(one, replace(RATES, bytes_per_s=1e11 * factor)) <= before
        assert kernel_time_s(one, replace(RATES, launch_s=5e-6 * factor)) >= before


def digits(batch: int = 4, timesteps: int | None = None, **options: str) -> Estimate:
    network = load_layers("digits-conv", options.get("neuron"), timesteps)
    return estimate(network, load_device(options.get("device", "V100")), batch, options.get("precision", "binary32"))


class TestEstimate:
    def test_sums_of_the_kinds_are_the_step(self) -> None:
        for result in (digits(), digits(precision="tensor16"), digits(neuron="fused")):
            for corner in CORNERS:
                parts = sum(getattr(kind.time_s, corner) for kind in result.kinds)
                assert parts == pytest.approx(getattr(result.time_s, corner), rel=1e-12)
            assert all(kind.launch_s.nominal <= kind.time_s.nominal * (1 + 1e-12) for kind in result.kinds)

    def test_energy_is_time_times_power(self) -> None:
        result = digits()
        shares = result.constants["power_share"].value
        for corner in CORNERS:
            power = 300.0 * getattr(shares, corner)
            assert getattr(result.energy_j, corner) == pytest.approx(getattr(result.time_s, corner) * power)

    def test_memory_adds_state_and_overhead(self) -> None:
        result = digits()
        network = result.network
        held = step.stored_bytes(network, 4, "binary32") + step.state_bytes(network, "binary32")
        assert result.memory_bytes.low == held
        assert result.memory_bytes.high == pytest.approx(held * 1.3)

    @pytest.mark.parametrize("device", device_names())
    def test_ranges_are_ranges_on_every_device_and_precision(self, device: str) -> None:
        for precision in load_device(device).peak_flop_per_s:
            result = estimate(load_layers("cifar-cnn"), load_device(device), 64, precision)
            assert 0 < result.time_s.low < result.time_s.nominal < result.time_s.high
            assert 0 < result.inference_s.nominal < result.time_s.nominal
            assert result.energy_j.low < result.energy_j.nominal < result.energy_j.high

    @settings(max_examples=20)
    @given(batch=st.integers(1, 300), timesteps=st.integers(1, 12), more=st.integers(1, 50))
    def test_grows_with_batch_and_timesteps(self, batch: int, timesteps: int, more: int) -> None:
        base = digits(batch, timesteps)
        for larger in (digits(batch + more, timesteps), digits(batch, timesteps + more)):
            assert larger.time_s.nominal > base.time_s.nominal
            assert larger.memory_bytes.nominal > base.memory_bytes.nominal
            assert larger.flop > base.flop

    def test_a_small_step_is_all_launches(self) -> None:
        result = digits(1)
        launches = sum(kind.launch_s.nominal for kind in result.kinds)
        assert launches == pytest.approx(result.launches * 4e-6)
        assert launches > 0.9 * result.time_s.nominal

    def test_fused_neurons_are_faster_and_smaller(self) -> None:
        plain, fused = (estimate(load_layers("cifar-cnn", n), load_device("V100"), 64) for n in ("plain", "fused"))
        assert fused.time_s.high < plain.time_s.high
        assert fused.memory_bytes.low < plain.memory_bytes.low

    def test_fits(self) -> None:
        assert digits().fits
        large = estimate(load_layers("resnet18-gated-lif"), load_device("RTX3090"), 512, "tf32")
        assert not large.fits

    def test_json_keys(self) -> None:
        content = json.loads(json.dumps(to_dict(digits())))
        assert list(content) == [
            "network",
            "device",
            "precision",
            "batch",
            "step_s",
            "sample_s",
            "inference_s",
            "energy_j",
            "sample_energy_j",
            "memory_bytes",
            "stored_bytes",
            "fits",
            "launches",
            "flop",
            "kinds",
            "constants",
        ]
        assert list(content["step_s"]) == ["low", "nominal", "high"]
        assert list(content["kinds"][0]) == ["kind", "launches", "flop", "bytes", "time_s", "launch_s"]
        assert {constant["name"] for constant in content["constants"]} == {
            "bandwidth_share",
            "matmul_share",
            "conv3x3_share",
            "launch_us",
            "power_share",
            "memory_overhead",
        }
        assert content["sample_s"]["nominal"] == pytest.approx(content["step_s"]["nominal"] / 4)

    def test_given_constants_replace_the_table(self) -> None:
        fixed = Constant("launch_us", "us", "V100", "", Range.exact(0.0), "", "assumed", "")
        result = estimate(load_layers("digits-conv"), load_device("V100"), 4, constants={"launch_us": fixed})
        assert sum(kind.launch_s.high for kind in result.kinds) == 0.0


class TestTables:
    def test_every_constant_has_a_unit_a_source_and_an_order(self) -> None:
        constants = all_constants()
        assert len(constants) > 10
        for constant in constants:
            assert constant.source, constant.name
            assert constant.unit in ("share", "us")
            assert constant.verified in ("seen", "quoted", "assumed")
            assert constant.value.low <= constant.value.nominal <= constant.value.high
            assert constant.device == "any" or constant.device in device_names()

    def test_assumed_is_not_called_seen(self) -> None:
        for constant in all_constants():
            assert constant.source.startswith("assumed") == (constant.verified == "assumed"), constant

    def test_every_figure_of_a_device_has_a_source(self) -> None:
        for name, raw in package_yaml("devices.yaml").items():
            figures = [
                *raw["peak_tflops"].values(),
                *(raw[key] for key in raw if key not in ("matches", "name", "peak_tflops")),
            ]
            assert len(figures) >= 8, name
            for figure in figures:
                assert figure["value"] > 0, name
                assert figure["source"], name

    def test_published_device_figures(self) -> None:
        v100, h200 = load_device("v100"), load_device("H200")
        assert (v100.peak_flop_per_s["binary32"], v100.bandwidth_bytes_per_s, v100.power_w) == (15.7e12, 900e9, 300.0)
        assert (v100.area_mm2, v100.transistors) == (815.0, 21.1e9)
        assert (h200.bandwidth_bytes_per_s, h200.peak_flop_per_s["tensor16"]) == (4.8e12, 989e12)
        assert load_device("RTX 3090").key == "RTX3090"

    def test_a_device_of_its_own_comes_before_any(self) -> None:
        chosen = constants_for(load_device("RTX3090"), "tf32")
        assert chosen["matmul_share"].device == "RTX3090"
        assert chosen["conv3x3_share"] == chosen["matmul_share"]  # no Winograd on tensor cores
        assert constants_for(load_device("A100"), "tf32")["matmul_share"].device == "any"

    def test_low_is_the_fast_corner(self) -> None:
        device = load_device("V100")
        constants = constants_for(device, "binary32")
        low, high = (rates(device, "binary32", constants, corner) for corner in ("low", "high"))
        assert low.bytes_per_s == pytest.approx(0.94 * 900e9)
        assert (low.bytes_per_s > high.bytes_per_s, low.launch_s < high.launch_s) == (True, True)
        assert (low.matmul_flop_per_s > high.matmul_flop_per_s, low.power_w < high.power_w) == (True, True)


class TestWords:
    @pytest.mark.parametrize(
        ("call", "words"),
        [
            (lambda: load_device("P100"), "device: unknown device, got 'P100', allowed: V100, A100, RTX3090, H200"),
            (
                lambda: device_of_driver_name("Tesla T4"),
                "device: a measurement on a device without a model, got 'Tesla T4', allowed: V100, A100, RTX3090, H200",
            ),
            (
                lambda: digits(precision="tf32"),
                "precision: V100 has no such precision, got 'tf32', allowed: binary32, tensor16",
            ),
            (lambda: digits(0), "batch: wrong value, got 0, allowed: a whole number >= 1"),
            (lambda: digits(4, 0), "timesteps: wrong value, got 0, allowed: a whole number >= 1"),
            (lambda: number("x", "here"), "here: wrong value, got 'x', allowed: a number >= 0"),
            (lambda: number(0, "here", above=True), "here: wrong value, got 0, allowed: a number > 0"),
            (lambda: number(float("nan"), "here"), "here: wrong value, got nan, allowed: a number >= 0"),
            (lambda: whole(True, "here"), "here: wrong value, got True, allowed: a whole number >= 1"),
            (lambda: table([], "here", ("a",)), "here: must be a table of keys, got [], allowed: a"),
            (lambda: table({"b": 1}, "here", ("a",)), "here: unknown key, got 'b', allowed: a"),
            (lambda: table({}, "here", ("a",), ("b",)), "here: the key a is missing, got [], allowed: a, b"),
        ],
    )
    def test_words(self, call: object, words: str) -> None:
        with pytest.raises(InputError) as caught:
            call()  # type: ignore[operator]
        assert str(caught.value) == words
