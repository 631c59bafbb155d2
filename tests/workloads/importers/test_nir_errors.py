"""Mistakes in NIR graphs, files and options: one line that names the node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from rtl_models.errors import InputError
from tests.workloads.importers.nir_graphs import (
    LAST,
    NETWORK,
    conv,
    flatten,
    graph,
    lif,
    pool,
    random,
    small,
    with_edges,
)
from workloads.exporters.nir import nir_graph, write_nir
from workloads.importers.nir import METADATA, NirOptions, import_nir
from workloads.initialise import initial_weights
from workloads.network import parse_network


def recurrent() -> nir.NIRGraph:
    found = small()
    found.edges += [("n3", "n0")]
    return found


def disconnected() -> nir.NIRGraph:
    found = small()
    found.edges = found.edges[:-1]
    return found


def with_nodes(**nodes: Any) -> nir.NIRGraph:
    found = small()
    found.nodes |= nodes
    return found


def two_inside() -> nir.NIRGraph:
    inner = graph(conv(1, 4), lif(4, 8, 8))
    inner.nodes["second"] = nir.Input(np.array([1]))
    return graph(inner)


def behind(*nodes: Any) -> Callable[[], nir.NIRGraph]:
    """A chain with one node, or some, in front of the flattening."""
    return lambda: graph(*nodes, *LAST)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            recurrent,
            "graph: the graph has a cycle: recurrent connections have no place on the machine, got 'n0 ->",
        ),
        (
            with_edges(("n0", "n3")),
            "graph: node n0: its sums go two ways; the machine keeps spikes, and adds those to later sums, got",
        ),
        (
            with_edges(("n2", "scale"), ("scale", "n3")),
            "graph: node n2: its sums go two ways; the machine keeps spikes, and adds those to later sums, got",
        ),
        (
            with_edges(("n1", "n4")),
            "graph: node n4: a sum of spikes, which are 0 and 1 on the machine (SEW's ADD); add in front of the",
        ),
        (
            with_edges(("n2", "n5")),
            "graph: node n5: a sum that neurons do not follow; the machine adds a shortcut right before neurons",
        ),
        (
            with_edges(("n5", "n3"), ("n1", "n3")),
            "graph: the graph has a cycle",
        ),
        (
            with_edges(("n1", "n3"), ("n1", "more"), ("more", "n3")),
            "graph: node n3: the machine adds one shortcut to a layer's sums, got '3 branches', allowed: two",
        ),
        (
            with_edges(("input", "more"), ("more", "third"), ("third", "n3")),
            "graph: node third: parallel paths; the machine's layers follow one another, and a shortcut joins them",
        ),
        (
            with_edges(("input", "n3")),
            "graph: node n3: the input joins the sums of neurons; a shortcut takes what neurons fire, allowed: neurons",
        ),
        (
            with_edges(("n3", "output")),
            "graph: node output: the output is a sum; the machine's last layer takes no shortcut",
        ),
        (
            with_edges(("n1", "pool"), ("pool", "n3")),
            "node pool: the machine's shortcuts take spikes as they are, or through one 1x1 convolution, got 'Pooling'",
        ),
        (
            with_edges(("n1", "scale"), ("scale", "n3")),
            "node scale: a scale of the output, got 2.0, allowed: weights behind it",
        ),
        (
            with_edges(("n1", "more"), ("more", "n3")),
            "node more: a shortcut's convolution is 1x1 on the machine, got '3x3, padding 1', allowed: 1x1, padding 0",
        ),
        (
            behind(conv(1, 4), nir.Scale(random(4, 8, 8)), lif()),
            "node n1: a scale that differs within a channel, got [4, 8, 8], allowed: one value by channel",
        ),
        (
            behind(conv(1, 4), lif(), nir.Scale(np.arange(4.0))),
            "node n2: a scale and shift by channel is part of weights, and must follow them, got 'behind node n1'",
        ),
        (disconnected, "graph: nothing leads from the input to the output, got 'input -> n0 -> n1 -> n2 -> n3'"),
        (
            lambda: with_nodes(lost=conv(1, 4)),
            "graph: nodes outside the ways from the input to the output, got ['",
        ),
        (
            lambda: with_nodes(more=nir.Input(np.array([4]))),
            "graph: the graph must have one input, got ['input', 'more'], allowed: one node Input; where snnTorch's",
        ),
        (
            lambda: with_nodes(more=nir.Output(np.array([4]))),
            "graph: the graph must have one output, got ['output', 'more'], allowed: one node Output",
        ),
        (two_inside, "graph: node n0: a nested graph must have one input and one output, got '2 and 1'"),
        (
            lambda: nir.NIRGraph({"a": nir.Input(np.array([1]))}, [("a", "b")], type_check=False),
            "graph: the graph must have one output, got 'none'",
        ),
        (
            behind(conv(1, 4), nir.Threshold(np.ones(1))),
            "node n1: no such node on the machine, got 'Threshold', a",
        ),
        (behind(conv(1, 4), nir.LI(*np.ones((3, 1)))), "node n1: no such node on the machine, got 'LI'"),
        (behind(lif(1, 8, 8)), "node n0: neurons follow the input without weights between"),
        (behind(conv(1, 4), lif(), lif()), "node n2: neurons follow node n1 without weights between"),
        (
            behind(conv(1, 4), conv(4, 4), lif()),
            "node n1: weights follow the weights of node n0 without neurons",
        ),
        (behind(conv(1, 4, padding=(1, 0)), lif()), "node n0: the padding differs by direction, got (1, 0)"),
        (
            behind(nir.Conv2d(None, random(4, 1, 2, 2), 1, "same", 1, 1, np.zeros(4)), lif()),
            "node n0: padding 'same' of an even kernel differs by side, got [2, 2], allowed: odd kernels",
        ),
        (behind(conv(1, 4, padding="same", stride=2), lif()), "node n0: padding 'same' goes with stride 1, got 2"),
        (behind(conv(1, 4, stride=(1, 2)), lif()), "node n0: the stride differs by direction, got (1, 2)"),
        (behind(conv(1, 4, groups=2), lif()), "node n0: the machine's convolutions have one group, got 2"),
        (behind(conv(1, 4, dilation=2), lif()), "node n0: the machine's convolutions are not dilated, got (2, 2)"),
        (
            behind(nir.Conv2d(None, random(4, 3, 3), 1, 1, 1, 1, np.zeros(4)), lif()),
            "node n0: weights must be [M, C, R, S], got [4, 3, 3]",
        ),
        (behind(nir.Linear(random(2, 4, 4)), lif()), "node n0: weights must be [M, N], got [2, 4, 4]"),
        (
            behind(conv(1, 4), pool(stride=1), lif()),
            "node n1: the windows of the machine's pooling lie side by side",
        ),
        (behind(conv(1, 4), pool(padding=1), lif()), "node n1: the machine's pooling has no padding"),
        (behind(conv(1, 4), pool(size=(2, 4)), lif()), "node n1: the kernel_size differs by direction"),
        (
            behind(conv(1, 4), lif(), nir.Flatten(None, 1, -1)),
            "node n2: only the whole of [C, H, W] can be flattened, without the batch's axis, got 'axes 1..-1'",
        ),
        (
            behind(conv(1, 4), lif(4, 8, 8, tau=np.linspace(1e-3, 2e-3, 4).reshape(4, 1, 1))),
            "node n1: neuron parameters per channel: tau differs within the layer, got '0.001..0.002'",
        ),
        (behind(conv(1, 4), lif(v_reset=0.5)), "node n1: v_reset must be 0, got 0.5, allowed: 0"),
        (behind(conv(1, 4), lif(v_leak=-0.5)), "node n1: v_leak must be 0, got -0.5, allowed: 0"),
        (
            behind(conv(1, 4), lif(tau=5e-5)),
            "node n1: tau must not be below the timestep, got 5e-05, allowed: >= 0.",
        ),
        (behind(conv(1, 4), lif(tau=np.inf)), "node n1: tau must be finite numbers, got '[inf]'"),
        (behind(conv(1, 4), lif(r=0.0)), "node n1: an input must count more than nothing, got 0.0"),
        (
            behind(conv(1, 4), nir.CubaLIF(*np.full((2, 1), 2e-4), *np.ones((2, 1)) * 0, np.ones(1))),
            "node n1: the machine's synapses keep nothing from one timestep to the next, got 'tau_syn 0.0002', allowed",
        ),
        (
            lambda: small(shape=None),
            "graph: input: the input's shape is not [C, H, W] or [N], got 'none'",
        ),
        (
            lambda: small(shape=(1, 1, 8, 8)),
            "graph: input: the input's shape is not [C, H, W] or [N], got [1, 1",
        ),
        (
            lambda: graph(conv(1, 4), lif(), flatten(), nir.Linear(random(3, 256)), lif(), nir.Scale(np.array(2.0))),
            "node n5: a scale of the output, got 2.0, allowed: weights behind it",
        ),
    ],
)
def test_what_the_machine_cannot_have(make: Callable[[], nir.NIRGraph], message: str) -> None:
    with pytest.raises(InputError) as caught:
        import_nir(make())
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (NirOptions(dt=0.0), "graph: dt: wrong value, got 0.0, allowed: seconds > 0"),
        (
            NirOptions(reset="soft"),
            "graph: reset: unknown reset, got 'soft', allowed: zero, subtract, sub",
        ),
        (
            NirOptions(shape=(8, 8, 3)),
            "graph: input: the input of the graph has another shape, got [8, 8, 3], allo",
        ),
        (
            NirOptions(coding="spikes", exponent=4),
            "graph: input: exponent belongs to bytes, got 'spikes', allowed: d",
        ),
        (NirOptions(timesteps=0), "imported: timesteps: wrong value, got 0"),
    ],
)
def test_options_that_cannot_be(options: NirOptions, message: str) -> None:
    with pytest.raises(InputError) as caught:
        import_nir(small(), options)
    assert str(caught.value).startswith(message)


def test_files_that_are_no_graphs(tmp_path: Path) -> None:
    def refused(name: str, message: str) -> None:
        with pytest.raises(InputError, match=message):
            import_nir(tmp_path / name)

    refused("no.nir", r"no\.nir: no such file, allowed: a NIR file$")
    (tmp_path / "text.nir").write_text("nodes")
    refused("text.nir", r"text\.nir: not a NIR file, which is HDF5$")
    with h5py.File(tmp_path / "other.nir", "w") as file:
        file["weights"] = np.zeros(3)
    refused("other.nir", r"other\.nir: an HDF5 file, but not of NIR, got 'weights', allowed: version, node$")
    nir.write(tmp_path / "node.nir", nir.Linear(random(2, 2)))
    refused("node.nir", r"node\.nir: the file holds a single node, got 'Linear', allowed: NIRGraph$")
    network = parse_network(NETWORK | {"layers": [{"linear": 4}, {"linear": 5}]}, "x")
    write_nir(network, initial_weights(network, 0), tmp_path / "good.nir")
    whole = (tmp_path / "good.nir").read_bytes()
    (tmp_path / "cut.nir").write_bytes(whole[: len(whole) // 2])
    refused("cut.nir", r"cut\.nir: cannot read the graph \(OSError: ")
    with h5py.File(tmp_path / "good.nir", "a") as file:
        del file["node/nodes/neurons1/tau"]
    refused("good.nir", r"good\.nir: cannot read the graph \(\w+: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"not valid JSON \(Expecting property name"),
        ("[]", r"must be a table of keys, got \[\]"),
        ('{"input": 3}', r"input: must be a table of keys, got 3"),
        ('{"input": {"shape": [8, 8, 1], "exponent": "x"}}', r"input: exponent: wrong value, got 'x'"),
    ],
)
def test_metadata_of_somebody_else(text: str, message: str) -> None:
    found = small()
    found.metadata = {METADATA: text}
    with pytest.raises(InputError, match=f"^graph: metadata h2learn: {message}"):
        import_nir(found)


def test_what_cannot_be_exported() -> None:
    network = parse_network(NETWORK | {"layers": [{"linear": 4}, {"linear": 5}]}, "x")
    with pytest.raises(InputError, match=r"^dt: wrong value, got 0\.0, allowed: seconds > 0$"):
        nir_graph(network, initial_weights(network, 0), 0.0)
