"""Sizes told from synthesised ones: how far off they are on sizes that the fit has not seen, and what is taken out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtl_models.backward_unit import BackwardUnitGeometry
from rtl_models.errors import InputError
from rtl_models.formats import BFLOAT16, BINARY16, BINARY32, FloatFormat
from rtl_models.lut_row import LutRowGeometry
from rtl_models.transistors import transistor_counts
from rtl_models.transposition_unit import TranspositionGeometry
from tlm.analysis.area.backward_size import UNIT, backward_size
from tlm.analysis.area.fit import Fit, Sample, coefficients, fit, left_out_errors
from tlm.analysis.area.row_size import ROW, row_size
from tlm.analysis.area.transposition_size import transposition_fit, transposition_records, transposition_size
from tlm.analysis.area.vector_size import UNITS, vector_size
from tlm.analysis.technology.range import Range

ROW_ERROR, BACKWARD_ERROR, TRANSPOSITION_ERROR = 0.05, 0.03, 0.02  # stated in docs/area.md


class TestFit:
    SAMPLES = tuple(Sample(f"{x} {y}", 7.0, {"x": x, "y": y}, 7 + 3 * x + 5 * y) for x, y in ((1, 1), (2, 1), (3, 4)))

    def test_it_finds_what_made_the_counts(self) -> None:
        found = fit(self.SAMPLES)
        assert found.coefficients == pytest.approx({"x": 3, "y": 5})
        assert found.error == pytest.approx(0, abs=1e-9)
        assert found.count(7.0, {"x": 10, "y": 100}) == pytest.approx(537)

    def test_a_sample_that_alone_shows_a_feature_is_passed_over(self) -> None:
        samples = [Sample(str(x), 0.0, {"x": x, "y": y}, x + 2 * y) for x, y in ((1, 0), (2, 0), (3, 1))]
        assert set(left_out_errors(samples)) == {"1", "2"}

    def test_errors_are_those_of_the_sample_left_out(self) -> None:
        odd = Sample("odd", 0.0, {"x": 1}, 20.0)
        samples = [Sample(str(x), 0.0, {"x": x}, 10.0 * x) for x in (1, 2, 3)]
        assert left_out_errors([*samples, odd])["odd"] == pytest.approx(-0.5)
        assert fit(samples, [odd]).error == pytest.approx(0.5)
        assert coefficients(samples) == pytest.approx({"x": 10})

    def test_nothing_left_out_is_no_error(self) -> None:
        assert fit(self.SAMPLES[:2]).error == 0
        assert Fit({"x": 2.0}, 0.0).count(1.0, {"x": 3}) == 7


class TestRow:
    def test_every_size_left_out_is_told_within_the_stated_error(self) -> None:
        errors = left_out_errors(ROW.samples())
        assert len(errors) >= 16
        assert max(map(abs, errors.values())) < ROW_ERROR

    def test_the_largest_row_is_told_by_the_others(self) -> None:
        (record,) = ROW.records(held_out=True)
        (sample,) = ROW.samples(held_out=True)
        told = ROW.fit.count(sample.known, sample.features)
        assert told == pytest.approx(record.transistors, rel=0.01)
        assert record.geometry["lanes"] == 8
        assert record.geometry["tree_registers"] is True

    def test_memories_are_counted_apart(self) -> None:
        row = LutRowGeometry(k=4, lanes=16, depth=1024)
        found = row_size(row)
        assert found.latch_bits == 2 * 15 * 16 * 16
        assert found.sram_bits == 1024 * 32
        deeper = row_size(replace(row, depth=2048))
        assert deeper.sram_bits == 2 * found.sram_bits
        assert deeper.logic.nominal == pytest.approx(found.logic.nominal)

    def test_flip_flops_without_memories(self) -> None:
        """The largest row's, which the fit has not seen: 4,978 less two tables a lane and two partial sums."""
        (record,) = ROW.records(held_out=True)
        expected = record.flip_flops - 8 * 2 * 15 * 16 - 2 * 32
        assert row_size(ROW.geometry_of(record)).flip_flops == pytest.approx(expected, rel=0.1)

    @given(st.integers(1, 8), st.sampled_from([1, 2, 4, 8, 16, 32]), st.integers(1, 4096), st.booleans())
    def test_more_is_larger(self, k: int, lanes: int, depth: int, registers: bool) -> None:
        row = LutRowGeometry(k=k, lanes=lanes, depth=depth, tree_registers=registers)
        before = row_size(row)
        for larger in (
            replace(row, lanes=2 * lanes),
            replace(row, depth=depth + 1),
            replace(row, adder_latency_cycles=2),
        ):
            after = row_size(larger)
            assert after.logic.nominal >= before.logic.nominal
            assert after.latch_bits >= before.latch_bits
            assert after.sram_bits >= before.sram_bits


