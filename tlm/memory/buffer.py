"""Ports of an on-chip buffer: how many bytes a cycle it moves, and who is slowed down when more is asked for.

A transaction (a tile, a block, a DMA chunk) moves its bytes evenly over its own duration. As long as all transactions
under way ask for no more than the ports give, none of them notices. Where they ask for more, the ports serve each in
proportion to what it asks, as a queue of words does, and all are late by the same factor. The outcome does not depend
on the order of what begins in the same instant, and takes no event while nobody is late.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count

from tlm.kernel.account import BLOCKED, STARVED, State
from tlm.kernel.module import Module, Parent
from tlm.kernel.process import Process, Steps
from tlm.kernel.time import Clock

_DEMAND_BITS = 32  # demands are whole multiples of 2^-32 bytes a cycle, rounded up
_TIME_BITS = 10  # the ports' own time is a whole number of 2^-10 ps


class Flow:
    """One transaction's traffic through the ports, from `BufferPorts.begin` until its last byte has passed."""

    __slots__ = ("demand", "done")

    def __init__(self, demand: int) -> None:
        self.demand = demand
        self.done = False


class BufferPorts(Module):
    """The ports of one buffer, `bytes_per_cycle` in all; readers and writers share them."""

    def __init__(self, name: str, parent: Parent, clock: Clock, bytes_per_cycle: int) -> None:
        super().__init__(f"{name}_ports", parent)
        self.bytes_per_cycle = bytes_per_cycle
        self.moved_bytes = 0
        """Bytes of all transactions so far."""
        self.reason = f"{name.replace('_', ' ')} port"
        self._period_ps = clock.period_ps
        self._capacity = bytes_per_cycle << _DEMAND_BITS
        self._demand = 0
        self._peak_demand = 0
        self._now_ps = 0  # up to here the flows have been followed;
        self._time = 0  # then this was the ports' own time: that of flows which nobody slows down
        self._flows: list[tuple[int, int, Flow]] = []  # by their ends on the ports' own time
        self._numbers = count()

    @property
    def peak_demand_bytes_per_cycle(self) -> int:
        """The most that was ever asked for at once."""
        return -(-self._peak_demand >> _DEMAND_BITS)

    def begin(self, size_bytes: int, duration_ps: int) -> Flow | None:
        """Begin to move `size_bytes`, evenly over `duration_ps` if the ports allow; None where there is nothing."""
        if size_bytes <= 0:
            return None
        self.moved_bytes += size_bytes
        if duration_ps < 1:
            duration_ps = 1
        now_ps = self.env._now
        self._follow(now_ps)
        self._settle(now_ps)
        demand = -(-(size_bytes * self._period_ps << _DEMAND_BITS) // duration_ps)
        flow = Flow(demand)
        heappush(self._flows, (self._time + (duration_ps << _TIME_BITS), next(self._numbers), flow))
        self._demand += demand
        if self._demand > self._peak_demand:
            self._peak_demand = self._demand
        return flow

    def finish(self, process: Process, flow: Flow | None, state: State) -> Steps:
        """Wait until the flow is through, booked as `state` (starved by a read, blocked by a write) for the port."""
        if flow is None or flow.done:
            return
        env = self.env
        self._follow(env._now)
        if flow.done:
            return
        with process.account.during(state, self.reason):
            while not flow.done:
                yield env.timeout(self._next_end_ps() - env._now)
                self._follow(env._now)

    def _follow(self, now_ps: int) -> None:
        """Let all flows end that are through by now."""
        flows = self._flows
        while flows:
            end_ps = self._next_end_ps()
            if end_ps > now_ps:
                return
            end, _, flow = heappop(flows)
            flow.done = True
            self._now_ps, self._time = end_ps, end
            self._demand -= flow.demand

    def _settle(self, now_ps: int) -> None:
        """Bring the ports' own time up to `now_ps`, at which the demand changes."""
        passed = (now_ps - self._now_ps) << _TIME_BITS
        if self._demand > self._capacity:
            passed = passed * self._capacity // self._demand
        self._now_ps = now_ps
        self._time += passed

    def _next_end_ps(self) -> int:
        """When the next flow is through, if nothing else begins before."""
        left = self._flows[0][0] - self._time
        if self._demand > self._capacity:
            left = -(-left * self._demand // self._capacity)
        return self._now_ps - (-left >> _TIME_BITS)


class Transfer:
    """What one transaction moves through the ports of several buffers beside its own work."""

    __slots__ = ("_duration_ps", "_flows")

    def __init__(self, duration_ps: int) -> None:
        self._duration_ps = duration_ps
        self._flows: list[tuple[BufferPorts, Flow, State]] = []

    def read(self, ports: BufferPorts, size_bytes: int) -> Transfer:
        """Begin to read `size_bytes` over the transaction's duration."""
        return self._begin(ports, size_bytes, STARVED)

    def write(self, ports: BufferPorts, size_bytes: int) -> Transfer:
        """Begin to write `size_bytes` over the transaction's duration."""
        return self._begin(ports, size_bytes, BLOCKED)

    def finish(self, process: Process) -> Steps:
        """Wait until all of it has passed, booked for the port that is late."""
        for ports, flow, state in self._flows:
            if not flow.done:
                yield from ports.finish(process, flow, state)

    def _begin(self, ports: BufferPorts, size_bytes: int, state: State) -> Transfer:
        flow = ports.begin(size_bytes, self._duration_ps)
        if flow is not None:
            self._flows.append((ports, flow, state))
        return self
