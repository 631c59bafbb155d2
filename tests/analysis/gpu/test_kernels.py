"""The list of kernels: operations and bytes against closed forms, and what BPTT stores."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlm.analysis.gpu import kernels as step
from tlm.analysis.gpu.implementation import ElementKernel, implementation_names, load_implementation
from tlm.analysis.gpu.kernels import Kernel, inference_kernels, state_bytes, step_kernels, stored_bytes
from tlm.analysis.gpu.layers import LayerNetwork, LayerShape, from_network, list_layer_networks, load_layers
from tlm.analysis.gpu.public import memory_growth
from workloads.network import CONSTANT, list_networks, load_network


def one_convolution(timesteps: int, fold_time: bool = False, first: bool = False, count: int = 1) -> LayerNetwork:
    """One 3x3 convolution of stride 1, 4 channels on 8 x 8 to 6 channels."""
    layer = LayerShape("conv", "conv", (4, 8, 8), (6, 8, 8), (3, 3), 1, count, not first)
    return LayerNetwork("one", "", timesteps, 4 * 8 * 8, "plain", "batch", fold_time, (layer,))


def of_kind(kernels: Iterable[Kernel], kind: str) -> list[Kernel]:
    return [kernel for kernel in kernels if kernel.kind == kind]


class TestProducts:
    def test_operations_and_bytes_of_a_convolution(self) -> None:
        kernels = step_kernels(one_convolution(5), 3, "binary32")
        macs = 6 * 8 * 8 * 4 * 3 * 3
        moved = 4 * (3 * 4 * 8 * 8 + 3 * 6 * 8 * 8 + 6 * 4 * 3 * 3)
        for kind in ("matrix forward", "input gradient", "weight gradient"):
            (kernel,) = of_kind(kernels, kind)
            assert (kernel.launches, kernel.flop, kernel.bytes) == (5, 2 * 3 * macs, moved)
            assert kernel.unit == step.CONV3X3
        (added,) = of_kind(kernels, "gradient sum")
        assert (added.launches, added.flop, added.bytes) == (4, 216, 3 * 216 * 4)

    def test_first_layer_has_no_input_gradient(self) -> None:
        assert of_kind(step_kernels(one_convolution(5, first=True), 3, "binary32"), "input gradient") == []

    def test_folded_time_is_one_launch_with_the_same_work(self) -> None:
        (apart,) = of_kind(step_kernels(one_convolution(5), 3, "binary32"), "matrix forward")
        (folded,) = of_kind(step_kernels(one_convolution(5, fold_time=True), 3, "binary32"), "matrix forward")
        assert (folded.launches, folded.flop) == (1, apart.launches * apart.flop)
        assert folded.bytes == 5 * apart.bytes - 4 * 216 * 4  # the weights are read once
        assert of_kind(step_kernels(one_convolution(5, fold_time=True), 3, "binary32"), "gradient sum") == []

    def test_equal_layers_are_launched_each(self) -> None:
        once, thrice = (step_kernels(one_convolution(5, count=count), 3, "binary32") for count in (1, 3))
        for kind in ("matrix forward", "gradient sum", "optimiser"):
            (a, *_), (b, *_) = of_kind(once, kind), of_kind(thrice, kind)
            assert (b.launches, b.flop, b.bytes) == (3 * a.launches, a.flop, a.bytes)

    @pytest.mark.parametrize("name", list_networks())
    def test_operations_of_a_whole_step(self, name: str) -> None:
        """Three products of two operations a multiply-accumulate, but two of them in the first layer."""
        network = load_network(name)
        total = sum(layer.macs_per_timestep() for layer in network.layers if layer.source != CONSTANT)  # no biases
        first = network.layers[0].macs_per_timestep()
        kernels = step_kernels(from_network(network), 7, "binary32")
        products = [kernel for kernel in kernels if kernel.unit in (step.MATMUL, step.CONV3X3)]
        assert sum(k.launches * k.flop for k in products) == 2 * 7 * network.timesteps * (3 * total - first)

    def test_units(self) -> None:
        shapes = {(3, 1): step.CONV3X3, (3, 2): step.MATMUL, (1, 1): step.MATMUL, (5, 1): step.MATMUL}
        for (size, stride), unit in shapes.items():
            layer = LayerShape("conv", "conv", (4, 8, 8), (6, 8 // stride, 8 // stride), (size, size), stride)
            network = LayerNetwork("one", "", 1, 256, "plain", "batch", False, (layer,))
            assert {kernel.unit for kernel in of_kind(step_kernels(network, 1, "binary32"), "matrix forward")} == {unit}

    def test_sixteen_bits_move_half_and_cast_the_weights(self) -> None:
        wide, narrow = (step_kernels(one_convolution(5), 3, precision) for precision in ("binary32", "tensor16"))
        assert [k.bytes for k in of_kind(wide, "matrix forward")] == [
            2 * k.bytes for k in of_kind(narrow, "matrix forward")
        ]
        assert of_kind(wide, "cast") == []
        assert [(k.launches, k.bytes) for k in of_kind(narrow, "cast")] == [(1, 216 * 6), (1, 216 * 6)]
        assert of_kind(wide, "optimiser") == of_kind(narrow, "optimiser")


class TestOtherLayers:
    def test_pool_and_sum_of_branches(self) -> None:
        """At each of three timesteps: a pooling reads its input and writes its output, a sum has three operands."""
        pool = LayerShape("p", "pool", (2, 4, 4), (2, 2, 2))
        add = LayerShape("a", "add", (2, 2, 2), (2, 2, 2))
        fc = LayerShape("f", "fc", (8,), (5,))
        network = LayerNetwork("one", "", 3, 32, "plain", "batch", False, (pool, add, fc))
        kernels = of_kind(step_kernels(network, 7, "binary32"), "other layers")
        assert [kernel.phase for kernel in kernels] == [step.FORWARD, step.BACKWARD] * 2
        assert [kernel.bytes for kernel in kernels] == [4 * 7 * (32 + 8)] * 2 + [4 * 7 * 3 * 8] * 2
        assert [kernel.flop for kernel in kernels] == [7 * 32] * 2 + [7 * 8] * 2
        assert [kernel.launches for kernel in kernels] == [3] * 4


class TestOptimiserAndCopies:
    def test_momentum(self) -> None:
        kernels = of_kind(step_kernels(one_convolution(1), 3, "binary32"), "optimiser")
        assert [kernel.bytes for kernel in kernels] == [216 * 4 * values for values in (2, 3, 3)]
        assert {kernel.phase for kernel in kernels} == {step.UPDATE}

    def test_copy(self) -> None:
        (kernel,) = of_kind(step_kernels(one_convolution(1), 3, "tensor16"), "copy from host")
        assert kernel.launches * kernel.bytes == 3 * (256 * 4 + 8)
        assert kernel.unit == step.LINK

    def test_inference_is_copy_and_forward(self) -> None:
        kernels = inference_kernels(one_convolution(5), 3, "binary32")
        assert {kernel.phase for kernel in kernels} == {step.COPY, step.FORWARD}
        forward = [k for k in step_kernels(one_convolution(5), 3, "binary32") if k.phase in (step.COPY, step.FORWARD)]
        assert kernels == forward


class TestElementwise:
    def test_launches_and_bytes(self) -> None:
        every = ElementKernel("a", reads=2, writes=1, mask_writes=1, flop=3)
        assert [every.launches(6), every.bytes_per_launch(10, 6, 4), every.flop_per_launch(10, 6)] == [6, 130, 30]
        later = ElementKernel("b", later=True, reads=1)
        assert [later.launches(6), later.launches(1)] == [5, 0]
        whole = ElementKernel("c", per_layer=True, reads_all=2, writes_all=1, flop_all=4)
        assert [whole.launches(6), whole.bytes_per_launch(10, 6, 2), whole.flop_per_launch(10, 6)] == [1, 360, 240]
        sliced = ElementKernel("d", writes_all=1)
        assert [sliced.launches(6), sliced.bytes_per_launch(10, 6, 4)] == [6, 240]

    def test_plain_neuron_in_values(self) -> None:
        """One layer of E elements, T steps: values moved forward and backward, by hand."""
        layer = LayerShape("s", "spike", (5,), (5,))
        fc = LayerShape("f", "fc", (5,), (5,))
        network = LayerNetwork("one", "", 6, 5, "plain", "batch", False, (fc, layer))
        kernels = step_kernels(network, 2, "binary32")
        elements = 2 * 5
        forward = sum(k.launches * k.bytes for k in of_kind(kernels, "neuron forward"))
        assert forward == elements * (5 * (2 + 3 + 2 + 3) * 4 + 6 * (2 * 4 + 2 * 1))
        backward = sum(k.launches * k.bytes for k in of_kind(kernels, "neuron backward"))
        assert backward == elements * (6 * ((2 + 2 + 2 + 1 + 1 + 3 + 2) * 4 + 2) + 5 * (3 + 2 + 3 + 3 + 2 + 3) * 4)

    @pytest.mark.parametrize("kind", ["neurons", "norms"])
    def test_every_implementation_has_a_source_and_reads_what_it_writes(self, kind: str) -> None:
        for name in implementation_names(kind):
            implementation = load_implementation(kind, name)
            assert implementation.source
            assert implementation.saved_values(6) >= 6
            for kernel in (*implementation.forward, *implementation.backward):
                assert kernel.launches(6) in (1, 5, 6), kernel.name
                assert kernel.bytes_per_launch(1, 6, 4) > 0, kernel.name


class TestMemory:
    def test_plain_neuron(self) -> None:
        """Potentials and spikes at every step, gates at all but the first, and the input."""
        network = from_network(load_network("digits-conv"))
        values = 6 * (8 * 8 * 32 + 4 * 4 * 64 + 128)
        gates = 5 * (8 * 8 * 32 + 4 * 4 * 64 + 128)
        assert stored_bytes(network, 3, "binary32") == 3 * 4 * (2 * values + gates + 64)
        assert stored_bytes(network, 3, "tensor16") == 3 * 2 * (2 * values + gates + 64)

    def test_state(self) -> None:
        network = one_convolution(1)
        assert state_bytes(network, "binary32") == 3 * 4 * 216
        assert state_bytes(network, "tensor16") == (3 * 4 + 2) * 216

    @pytest.mark.parametrize("name", [*list_networks(), *list_layer_networks()])
    def test_stores_at_least_t_times_one_timestep(self, name: str) -> None:
        """As SpikingJelly's maintainer states (github.com/fangwei123456/spikingjelly, issue 356)."""
        network = load_layers(name)
        assert memory_growth(network, 4, "binary32") >= network.timesteps

    @given(batch=st.integers(1, 256), factor=st.integers(2, 5))
    def test_linear_in_the_batch(self, batch: int, factor: int) -> None:
        network = load_layers("cifar-cnn")
        assert stored_bytes(network, factor * batch, "binary32") == factor * stored_bytes(network, batch, "binary32")
