"""Simulates one chip's share of a step: when each layer's gradients are ready, and when its weights are new."""

from __future__ import annotations

from tlm.accelerator import Accelerator
from tlm.analysis.cluster.overlap import StepTimes
from tlm.config import Config
from tlm.kernel.process import Process, Steps
from tlm.kernel.simulation import Simulation
from tlm.schedule.geometry import MicroBatch
from tlm.schedule.step_counts import StepCounts
from workloads.network import Network
from workloads.trace_file import Trace

Share = tuple[MicroBatch, ...]
"""The micro-batches of a trace that a chip works on, numbered from 0."""


def gradient_order(network: Network) -> list[int]:
    """The layers in the order in which their weight gradients become complete, and all-reduces follow each other."""
    return list(reversed(range(len(network.layers))))


def step_times(trace: Trace, config: Config, share: Share, counts: StepCounts, hold: bool) -> StepTimes:
    """Simulate a chip that works on `share` of `trace`; raises what `tlm.simulation.simulate` raises.

    The optimiser gets a layer's gradients when they are ready, or with `hold` when those of all layers are.
    """
    simulation = Simulation()
    chip = Accelerator("chip", simulation, config, trace, counts=counts, share=share)
    layers = gradient_order(trace.network)
    ready: list[int] = []
    updated: list[int] = []

    def hand_over(_process: Process) -> Steps:
        for layer in layers:
            yield from chip.context.progress.of("weight_gradients", layer).wait_for(1)
            ready.append(simulation.now_ps)
            if not hold:
                chip.context.sums_for_optimiser(layer).advance(1)
        if hold:
            for layer in layers:
                chip.context.sums_for_optimiser(layer).advance(1)

    def watch(_process: Process) -> Steps:
        for layer in layers:
            yield from chip.context.progress.of("new_weights", layer).wait_for(1)
            updated.append(simulation.now_ps)

    simulation.process(hand_over)
    simulation.process(watch)
    simulation.run()
    return StepTimes(tuple(ready), tuple(updated), simulation.now_ps)
