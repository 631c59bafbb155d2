"""A NIR file as a chain of nodes: read, nested graphs opened, put in the order in which the nodes feed each other.

Of graphs with residual sums, the chain is the way along the machine's layers; the other branches are shortcuts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtl_models.errors import InputError
from workloads.importers.sections import Graph as Sections

PASS = ("Input", "Output")  # nodes that hand on what they get
NEURONS = ("LIF", "CubaLIF", "IF")
Nodes = dict[str, Any]
Edges = list[tuple[str, str]]


def read_graph(path: str | Path) -> Any:
    """Return the graph of a NIR file (``nir.NIRGraph``); raises InputError for a file that `nir` cannot read."""
    import h5py
    import nir  # here: it takes a while to import, and few commands need it

    where = str(path)
    if not Path(path).is_file():
        raise InputError("no such file", where, allowed="a NIR file")
    try:
        if not h5py.is_hdf5(where):
            raise InputError("not a NIR file, which is HDF5", where)
        with h5py.File(where, "r", locking=False) as file:
            if "node" not in file:
                raise InputError("an HDF5 file, but not of NIR", where, ", ".join(file), "version, node")
            kind = file["node/type"].asstr()[()]
            if kind != "NIRGraph":
                raise InputError("the file holds a single node", where, kind, "NIRGraph")
        return nir.read(where, type_check=False)  # shapes are checked when layers are made of nodes
    except (OSError, KeyError, ValueError, TypeError, AttributeError, AssertionError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot read the graph ({type(error).__name__}: {error})", where) from error


@dataclass(frozen=True)
class Link:
    """A node of the chain, and for neurons the shortcut that joins their sums: whose spikes, and the nodes between."""

    name: str
    node: Any
    joins: str | None = None
    between: tuple[tuple[str, Any], ...] = ()


def chain_of(graph: Any, where: str) -> tuple[Any, list[Link]]:
    """Return a graph's input node, and the links behind it up to the output.

    Names of nested graphs stand before those of their nodes, with a dot. Raises InputError for a graph that is no
    chain with shortcuts: cycles, other branches, several inputs or outputs, nodes that nothing reaches.
    """
    nodes, edges = _opened(graph, "", where)
    source, sink = (_only(nodes, edges, kind, where) for kind in PASS)
    followers: dict[str, list[str]] = {name: [] for name in nodes}
    leaders: dict[str, list[str]] = {name: [] for name in nodes}
    for first, second in edges:
        for name in (first, second):
            if name not in nodes:
                raise InputError("an edge names a node that is not there", where, name)
        followers[first].append(second)
        leaders[second].append(first)
    cycle = _cycle(followers)
    if cycle:
        what = "the graph has a cycle: recurrent connections have no place on the machine"
        raise InputError(what, where, " -> ".join(cycle))
    reached, reaching = _reached(source, followers), _reached(sink, leaders)
    if sink not in reached:
        raise InputError("nothing leads from the input to the output", where, " -> ".join(_way(source, followers)))
    lost = sorted(set(nodes) - (reached & reaching))
    if lost:
        raise InputError("nodes outside the ways from the input to the output", where, lost)
    takes = {name: leaders[name] for name in _in_order(source, followers, leaders)}
    neurons = frozenset(name for name in nodes if kind_of(nodes[name]) in NEURONS)
    found = Sections(takes, source, sink, neurons, lambda name: _taps(nodes[name]), lambda name: _at(where, name))
    return nodes[source], list(_links(nodes, found))


def _links(nodes: Nodes, found: Sections) -> Iterator[Link]:
    for section in found.sections():
        yield from (Link(name, nodes[name]) for name in section.main.nodes if kind_of(nodes[name]) not in PASS)
        between = () if section.shortcut is None else section.shortcut.nodes
        named = tuple((name, nodes[name]) for name in between if kind_of(nodes[name]) not in PASS)
        root = None if section.shortcut is None else section.shortcut.root
        if section.end in found.neurons:
            yield Link(section.end, nodes[section.end], root, named)


def _taps(node: Any) -> int:
    """Return the size of the kernel of a node with weights, 0 for others."""
    weights = getattr(node, "weight", None)
    return 0 if weights is None else int(np.prod(np.shape(weights)[2:]))


def _reached(first: str, edges: Mapping[str, Sequence[str]]) -> set[str]:
    """Return the nodes to which edges lead from `first`, and itself."""
    found, waiting = {first}, [first]
    while waiting:
        new = [name for name in edges[waiting.pop()] if name not in found]
        found.update(new)
        waiting += new
    return found


def _way(name: str, followers: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the nodes from `name` on, the first of those that follow each."""
    way = [name]
    while followers[way[-1]]:
        way.append(followers[way[-1]][0])
    return way


