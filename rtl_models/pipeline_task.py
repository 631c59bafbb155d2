"""Work for an element-wise unit: elements in groups, each under constants of its own; and its stimulus and results."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from rtl_models.formats import BINARY32, Bits, FloatFormat, decode
from rtl_models.pipeline import RENEW
from rtl_models.reset import TO_ZERO, Reset
from rtl_models.units import Pattern, Response, Stimulus, Unit, Words

Payload = Bits | NDArray[np.uint8]
Floats = NDArray[np.float32]
_NOTHING: dict[str, Pattern] = {}
_NO_FLAGS: dict[str, bool] = {}


@dataclass(frozen=True)
class PipelineTask:
    """Elements that run back to back through one unit; the first `counts[0]` of them under the first constants, ...

    Raises InputError where lengths disagree, or a group has no element.
    """

    constants: dict[str, Payload]
    """Each [groups]: patterns of binary32, or flags."""
    elements: dict[str, Payload]
    """Each [elements]: patterns of the field's format, or flags."""
    counts: NDArray[np.int64]
    """[groups]: elements of each group."""

    def __post_init__(self) -> None:
        if len(self.counts) == 0 or np.min(self.counts) < 1:
            raise InputError(
                "elements of a group", "pipeline task", self.counts.tolist(), "1 or more, in 1 or more groups"
            )
        for payloads, length in ((self.constants, len(self.counts)), (self.elements, int(np.sum(self.counts)))):
            for name, payload in payloads.items():
                if payload.shape != (length,):
                    raise InputError(f"shape of {name}", "pipeline task", list(payload.shape), str([length]))

    @property
    def groups(self) -> list[tuple[int, slice]]:
        """Each group's number and its elements."""
        ends = np.cumsum(self.counts)
        return [
            (n, slice(int(end - count), int(end))) for n, (end, count) in enumerate(zip(ends, self.counts, strict=True))
        ]

    def numbers(self, name: str, fmt: FloatFormat) -> Floats:
        """Return an element field's patterns of `fmt` as numbers."""
        return decode(np.asarray(self.elements[name], fmt.bits_dtype), fmt)

    def constants_of(self, group: int, names: tuple[str, ...]) -> tuple[np.float32, ...]:
        """Return the constants `names` of one group as numbers."""
        patterns = np.array([self.constants[name][group] for name in names], np.uint32)
        return tuple(np.float32(number) for number in decode(patterns, BINARY32))

    def reset_of(self, group: int) -> Reset:
        """Return how the neurons of one group reset: to zero, where its constants do not say."""
        if "drop" not in self.constants:
            return TO_ZERO
        flags = {name: bool(self.constants[name][group]) for name in ("subtract", "detached") if name in self.constants}
        return Reset(drop=self.constants_of(group, ("drop",))[0], **flags)


def one_group(
    constants: dict[str, np.float32], elements: dict[str, Payload], flags: Mapping[str, bool] = _NO_FLAGS
) -> PipelineTask:
    """Return the task of one group: constants as numbers, and flags; elements as `PipelineTask` has them."""
    patterns: dict[str, Payload] = {
        name: np.array([number], np.float32).view(np.uint32) for name, number in constants.items()
    }
    patterns |= {name: np.array([flag], np.uint8) for name, flag in flags.items()}
    return PipelineTask(patterns, elements, np.array([len(next(iter(elements.values())))], np.int64))


def pipeline_stimulus(
    unit: Unit, task: PipelineTask, valid: dict[str, Pattern] = _NOTHING, ready: dict[str, Pattern] = _NOTHING
) -> Stimulus:
    """Return `task` as beats of the unit's streams, with the patterns of the sources (constants, element) and the sink.

    Raises InputError where the task's fields are not those of the unit, or a value is wider than its field.
    """
    count = int(np.sum(task.counts))
    renew = np.zeros(count, np.uint8)
    renew[np.cumsum(task.counts)[:-1] - 1] = 1
    payloads = {"constants": task.constants, "element": {**task.elements, RENEW.name: renew}}
    beats: dict[str, dict[str, Words]] = {}
    for stream in unit.inputs:
        given = payloads[stream.name]
        _check_fields(unit, stream.name, given, [field.name for field in stream.fields])
        beats[stream.name] = {}
        for field in stream.fields:
            payload = given[field.name].astype(np.uint64)
            if payload.max() >> np.uint64(field.width_bits):
                raise InputError(
                    f"{stream.name}.{field.name}", unit.name, int(payload.max()), f"0..{(1 << field.width_bits) - 1}"
                )
            beats[stream.name][field.name] = payload[:, None]
    return Stimulus(beats, {"out": count}, valid, ready)


def _check_fields(unit: Unit, stream: str, given: Collection[str], allowed: list[str]) -> None:
    if set(given) != set(allowed):
        raise InputError(f"fields of {stream}", unit.name, sorted(given), ", ".join(allowed))


def pipeline_outputs(response: Response) -> dict[str, NDArray[np.uint64]]:
    """Return each field of the results, [elements] patterns."""
    return {name: words[:, 0] for name, words in response.payloads["out"].items()}
