"""Transposition unit: turns spikes packed by channels into indices packed by points for the weight update engine."""

from __future__ import annotations

from tlm.engines.context import Context
from tlm.engines.pipeline_law import TranspositionTiming
from tlm.kernel.account import EngineAccount
from tlm.kernel.channel import TokenChannel
from tlm.kernel.module import Module, Parent
from tlm.kernel.process import Process, Steps
from tlm.memory.buffer import Transfer

TRANSPOSITION = "transposition"


class TranspositionUnit(Module):
    """Serves the arrays' requests in order, a word of blocks a cycle; each array has room for two tiles."""

    def __init__(self, name: str, parent: Parent, context: Context, arrays: int) -> None:
        super().__init__(name, parent)
        self.account = EngineAccount(self.env, self.name)
        self._room: list[TokenChannel[None]] = [TokenChannel(f"room{array}", self, 2) for array in range(arrays)]
        self._ready: list[TokenChannel[None]] = [TokenChannel(f"ready{array}", self, 2) for array in range(arrays)]
        self._requests: TokenChannel[tuple[int, int, int, bool]] = TokenChannel("requests", self, 2 * arrays)
        self._timing = TranspositionTiming(context.config.transposition_unit.latency_cycles)
        self._clock = context.clock
        self._spikes = context.ports["spikes"]
        self.account.add(self.process(self._serve, "serve", daemon=True).account)

    def request(self, array: int, words: int, bits: int, fill: bool = False) -> Steps:
        """Ask for one tile's indices for `array`, `words` words with `bits` spike bits; wait for room first.

        With `fill`, the first tile of a layer, the unit's latency comes on top.
        """
        yield from self._room[array].put(None, "indices in use")
        yield from self._requests.put((array, words, bits, fill), TRANSPOSITION)

    def take(self, array: int) -> Steps:
        """Take the oldest transposed tile of `array`; wait (starved) until it is there."""
        yield from self._ready[array].get(TRANSPOSITION)
        yield from self._room[array].get()

    def _serve(self, process: Process) -> Steps:
        while True:
            array, words, bits, fill = yield from self._requests.get("spikes")
            duration_ps = self._clock.to_ps(self._timing.stall_free_cycles(words) if fill else words)
            traffic = Transfer(duration_ps).read(self._spikes, -(-bits // 8))
            yield from process.work(duration_ps)
            yield from traffic.finish(process)
            yield from self._ready[array].put(None)
