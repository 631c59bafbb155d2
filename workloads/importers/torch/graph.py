"""Where a tensor comes from: along PyTorch's own graph of a step, back to the module whose output it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from rtl_models.errors import InputError
from workloads.importers.chain import AVERAGE, Pooling, equal_sides

Node = Any  # torch.autograd.graph.Node

# Only another shape, or another place in memory. Expand and Repeat: the same picture at every timestep.
_SAME_ELEMENTS = {
    "ViewBackward0",
    "UnsafeViewBackward0",
    "ReshapeAliasBackward0",
    "AliasBackward0",
    "CloneBackward0",
    "SqueezeBackward0",
    "SqueezeBackward1",
    "UnsqueezeBackward0",
    "ExpandBackward0",
    "RepeatBackward0",
    "StackBackward0",
    "SelectBackward0",
    "UnbindBackward0",
}
_HINTS = {
    "MaxPool2DWithIndicesBackward0": "maximum pooling; the machine adds spikes up: average pooling",
    "AddBackward0": "an addition of a constant",
    "AsStridedBackward0": "an operation in place, on spikes or another view",
    "MulBackward0": "a product of branches, or with a constant",
    "NativeBatchNormBackward0": "batch normalisation by a function; a module nn.BatchNorm2d",
}


@dataclass(frozen=True)
class Origin:
    """The module (None: the network's input) and call that a tensor comes from, and the pooling in between."""

    module: str | None
    call: int
    pooling: tuple[Pooling, ...]


@dataclass
class Graph:
    """The nodes at which walks end: outputs of the observed modules, by name and number of the call."""

    producers: dict[Node, tuple[str, int]] = field(default_factory=dict)

    def add(self, output: Tensor, module: str, call: int) -> None:
        """Remember that `output` is that of a module's call."""
        self.producers[output.grad_fn] = (module, call)

    def origins(self, tensor: Tensor, where: str) -> tuple[Origin, ...]:
        """Walk back from the input of `where`, one origin for each term of a sum.

        Raises InputError naming an operation that the machine cannot do.
        """
        return tuple(self._walk(tensor.grad_fn, where, ()))

    def _walk(self, node: Node, where: str, pooling: tuple[Pooling, ...]) -> Iterator[Origin]:
        """Walk back from a node; `pooling` is what stands between it and `where`."""
        while node is not None and not hasattr(node, "variable"):  # a leaf: data
            if node in self.producers:
                yield Origin(*self.producers[node], pooling)
                return
            name = node.name()
            before = [function for function, _ in node.next_functions]
            if name == "AddBackward0" and None not in before and node._saved_alpha == 1:
                for function in before:
                    yield from self._walk(function, where, pooling)
                return
            if name == "AvgPool2DBackward0":
                pooling = (_pooling(node, where), *pooling)
            elif name == "MeanBackward1":
                pooling = (_mean(node, where), *pooling)
            elif name not in _SAME_ELEMENTS:
                got = _HINTS.get(name, name)
                allowed = "reshaping, average pooling, sums of two branches (or a module in its place)"
                raise InputError("an operation in front of it that the machine cannot do", where, got, allowed)
            node = before[0] if before else None
        if isinstance(getattr(node, "variable", None), nn.Parameter):
            raise InputError("a parameter outside of layers leads to it", where, allowed="weights and biases of layers")
        yield Origin(None, 0, pooling)


def _pooling(node: Node, where: str) -> Pooling:
    place = f"pooling before {where}"
    size = equal_sides(node._saved_kernel_size, place, "size of the windows")
    stride = equal_sides(node._saved_stride or size, place, "stride")
    padding = equal_sides(node._saved_padding, place, "padding")
    if (stride, padding) != (size, 0) or node._saved_ceil_mode or node._saved_divisor_override is not None:
        got = f"stride {stride}, padding {padding}"
        raise InputError("the windows of a pooling must lie side by side", place, got, f"stride {size}, padding 0")
    return Pooling(place, AVERAGE, size)


def _mean(node: Node, where: str) -> Pooling:
    """The mean over both sides of a plane, which is what adaptive average pooling to 1 x 1 computes."""
    place = f"mean before {where}"
    shape = tuple(node._saved_self_sym_sizes)
    axes = sorted((axis + (1 << 63)) % (1 << 64) - (1 << 63) for axis in node._saved_dim)  # comes as unsigned
    last = [axis % len(shape) for axis in axes] == [len(shape) - 2, len(shape) - 1]
    if not last or len(shape) < 4 or shape[-2] != shape[-1]:
        raise InputError("a mean over other axes than a square plane's", place, f"axes {axes} of {list(shape)}")
    return Pooling(place, AVERAGE, shape[-1])
