"""A cluster's step from the steps of its chips and the all-reduces' times: what overlaps, and what of it costs time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True)
class StepTimes:
    """One simulated chip; tuples are by layer in the order in which gradients become ready, last layer first."""

    ready_ps: tuple[int, ...]
    """When the layer's weight gradients were complete."""
    updated_ps: tuple[int, ...]
    """When the optimiser was through with the layer."""
    end_ps: int


@dataclass(frozen=True)
class ChipStep:
    """One chip's part of a step where backward pass and optimiser do not meet."""

    ready_ps: tuple[int, ...]
    optimiser_ps: tuple[int, ...]
    flush_ps: int
    """From the optimiser's last result to the last write in DRAM."""

    @classmethod
    def of(cls, held: StepTimes) -> ChipStep:
        """Return the times of a chip whose optimiser got all its gradients when the last of them were ready."""
        starts = (held.ready_ps[-1], *held.updated_ps)
        optimiser = tuple(end - start for start, end in zip(starts, held.updated_ps, strict=False))
        return cls(held.ready_ps, optimiser, held.end_ps - held.updated_ps[-1])

    def with_more(self, fewer: ChipStep, micro_batches: int) -> ChipStep:
        """Return the step of `micro_batches` more: each costs what the last one did, by which `fewer` is shorter."""
        ready = (last + micro_batches * (last - a) for last, a in zip(self.ready_ps, fewer.ready_ps, strict=True))
        return ChipStep(tuple(ready), self.optimiser_ps, self.flush_ps)


@dataclass(frozen=True)
class Contention:
    """The share of its speed that each keeps while both want the DRAM, backward pass (with update) and optimiser."""

    backward: float
    optimiser: float

    @classmethod
    def of(cls, alone: ChipStep, free: StepTimes) -> Contention:
        """Return what the step `alone` and the same step with an optimiser that waits for no link have shown."""
        last_ps = free.ready_ps[-1]
        both_ps, done_ps, before_ps = 0, 0, 0
        for ready_ps, updated_ps, alone_ps in zip(free.ready_ps, free.updated_ps, alone.optimiser_ps, strict=True):
            start_ps = max(ready_ps, before_ps)
            if start_ps < last_ps:
                both_ps += min(updated_ps, last_ps) - start_ps
                done_ps += alone_ps - max(0, updated_ps - last_ps)
            before_ps = updated_ps
        if done_ps <= 0:
            return cls(1.0, 1.0)
        delay_ps = last_ps - alone.ready_ps[-1]
        return cls(min(1.0, 1 - delay_ps / both_ps), min(1.0, done_ps / both_ps))


@dataclass(frozen=True)
class ClusterStep:
    """The step of all chips together; `complete_ps` is when each layer's all-reduce is over."""

    step_ps: int
    complete_ps: tuple[int, ...]


def cluster_step(chips: Sequence[ChipStep], all_reduce_ps: Sequence[int], contention: Contention) -> ClusterStep:
    """Return the step of chips that differ (those alike need be named once), with one all-reduce for each layer.

    A layer's all-reduce begins when every chip has its gradients and the one before is over; each chip's optimiser
    takes the layers in the same order, and slows the backward pass of the layers below as `contention` says.
    """
    running = [_Chip(chip, contention) for chip in chips]
    over, complete = 0.0, list[float]()
    for layer, duration_ps in enumerate(all_reduce_ps):
        for chip in running:
            chip.compute(layer, complete)
        over = max(over, *(chip.now for chip in running)) + duration_ps
        complete.append(over)
    return ClusterStep(round(max(chip.end(complete) for chip in running)), tuple(map(round, complete)))


class _Chip:
    """A chip on its way through a step: how far its backward pass is, and its optimiser."""

    def __init__(self, step: ChipStep, contention: Contention) -> None:
        self.now = 0.0
        self._step, self._contention = step, contention
        self._computed = 0.0  # time of the backward pass alone
        self._layer = 0  # that the optimiser is at
        self._left = float(step.optimiser_ps[0])

    def compute(self, layer: int, sums_ps: Sequence[float]) -> None:
        """Go on until a layer's gradients are ready; the sums of the layers before come at `sums_ps`."""
        target = self._step.ready_ps[layer]
        while self._computed < target:
            left = target - self._computed
            begins = sums_ps[self._layer] if self._layer < len(sums_ps) else inf
            if begins > self.now:
                self._computed = target if left <= begins - self.now else self._computed + begins - self.now
                self.now += min(left, begins - self.now)
                continue
            both, speed = left / self._contention.backward, self._contention.optimiser
            if self._left / speed <= both:
                both = self._left / speed
                self._computed += both * self._contention.backward
                self._next_layer()
            else:
                self._computed = target
                self._left -= both * speed
            self.now += both

    def end(self, sums_ps: Sequence[float]) -> float:
        """Return when the optimiser is through and everything is in DRAM."""
        while self._layer < len(sums_ps):
            self.now = max(self.now, sums_ps[self._layer]) + self._left
            self._next_layer()
        return self.now + self._step.flush_ps

    def _next_layer(self) -> None:
        self._layer += 1
        self._left = float(self._step.optimiser_ps[self._layer]) if self._layer < len(self._step.optimiser_ps) else 0.0
