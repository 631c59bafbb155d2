"""One Verilated unit in simulated time: a clock cycle of the unit for each cycle of the model.

Cycle n lasts from n to n + 1 clock periods. What the model offers at a time inside it is on the ports when the cycle
closes: only then are transfers made, and processes that wait for them go on.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from rtl_models.simulators import SimulatorError
from rtl_models.simulators.interactive import InteractiveUnit
from rtl_models.units import Stream, Words
from tlm.kernel.account import State
from tlm.kernel.module import Module, Parent
from tlm.kernel.process import Process, Steps, Wait
from tlm.kernel.time import Clock

WATCHDOG_CYCLES = 10_000  # without a transfer while something is offered or awaited: the unit hangs
Payload = dict[str, int]


@dataclass
class Port:
    """One stream of the unit: beats not yet transferred, with the cycle from which on each may be, and those made."""

    stream: Stream
    pending: deque[tuple[int, Payload]] = field(default_factory=deque)
    cycles: list[int] = field(default_factory=list)
    """The cycle of every transfer."""
    payloads: list[Payload] = field(default_factory=list)
    """What came out, on an output."""
    offered: bool = False
    waits: list[tuple[int, Wait]] = field(default_factory=list)


class ClockedUnit(Module):
    """A unit under reset-free operation from time 0 on; idle cycles are run too, before the next offer."""

    def __init__(self, name: str, parent: Parent, clock: Clock, hardware: InteractiveUnit) -> None:
        super().__init__(name, parent)
        self.cycles_run = 0
        self._clock = clock
        self._hardware = hardware
        self._inputs = {stream.name: Port(stream) for stream in hardware.unit.inputs}
        self._outputs = {stream.name: Port(stream) for stream in hardware.unit.outputs}
        self._ports = {**self._inputs, **self._outputs}
        self._latest = 0  # cycle of the latest transfer or offer
        self._sleeping: Wait | None = None
        self.process(self._run, "clock", daemon=True)

    def cycle_of(self, time_ps: int) -> int:
        """The cycle that goes on at `time_ps`."""
        return time_ps // self._clock.period_ps

    def offer(self, stream: str, beats: list[Payload], start_ps: int) -> None:
        """Offer beats to an input one after the other, the first in the cycle of `start_ps`."""
        first = self.cycle_of(start_ps)
        self._ports[stream].pending.extend((first, beat) for beat in beats)
        self._wake(first)

    def accept(self, stream: str, beats: int, start_ps: int) -> None:
        """Be ready for so many more beats of an output from the cycle of `start_ps` on; otherwise it waits."""
        first = self.cycle_of(start_ps)
        self._ports[stream].pending.extend((first, {}) for _ in range(beats))
        self._wake(first)

    def cycles(self, stream: str) -> list[int]:
        """The cycle of every transfer of a stream up to now."""
        return self._ports[stream].cycles

    def payloads(self, stream: str) -> list[Payload]:
        """Every beat that an output has sent up to now."""
        return self._ports[stream].payloads

    def wait_for(self, stream: str, beats: int, state: State = State.BUSY, reason: str = "") -> Steps:
        """Wait until a stream has made `beats` transfers in all: until their cycle closes."""
        port = self._ports[stream]
        if len(port.cycles) < beats:
            wait = Wait(self.env, stream, lambda _: f"beat {beats} of {stream} of {self.name}")
            port.waits.append((beats, wait))
            yield from wait.pause(state, reason)

    def _wake(self, cycle: int) -> None:
        self._latest = max(self._latest, cycle)
        if self._sleeping is not None:
            sleeping, self._sleeping = self._sleeping, None
            sleeping.succeed()

    def _run(self, _process: Process) -> Steps:
        while True:
            if not any(port.pending for port in self._ports.values()):
                self._sleeping = Wait(self.env, "work", lambda _: f"work for {self.name}")
                yield from self._sleeping.pause(State.STARVED, "work")
            while self.cycles_run < self.cycle_of(self.simulation.now_ps):
                self._step()  # nothing was offered then: the unit was idle
            close_ps = self._clock.to_ps(self.cycles_run + 1)
            yield self.simulation.timeout(close_ps - self.simulation.now_ps)
            self._step()

    def _step(self) -> None:
        """Run one cycle: drive the ports, note the transfers, clock."""
        cycle = self.cycles_run
        for name, port in self._inputs.items():
            self._drive(name, port, cycle)
        for name, port in self._outputs.items():
            self._hardware.poke(f"{name}_ready", self._may_transfer(port, cycle))
        made = [port for name, port in self._inputs.items() if port.offered and self._hardware.peek(f"{name}_ready")]
        for name, port in self._outputs.items():
            if not self._hardware.peek(f"{name}_valid"):
                continue
            if self._may_transfer(port, cycle):
                fields = port.stream.fields
                port.payloads.append({f.name: self._hardware.peek(f"{name}_{f.name}") for f in fields})
                made.append(port)
            elif not port.pending:
                raise SimulatorError(self.name, f"sends a beat of {name} too much in cycle {cycle}")
        self._hardware.clock()
        self.cycles_run += 1
        for port in made:
            port.pending.popleft()
            port.cycles.append(cycle)
            port.offered = False
            self._latest = max(self._latest, cycle)
            self._resume(port)
        if cycle - self._latest > WATCHDOG_CYCLES and any(port.pending for port in self._ports.values()):
            waiting = ", ".join(f"{name} after beat {len(p.cycles)}" for name, p in self._ports.items() if p.pending)
            raise SimulatorError(self.name, f"hangs in cycle {self._latest}: {waiting}")

    def _drive(self, name: str, port: Port, cycle: int) -> None:
        """Put the next beat on the ports of an input; once offered it stays until it is taken."""
        if port.offered:
            return
        port.offered = self._may_transfer(port, cycle)
        self._hardware.poke(f"{name}_valid", port.offered)
        if port.offered:
            for key, value in port.pending[0][1].items():
                self._hardware.poke(f"{name}_{key}", value)

    def _may_transfer(self, port: Port, cycle: int) -> bool:
        return bool(port.pending) and port.pending[0][0] <= cycle

    def _resume(self, port: Port) -> None:
        ready = [entry for entry in port.waits if entry[0] <= len(port.cycles)]
        for entry in ready:
            port.waits.remove(entry)
            entry[1].succeed()


def payloads_of(beats: dict[str, Words], chosen: slice) -> list[Payload]:
    """Return some beats of a stimulus, field by field, as whole numbers."""
    columns = {
        name: [int.from_bytes(row.tobytes(), "little") for row in words[chosen]] for name, words in beats.items()
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
