"""How full each on-chip buffer was over time, by what lay in it."""

from __future__ import annotations

from collections.abc import Iterator

from tlm.engines.context import Span
from tlm.engines.streams import BACKWARD, FORWARD, UPDATE
from tlm.occupancy import Occupancy
from tlm.report.steps import Steps, held, total
from tlm.schedule.placement import BUFFER_OF_STREAM, Tensor
from tlm.schedule.staging import gradients_taken
from tlm.simulation import SimulationResult
from workloads.network import INPUT, Network

TENSORS = "tensors"


def buffer_use(result: SimulationResult, occupancy: Occupancy, network: Network) -> dict[str, dict[str, Steps]]:
    """Return bytes in use by buffer and kind.

    - `tensors`: resident ones but weights, each in the room that is kept for it, from the begin of the stream that
      makes it to the end of the last one that reads it
    - `read ahead`: what is on its way from DRAM or staged until its readers are through; resident weights, for good
    - `sums`: forward and backward sums on their way to the next unit
    - `made again`: room for the potentials and masks of layers that are recomputed
    """
    found: dict[str, dict[str, Steps]] = {buffer: {} for buffer in dict.fromkeys(BUFFER_OF_STREAM.values())}
    tensors = [tensor for key, tensor in result.placement.tensors.items() if key in result.placement.resident]
    for buffer, kinds in found.items():
        mine = [tensor for tensor in tensors if tensor.buffer == buffer and tensor.stream != "weights"]
        mine = [t for t in mine if not (buffer == "potentials" and t.layer in result.placement.recomputed)]
        if mine:
            kinds[TENSORS] = held(row for tensor in mine for row in _lives(result, network, tensor))
    for part in occupancy.levels.values():
        if part.buffer:
            kinds = found.setdefault(part.buffer, {})
            steps = Steps(part.times_ps, part.levels)
            kinds[part.kind] = total([kinds[part.kind], steps]) if part.kind in kinds else steps
    return {buffer: kinds for buffer, kinds in found.items() if kinds}


def _lives(result: SimulationResult, network: Network, tensor: Tensor) -> Iterator[tuple[int, int, int]]:
    """(from, to, bytes) of a tensor's copies, one a micro-batch; sums of weight gradients stay to the end."""
    if tensor.stream == "weight_gradients":
        starts = [span.start_ps for span in result.spans if _is(span, UPDATE, tensor.layer)]
        yield min(starts), result.time_ps, tensor.size_bytes
        return
    for batch in sorted({span.stream.micro_batch.index for span in result.spans}):
        spans = [span for span in result.spans if span.stream.micro_batch.index == batch]
        start_ps = _made_ps(result, network, tensor, spans, batch)
        yield start_ps, max(span.end_ps for span in spans if _reads(network, tensor, span)), tensor.size_bytes


def _made_ps(result: SimulationResult, network: Network, tensor: Tensor, spans: list[Span], batch: int) -> int:
    """When room for a micro-batch's tensor is first used."""
    if tensor.stream == "inputs":
        first = result.placement.addresses["inputs", INPUT] + batch * tensor.size_bytes
        inside = range(first, first + tensor.size_bytes)
        return min(t.start_ps for t in result.transfers if t.stream == "inputs" and t.address in inside)
    if tensor.stream == "gradients":
        if tensor.layer == len(network.layers) - 1:  # the host's, after the last logit
            return next(span.end_ps for span in spans if _is(span, FORWARD, tensor.layer))
        return next(span.start_ps for span in spans if _is(span, BACKWARD, tensor.layer))
    return next(span.start_ps for span in spans if _is(span, FORWARD, tensor.layer))


def _is(span: Span, engine: str, layer: int) -> bool:
    return (span.stream.engine, span.stream.layer, span.stream.recompute) == (engine, layer, False)


def _reads(network: Network, tensor: Tensor, span: Span) -> bool:
    """Whether a stream reads a tensor of its micro-batch, or makes it."""
    engine, layer, kind = span.stream.engine, span.stream.layer, tensor.stream
    if kind == "gradients":
        if engine == UPDATE:
            return network.joined(layer) == tensor.layer
        return engine == BACKWARD and (layer == tensor.layer or tensor.layer in gradients_taken(network, layer))
    if engine == BACKWARD:  # the gradient unit reads spikes, masks and potentials
        return layer == tensor.layer
    if kind in ("inputs", "spikes"):
        if engine == FORWARD:
            return layer == tensor.layer or tensor.layer in network.taken(layer)
        return network.layers[layer].source == tensor.layer
    return False
