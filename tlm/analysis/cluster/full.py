"""A cluster in one simulation: whole accelerators, each on its share of the step, and every message between them."""

from __future__ import annotations

from collections.abc import Sequence

from tlm.accelerator import Accelerator
from tlm.analysis.cluster.chip_step import Share, gradient_order
from tlm.analysis.cluster.collective import Gradient, Links
from tlm.analysis.cluster.exchange import EXCHANGES
from tlm.config import Config
from tlm.kernel.simulation import Simulation
from tlm.schedule.step_counts import StepCounts
from workloads.network import Network
from workloads.trace_file import Trace


def gradients_of(network: Network, config: Config) -> list[Gradient]:
    """What the chips add up, layer by layer in the order in which it becomes ready."""
    total = config.contract.sum
    return [Gradient(network.layers[layer].weights_count, total) for layer in gradient_order(network)]


def simulate_cluster(trace: Trace, config: Config, shares: Sequence[Share], links: Links, counts: StepCounts) -> int:
    """Simulate a chip for each of `shares`, and return the time of the step in ps.

    Raises what `tlm.simulation.simulate` raises.
    """
    simulation = Simulation()
    chips = [
        Accelerator(f"chip{number}", simulation, config, trace, counts=counts, share=share)
        for number, share in enumerate(shares)
    ]
    layers = gradient_order(trace.network)
    ready = [[chip.context.progress.of("weight_gradients", layer) for layer in layers] for chip in chips]
    summed = [[chip.context.sums_for_optimiser(layer) for layer in layers] for chip in chips]
    EXCHANGES[links.topology](simulation, links, gradients_of(trace.network, config), ready, summed)
    simulation.run()
    return simulation.now_ps
