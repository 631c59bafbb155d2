"""Messages over rings and trees: every chip gets the sum once, in the order written down, in the closed form's time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_models.formats import BFLOAT16, BINARY16, BINARY32, FloatFormat, round_to
from tlm.analysis.cluster.addition import ring_sum, tree_sum
from tlm.analysis.cluster.collective import RING, TREE, Gradient, Links, LinkTiming
from tlm.analysis.cluster.exchange import EXCHANGES
from tlm.kernel.process import Process, Steps
from tlm.kernel.simulation import Simulation
from tlm.kernel.synchronize import Watermark
from workloads.record import Floats

REFERENCES = {RING: ring_sum, TREE: tree_sum}
TIMINGS = st.builds(LinkTiming, st.integers(1, 300_000), st.integers(0, 2_000_000))


class Chips:
    """Chips without insides: their gradients become ready at given times."""

    def __init__(
        self, links: Links, gradients: list[Gradient], ready_ps: list[list[int]], values: list[Floats] | None = None
    ) -> None:
        self.simulation = Simulation()
        chips, layers = range(len(ready_ps)), range(len(gradients))
        ready = [[Watermark(f"ready{c}_{n}", self.simulation) for n in layers] for c in chips]
        summed = [[Watermark(f"summed{c}_{n}", self.simulation) for n in layers] for c in chips]
        self.exchange = EXCHANGES[links.topology](self.simulation, links, gradients, ready, summed, values)
        self.over_ps = [[-1] * len(gradients) for _ in chips]
        for chip in chips:
            for layer in layers:
                self.simulation.process(self._compute(ready_ps[chip][layer], ready[chip][layer]), f"r{chip}_{layer}")
                self.simulation.process(self._note(chip, layer, summed[chip][layer]), f"n{chip}_{layer}")

    def run(self) -> list[int]:
        """Return when the last chip has the sums of each layer."""
        self.simulation.run()
        return [max(times) for times in zip(*self.over_ps, strict=True)]

    def _compute(self, ready_ps: int, ready: Watermark):  # type: ignore[no-untyped-def]
        def body(_process: Process) -> Steps:
            yield self.simulation.timeout(ready_ps)
            ready.advance(1)

        return body

    def _note(self, chip: int, layer: int, summed: Watermark):  # type: ignore[no-untyped-def]
        def body(_process: Process) -> Steps:
            yield from summed.wait_for(1)
            self.over_ps[chip][layer] = self.simulation.now_ps

        return body


def links_of(topology: str) -> Links:
    return Links(topology, LinkTiming(25_000, 1_000_000), 64)


@pytest.mark.parametrize("topology", EXCHANGES)
@given(timing=TIMINGS, chips=st.integers(1, 9), elements=st.integers(1, 200), segment_bytes=st.integers(1, 300))
def test_chips_alike_take_the_closed_form_s_time(
    topology: str, timing: LinkTiming, chips: int, elements: int, segment_bytes: int
) -> None:
    links, gradient = Links(topology, timing, segment_bytes), Gradient(elements, BINARY32)
    assert Chips(links, [gradient], [[500]] * chips).run() == [500 + links.all_reduce_ps(chips, gradient)]


@pytest.mark.parametrize("topology", EXCHANGES)
@given(timing=TIMINGS, chips=st.integers(1, 9), sizes=st.lists(st.integers(1, 50), min_size=2, max_size=3))
@settings(max_examples=50)
def test_layers_follow_each_other(topology: str, timing: LinkTiming, chips: int, sizes: list[int]) -> None:
    links = Links(topology, timing, 64)
    gradients = [Gradient(size * chips, BINARY32) for size in sizes]  # the chunks of a ring are alike
    ready_ps = [1_000 * number for number in range(len(sizes))]
    expected, over = [], 0
    for at_ps, gradient in zip(ready_ps, gradients, strict=True):
        over = max(over, at_ps) + links.all_reduce_ps(chips, gradient)
        expected.append(over)
    assert Chips(links, gradients, [ready_ps] * chips).run() == expected


@pytest.mark.parametrize("topology", EXCHANGES)
@given(ready=st.lists(st.integers(0, 5_000_000), min_size=2, max_size=7), elements=st.integers(1, 300))
def test_chips_that_differ_take_at_most_the_closed_form_s_time(topology: str, ready: list[int], elements: int) -> None:
    links, gradient = links_of(topology), Gradient(elements, BINARY32)
    over = Chips(links, [gradient], [[at] for at in ready]).run()[0]
    assert max(ready) <= over <= max(ready) + links.all_reduce_ps(len(ready), gradient)
    if topology == RING and elements % len(ready) == 0:
        assert over == max(ready) + links.all_reduce_ps(len(ready), gradient)


@pytest.mark.parametrize("topology", EXCHANGES)
@pytest.mark.parametrize("total", [BINARY32, BINARY16, BFLOAT16], ids=lambda total: total.name)
@given(seed=st.integers(0, 2**32 - 1), chips=st.integers(1, 9), elements=st.integers(1, 40))
@settings(max_examples=20)
def test_messages_add_in_the_order_of_the_reference(
    topology: str, total: FloatFormat, seed: int, chips: int, elements: int
) -> None:
    rng = np.random.default_rng(seed)
    scales = 2.0 ** rng.integers(-12, 13, (chips, elements))
    gradients = round_to((rng.standard_normal((chips, elements)) * scales), total)
    expected = REFERENCES[topology](gradients, total)
    simulated = Chips(links_of(topology), [Gradient(elements, total)], [[0]] * chips, [gradients])
    simulated.run()
    for sums in simulated.exchange.sums:
        assert sums[0].values is not None
        assert sums[0].values.tobytes() == expected.tobytes()
    exact = gradients.astype(np.float64).sum(axis=0)
    error = chips * 2.0**-total.fraction_bits * np.abs(gradients.astype(np.float64)).sum(axis=0)
    assert (np.abs(expected - exact) <= error).all()