def _in_order(source: str, followers: Mapping[str, Sequence[str]], leaders: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the nodes that `source` leads to, each behind all that it takes, without the source."""
    open_edges = {name: len(found) for name, found in leaders.items()}
    order = [source]
    for name in order:  # grows while it is walked along
        for follower in followers[name]:
            open_edges[follower] -= 1
            if open_edges[follower] == 0:
                order.append(follower)
    return order[1:]


def kind_of(node: Any) -> str:
    """Return the type of a node, as NIR calls it."""
    return type(node).__name__


def _at(where: str, name: str) -> str:
    return f"{where}: node {name}"


def _opened(graph: Any, prefix: str, where: str) -> tuple[Nodes, Edges]:
    """Return nodes and edges of a graph with those of the graphs inside it, whose inputs and outputs become nodes."""
    nodes: Nodes = {}
    ends: dict[str, tuple[str, str]] = {}  # of a nested graph: the nodes that take and give for it
    edges: Edges = []
    for name, node in graph.nodes.items():
        if kind_of(node) != "NIRGraph":
            nodes[prefix + name] = node
            continue
        inner, inside = _opened(node, f"{prefix}{name}.", where)
        found = [[n for n in node.nodes if kind_of(node.nodes[n]) == kind] for kind in PASS]
        if [len(names) for names in found] != [1, 1]:
            what = "a nested graph must have one input and one output"
            raise InputError(what, _at(where, prefix + name), f"{len(found[0])} and {len(found[1])}")
        ends[name] = (f"{prefix}{name}.{found[0][0]}", f"{prefix}{name}.{found[1][0]}")
        nodes |= inner
        edges += inside
    for first, second in dict.fromkeys((str(a), str(b)) for a, b in graph.edges):
        edges.append(
            (
                ends[first][1] if first in ends else prefix + first,
                ends[second][0] if second in ends else prefix + second,
            )
        )
    return nodes, edges


def _only(nodes: Nodes, edges: Edges, kind: str, where: str) -> str:
    """Return the one input (output) of the whole graph: those of nested graphs are fed by (feed) others."""
    inner = {first if kind == "Output" else second for first, second in edges}
    found = [name for name, node in nodes.items() if kind_of(node) == kind and name not in inner]
    if len(found) != 1:
        allowed = f"one node {kind}"
        if kind == "Input" and found:
            allowed += "; where snnTorch's exporter has made one of an addition, docs/import.md has another way"
        raise InputError(f"the graph must have one {kind.lower()}", where, found or "none", allowed)
    return found[0]


def _cycle(followers: dict[str, list[str]]) -> list[str]:
    """Return the nodes of one cycle, the first of them again at its end; none where there is no cycle."""
    done: set[str] = set()
    for start in followers:
        path: list[str] = []
        waiting: list[Iterable[str]] = [iter([start])]
        while waiting:
            name = next(iter(waiting[-1]), None)
            if name is None:
                waiting.pop()
                if path:
                    done.add(path.pop())
            elif name in path:
                return [*path[path.index(name) :], name]
            elif name not in done:
                path.append(name)
                waiting.append(iter(followers[name]))
    return []