class TestBackwardUnit:
    def test_every_size_left_out_is_told_within_the_stated_error(self) -> None:
        errors = left_out_errors(UNIT.samples())
        assert len(errors) >= 10
        assert max(map(abs, errors.values())) < 0.01

    def test_the_widest_unit_is_told_by_the_others(self) -> None:
        (sample,) = UNIT.samples(held_out=True)
        told = UNIT.fit.count(sample.known, sample.features)
        assert told == pytest.approx(sample.count, rel=BACKWARD_ERROR)
        assert UNIT.fit.error == pytest.approx(abs(told / sample.count - 1))

    def test_memories_are_counted_apart(self) -> None:
        found = backward_size(BackwardUnitGeometry())  # 16 lanes, 64 channels, 4 items
        entries = 2 * 4 * 4  # banks, slots, chunks
        assert found.latch_bits == 16 * entries * (32 + 6) + 16 * 7
        assert found.flip_flops > 64 * 16  # the weight row stays

    def test_flip_flops_without_memories(self) -> None:
        (record,) = UNIT.records(held_out=True)
        found = backward_size(UNIT.geometry_of(record))
        assert found.flip_flops == pytest.approx(record.flip_flops - found.latch_bits, rel=0.1)

    @given(st.sampled_from([1, 2, 4, 8, 16]), st.sampled_from([16, 32, 64, 128]), st.sampled_from([1, 4, 8]))
    def test_more_is_larger(self, lanes: int, channels: int, items: int) -> None:
        unit = BackwardUnitGeometry(lanes=lanes, channel_tile=channels, items_in_flight=items)
        before = backward_size(unit)
        for larger in (
            replace(unit, channel_tile=2 * channels),
            replace(unit, items_in_flight=2 * items + 2),
            replace(unit, adder_latency_cycles=5),
        ):
            after = backward_size(larger)
            assert after.logic.nominal >= before.logic.nominal
            assert after.latch_bits >= before.latch_bits


class TestVectorUnits:
    @pytest.mark.parametrize("block", UNITS)
    @pytest.mark.parametrize("value", [BINARY16, BFLOAT16])
    def test_a_lane_as_it_was_counted(self, block: str, value: FloatFormat) -> None:
        for any_reset in (False, True) if block in ("neuron_unit", "gradient_unit") else (False,):
            found = vector_size(block, value, BINARY32, 1, any_reset)
            (record,) = (
                record
                for record in transistor_counts().blocks
                if (record.block, record.geometry.get("value_format")) == (block, value.name)
                and record.geometry["latency_cycles"] == 1
                and ("any_reset" in record.geometry) == any_reset
            )
            assert found.logic == Range.exact(record.transistors)
            assert found.flip_flops == record.flip_flops

    def test_a_choice_of_resets_takes_logic_and_registers(self) -> None:
        """Those of a drop and one flag; the gradient unit has one flag more. Logic: an adder, and selections."""
        for block, flags in (("neuron_unit", 1), ("gradient_unit", 2)):
            plain, chosen = (vector_size(block, BINARY16, BINARY32, 8, any_reset) for any_reset in (False, True))
            assert chosen.flip_flops == plain.flip_flops + 32 + flags
            assert plain.logic.nominal < chosen.logic.nominal < 1.2 * plain.logic.nominal

    def test_latency_adds_registers_as_wide_as_the_output(self) -> None:
        """As Yosys counts them: the weight gradient unit at four cycles."""
        record = transistor_counts().find("weight_gradient_unit", latency_cycles=4)
        found = vector_size("weight_gradient_unit", BINARY16, BINARY32, 4)
        assert found.flip_flops == record.flip_flops
        assert found.logic.nominal == pytest.approx(record.transistors, rel=0.025)

    def test_formats_that_were_not_synthesised(self) -> None:
        words = (
            "^area: transistors of the neuron unit were not counted, got 'binary32 and binary32', "
            "allowed: binary16 and binary32; bfloat16 and binary32$"
        )
        with pytest.raises(InputError, match=words):
            vector_size("neuron_unit", BINARY32, BINARY32, 4)


class TestTransposition:
    def test_every_size_left_out_is_told_within_the_stated_error(self) -> None:
        assert len(transposition_records(held_out=False)) >= 8
        assert transposition_fit().error < TRANSPOSITION_ERROR

    def test_the_preset_is_told_by_the_others(self) -> None:
        (record,) = transposition_records(held_out=True)
        found = transposition_size(TranspositionGeometry())
        assert record.geometry == {"k": 4, "blocks": 64, "latency_cycles": 2}
        assert found.logic.nominal == pytest.approx(record.transistors, rel=0.001)
        assert found.flip_flops == record.flip_flops

    def test_flip_flops_are_those_counted(self) -> None:
        for record in transposition_records(held_out=False):
            unit = TranspositionGeometry(**{name: int(value) for name, value in record.geometry.items()})
            assert transposition_size(unit).flip_flops == record.flip_flops
