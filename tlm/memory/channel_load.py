"""How busy a DRAM channel was over time: watched only where asked for, in stretches that add up exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlm.memory.bank_state import COMMAND_COUNTS, NOW, READ_QUEUE_SUM, WRITE_QUEUE_SUM, Ints
from tlm.memory.commands import DramCommand
from tlm.memory.standard import DramStandard

_FIRST_STEP_PS = 1_000_000
_MOST_SAMPLES = 4096
_COLUMNS = (DramCommand.RD, DramCommand.RDA, DramCommand.WR, DramCommand.WRA)


@dataclass(frozen=True)
class ChannelLoad:
    """Means of a channel over stretches of time: stretch i lasts from `times_ps[i]` to `times_ps[i + 1]`.

    `busy` is the share of the stretch that the data of its column commands take at the channel's peak bandwidth;
    `reads_queued` and `writes_queued` are the mean lengths of the controller's queues, None where the model has none.
    """

    times_ps: NDArray[np.int64]
    busy: NDArray[np.float64]
    reads_queued: NDArray[np.float64] | None = None
    writes_queued: NDArray[np.float64] | None = None


class ChannelSamples:
    """Running counts of all channels, taken now and then; their differences are exact whenever they were taken.

    Where there are too many, every second one goes, and the next come half as often.
    """

    def __init__(self, standard: DramStandard) -> None:
        self._standard = standard
        self._step_ps = _FIRST_STEP_PS
        self._due_ps = 0
        self._samples: list[Ints] = []

    def due(self, now_ps: int) -> bool:
        """Whether it is time for another sample."""
        return now_ps >= self._due_ps

    def take(self, fronts: Ints, now_ps: int) -> None:
        """Take a sample of the fronts of the channels' states."""
        self._due_ps = now_ps + self._step_ps
        bursts = sum(fronts[:, COMMAND_COUNTS + command] for command in _COLUMNS)
        self._samples.append(
            np.stack([fronts[:, NOW], bursts, fronts[:, READ_QUEUE_SUM], fronts[:, WRITE_QUEUE_SUM]], axis=1)
        )
        if len(self._samples) > _MOST_SAMPLES:
            del self._samples[1::2]
            self._step_ps *= 2

    def loads(self) -> list[ChannelLoad]:
        """Return each channel's load from its first sample to its last."""
        standard = self._standard
        burst_ps = standard.burst_bytes * 1e6 / standard.peak_bytes_per_us
        found = []
        for rows in np.stack(self._samples, axis=1):
            rows = rows[np.concatenate([[True], np.diff(rows[:, 0]) > 0])]
            ticks, bursts, reads, writes = np.diff(rows, axis=0).T
            times_ps = np.array([standard.ps_of_tick(int(tick)) for tick in rows[:, 0]], np.int64)
            found.append(ChannelLoad(times_ps, bursts * burst_ps / np.diff(times_ps), reads / ticks, writes / ticks))
        return found
