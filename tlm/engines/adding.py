"""Cycles of tiles whose lanes add only operands with a spike: they come from the real spikes, not from the geometry."""

from __future__ import annotations

from tlm.config import ZERO_SKIPPING, LutEngineConfig
from tlm.engines.adder_row_law import AdderRowTiming
from tlm.engines.context import Context
from tlm.engines.lut_array import TileCycles
from tlm.engines.streams import Stream
from tlm.schedule.lut_jobs import LutJob


def zero_skipping_cycles(context: Context, engine: LutEngineConfig, update: bool) -> TileCycles | None:
    """Return what tells the cycles of a tile from its spikes; None for an engine whose tiles do not depend on them."""
    timing = context.config.engine_timing(engine)
    if engine.element != ZERO_SKIPPING or not isinstance(timing, AdderRowTiming):
        return None
    known: dict[tuple[int, int, int], list[int]] = {}

    def cycles(stream: Stream, job: LutJob, number: int) -> int:
        key = (stream.layer, stream.micro_batch.index, job.position_first)
        if key not in known:
            ones = context.counts.ones(stream.layer, stream.micro_batch, context.arithmetic, update)
            additions, most = ones.of_job(job)
            pairs = zip(additions.tolist(), most.tolist(), strict=True)
            known[key] = [timing.adding_cycles(*pair) for pair in pairs]
        return known[key][number]

    return cycles
