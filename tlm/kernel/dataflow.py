"""Dataflow graphs over bounded channels: run one and compare its times with recorded ones.

A node, for each item: takes `rate` tokens from each input in the listed order, works for the item's service
time, puts `rate` tokens on each output in the listed order (blocking throughout, as sc_fifo).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest

from tlm.kernel.channel import TokenChannel
from tlm.kernel.errors import Deadlock
from tlm.kernel.process import Body, Process, Steps
from tlm.kernel.simulation import Simulation

MOMENTS = ("begin", "done", "sent")
"""What is timed for each item: service began, service done, all outputs taken."""


@dataclass(frozen=True)
class Port:
    """One connection of a node: index of the channel, tokens per item."""

    channel: int
    rate: int


@dataclass(frozen=True)
class Node:
    """One process of the graph; `service_ps` has one entry per item."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    service_ps: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """Channel depths in tokens, and the nodes between them."""

    depths: tuple[int, ...]
    nodes: tuple[Node, ...]


@dataclass
class NodeTimes:
    """Times in ps, one per item that came so far."""

    begin: list[int] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """Times of every node, and the deadlock that ended the run, if one did."""

    times: dict[str, NodeTimes]
    deadlock: Deadlock | None


@dataclass(frozen=True)
class Difference:
    """One time that differs, None where the item did not come so far."""

    node: str
    moment: str
    item: int
    got_ps: int | None
    expected_ps: int | None


def run_graph(graph: Graph) -> Outcome:
    """Run the graph to its end or to its deadlock."""
    simulation = Simulation()
    channels = [TokenChannel[int](f"channel{index}", simulation, depth) for index, depth in enumerate(graph.depths)]
    times = {node.name: NodeTimes() for node in graph.nodes}
    for index, node in enumerate(graph.nodes):
        simulation.process(_body(simulation, node, channels, times[node.name]), f"node{index} {node.name}")
    try:
        simulation.run()
    except Deadlock as deadlock:
        return Outcome(times, deadlock)
    return Outcome(times, None)


def _body(simulation: Simulation, node: Node, channels: list[TokenChannel[int]], times: NodeTimes) -> Body:
    def serve(process: Process) -> Steps:
        for item, service_ps in enumerate(node.service_ps):
            for port in node.inputs:
                for _ in range(port.rate):
                    yield from channels[port.channel].get()
            times.begin.append(simulation.now_ps)
            yield from process.work(service_ps)
            times.done.append(simulation.now_ps)
            for port in node.outputs:
                for _ in range(port.rate):
                    yield from channels[port.channel].put(item)
            times.sent.append(simulation.now_ps)

    return serve


def compare_times(got: Mapping[str, NodeTimes], expected: Mapping[str, NodeTimes]) -> tuple[int, list[Difference]]:
    """Compare every time of every node; return how many were compared and those that differ.

    A missing or a surplus item counts as compared and different.
    """
    compared = 0
    differences: list[Difference] = []
    for node, times in got.items():
        for moment in MOMENTS:
            pairs = zip_longest(getattr(times, moment), getattr(expected[node], moment))
            for item, (got_ps, expected_ps) in enumerate(pairs):
                compared += 1
                if got_ps != expected_ps:
                    differences.append(Difference(node, moment, item, got_ps, expected_ps))
    return compared, differences
