"""One chip assembled from a configuration, with the DRAM and the host around it, ready to run one training step."""

from __future__ import annotations

from tlm.config import BufferPortsConfig, Config
from tlm.dram_model import build_dram
from tlm.engines.backward import BackwardEngine
from tlm.engines.context import Context, GradientSizes, Order, Progress
from tlm.engines.forward import ForwardEngine, InputLoader
from tlm.engines.gradient import GradientUnit
from tlm.engines.hardware import ChipHardware
from tlm.engines.neuron import Host, NeuronUnit
from tlm.engines.optimiser import OptimiserUnit
from tlm.engines.weight_update import WeightUpdateEngine
from tlm.kernel.account import EngineAccount
from tlm.kernel.byte_channel import ByteChannel
from tlm.kernel.module import Module, Parent
from tlm.kernel.socket import Observer
from tlm.kernel.time import Clock
from tlm.memory.buffer import BufferPorts
from tlm.memory.dma import BufferPath, Dma, PostedWrites
from tlm.schedule.geometry import MicroBatch, micro_batches
from tlm.schedule.placement import BUFFER_OF_STREAM, place
from tlm.schedule.step_counts import StepCounts
from workloads.trace_file import Trace

DMA_CHANNELS = (
    "inputs",
    "forward_weights",
    "forward_spikes",
    "backward_weights",
    "backward_gradients",
    "gradient_state",
    "update_weight_gradients",
    "update_gradients",
    "update_spikes",
    "optimiser",
    "writes",
)


class Accelerator(Module):
    """H2Learn: forward, backward and weight update engine, the vector units between them, DMA, DRAM and host."""

    def __init__(
        self,
        name: str,
        parent: Parent,
        config: Config,
        trace: Trace,
        hardware: ChipHardware | None = None,
        counts: StepCounts | None = None,
        share: tuple[MicroBatch, ...] | None = None,
    ) -> None:
        """`share`: the chip is one of a cluster and works on these micro-batches of `trace` only."""
        super().__init__(name, parent)
        self.config = config
        self.clock = Clock(config.clock_period_ps)
        batches = share or micro_batches(trace.batch, config.arithmetic.micro_batch)
        self.placement = place(trace.network, sum(batch.count for batch in batches), config)
        self.dram = build_dram("dram", self, config.dram, self.placement.dram_bytes)
        dma = config.dma
        self.ports = {
            buffer: BufferPorts(buffer, self, self.clock, getattr(config.buffer_ports, buffer).bytes_per_cycle)
            for buffer in BufferPortsConfig.model_fields
        }
        ports_of = {stream: self.ports[buffer] for stream, buffer in BUFFER_OF_STREAM.items()}
        path = BufferPath(ports_of, dma.width_bytes, config.clock_period_ps)
        self.dma = {
            channel: Dma(f"dma_{channel}", self, self.dram.socket, dma.chunk_bytes, dma.outstanding, path)
            for channel in DMA_CHANNELS
        }
        self.order = Order("order", self, config, trace.network, batches, self.placement.recomputed)
        progress = Progress("progress", self)
        counts = counts or StepCounts(trace)
        self.context = Context(
            config=config,
            clock=self.clock,
            network=trace.network,
            batches=batches,
            placement=self.placement,
            trace=trace,
            progress=progress,
            gradients=GradientSizes(trace.network, self.placement, progress, config, counts),
            order=self.order,
            dma=self.dma,
            writes=PostedWrites("writes", self, self.dma["writes"], dma.chunk_bytes * dma.outstanding),
            ports=self.ports,
            dram=self.dram,
            counts=counts,
            recomputed_room=ByteChannel("recomputed_room", self, max(1, self.placement.recomputed_bytes)),
            hardware=hardware,
            in_cluster=share is not None,
        )
        InputLoader("input_loader", self, self.context)
        self.forward = ForwardEngine("forward", self, self.context)
        self.neuron = NeuronUnit(
            "neuron", self, self.context, self.forward.plans, self.forward.arrays, self.forward.rooms
        )
        self.host = Host("host", self, self.context, self.neuron.host_queue)
        self.backward = BackwardEngine("backward", self, self.context)
        self.gradient = GradientUnit("gradient", self, self.context, self.backward)
        self.update = WeightUpdateEngine("weight_update", self, self.context)
        self.optimiser = OptimiserUnit("optimiser", self, self.context)

    @property
    def accounts(self) -> dict[str, EngineAccount]:
        """The books of all engines, in the order in which a step passes them."""
        return {
            "forward": self.forward.account,
            "neuron": self.neuron.account,
            "host": self.host.account,
            "backward": self.backward.account,
            "gradient": self.gradient.account,
            "transposition": self.update.transposition.account,
            "weight_update": self.update.account,
            "optimiser": self.optimiser.account,
        }

    def observe_transactions(self, observer: Observer) -> None:
        """Tell `observer` of every DRAM transaction."""
        for channel in self.dma.values():
            channel.socket.observers.append(observer)
