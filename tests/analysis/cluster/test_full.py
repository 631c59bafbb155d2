"""Whole accelerators in one simulation: what they take together, against one of them and the closed forms."""

from __future__ import annotations

import pytest

from tests.analysis.cluster.conftest import PRESET
from tlm.accelerator import Accelerator
from tlm.analysis.cluster.chip_step import Share, gradient_order, step_times
from tlm.analysis.cluster.collective import RING, TREE, Links, LinkTiming
from tlm.analysis.cluster.full import gradients_of, simulate_cluster
from tlm.analysis.cluster.overlap import ChipStep, Contention, cluster_step
from tlm.analysis.cluster.points import Captured
from tlm.config import Config, load_config
from tlm.kernel.process import Process, Steps
from tlm.kernel.simulation import Simulation
from tlm.schedule.geometry import micro_batches
from tlm.schedule.step_counts import StepCounts
from tlm.simulation import simulate
from workloads.trace_file import Trace

CAPTURED = Captured(1, 4)
SLOW, FAST = LinkTiming(200, 300_000), LinkTiming(25_000, 20_000)


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config(PRESET)


def one_chip_with_closed_forms(trace: Trace, config: Config, share: Share, links: Links, chips: int) -> int:
    """A chip whose gradients come back after the closed form's time, with all its own contention."""
    simulation = Simulation()
    chip = Accelerator("chip", simulation, config, trace, share=share)

    def exchange(_process: Process) -> Steps:
        for layer, gradient in zip(gradient_order(trace.network), gradients_of(trace.network, config), strict=True):
            yield from chip.context.progress.of("weight_gradients", layer).wait_for(1)
            yield simulation.timeout(links.all_reduce_ps(chips, gradient))
            chip.context.sums_for_optimiser(layer).advance(1)

    simulation.process(exchange)
    return simulation.run()


@pytest.mark.parametrize("timing", [SLOW, FAST], ids=["slow", "fast"])
@pytest.mark.parametrize(("topology", "chips"), [(RING, 2), (RING, 4), (TREE, 2), (TREE, 3), (TREE, 4)])
def test_chips_alike_take_what_one_takes_with_the_closed_form(
    trace: Trace, config: Config, topology: str, chips: int, timing: LinkTiming
) -> None:
    links, share = Links(topology, timing, config.dma.chunk_bytes), CAPTURED.share(1, 2)
    full_ps = simulate_cluster(trace, config, [share] * chips, links, StepCounts(trace))
    assert full_ps == one_chip_with_closed_forms(trace, config, share, links, chips)


@pytest.mark.parametrize("timing", [SLOW, FAST], ids=["slow", "fast"])
@pytest.mark.parametrize("topology", [RING, TREE])
def test_chips_that_differ_take_nearly_what_is_told_of_them(
    trace: Trace, config: Config, topology: str, timing: LinkTiming
) -> None:
    links, counts = Links(topology, timing, config.dma.chunk_bytes), StepCounts(trace)
    shares = [CAPTURED.share(*share) for share in ((0, 1), (1, 2), (1, 3), (3, 1))]
    chips = [ChipStep.of(step_times(trace, config, share, counts, hold=True)) for share in shares]
    assert chips[0].ready_ps[-1] < chips[1].ready_ps[-1] < chips[2].ready_ps[-1]
    contention = Contention.of(chips[0], step_times(trace, config, shares[0], counts, hold=False))
    durations = [links.all_reduce_ps(4, gradient) for gradient in gradients_of(trace.network, config)]
    told_ps = cluster_step(chips, durations, contention).step_ps
    assert simulate_cluster(trace, config, shares, links, counts) == pytest.approx(told_ps, rel=0.05)


def test_a_cluster_of_one_is_the_chip_by_itself(trace: Trace, config: Config) -> None:
    alone_ps = simulate(trace, config).time_ps
    share = micro_batches(4, 1)
    for topology in (RING, TREE):
        links = Links(topology, SLOW, config.dma.chunk_bytes)
        assert simulate_cluster(trace, config, [share], links, StepCounts(trace)) == alone_ps
    assert step_times(trace, config, share, StepCounts(trace), hold=False).end_ps == alone_ps


def test_gradients_are_those_of_the_sum_format_last_layer_first(trace: Trace, config: Config) -> None:
    assert [gradient.size_bytes for gradient in gradients_of(trace.network, config)] == [128, 384, 1152]
