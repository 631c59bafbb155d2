"""Graphs with residual sums as chains: the way from neurons to the next neurons, and the shortcut that joins it.

The machine's layers follow one another; what an earlier layer fired may join the sums of a later one before its neurons
(docs/contract.md, "Shortcuts and biases"). So every sum of a graph must lead to neurons, and of its two branches one
must come from the neurons right below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rtl_models.errors import InputError


@dataclass(frozen=True)
class Branch:
    """Nodes one after the other, behind the neurons (or the input) `root`."""

    root: str
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """What leads to the neurons (or the output) `end`: from those of the section before, and as a shortcut."""

    end: str
    main: Branch
    shortcut: Branch | None = None


@dataclass(frozen=True)
class Graph:
    """A graph without cycles: `takes` lists what every node but the source takes, in an order in which it can run.

    `taps` is the size of a node's kernel, 0 where it has no weights; `told` a node's name for the user.
    """

    takes: Mapping[str, Sequence[str]]
    source: str
    output: str
    neurons: frozenset[str]
    taps: Callable[[str], int]
    told: Callable[[str], str]

    def sections(self) -> list[Section]:
        """Cut the graph at its neurons; raises InputError where it is no chain with shortcuts to neurons."""
        ends = [name for name in self.takes if name in self.neurons or name == self.output]
        branches = {end: [self._branch(first) for first in self.takes[end]] for end in ends}
        self._check_taken_once(branches)
        return [self._section(end, below, branches[end]) for below, end in pairwise([self.source, *ends])]

    def _section(self, end: str, below: str, branches: list[Branch]) -> Section:
        if len(branches) > 2:
            what = "the machine adds one shortcut to a layer's sums"
            raise InputError(what, self.told(end), f"{len(branches)} branches", "two")
        direct = [branch for branch in branches if branch.root == below]
        if not direct:
            what = "parallel paths; the machine's layers follow one another, and a shortcut joins them"
            roots = " and ".join(self.told(branch.root) for branch in branches)
            raise InputError(what, self.told(end), f"from {roots}", f"from {self.told(below)}")
        main = max(direct, key=lambda branch: sum(map(self.taps, branch.nodes)))
        if len(branches) == 1:
            return Section(end, main)
        if end not in self.neurons:
            raise InputError("the output is a sum; the machine's last layer takes no shortcut", self.told(end))
        (other,) = (branch for branch in branches if branch is not main)
        if other.root == self.source:
            what = "the input joins the sums of neurons; a shortcut takes what neurons fire"
            raise InputError(what, self.told(end), allowed="neurons in front of the shortcut")
        return Section(end, main, other)

    def _branch(self, name: str) -> Branch:
        """Walk back from a node that leads to a sum or to neurons, to the neurons (or the input) that it comes from."""
        nodes: list[str] = []
        while name not in self.neurons and name != self.source:
            if len(self.takes[name]) > 1:
                roots = [self.told(first) for first in self.takes[name]]
                what = "a sum that neurons do not follow; the machine adds a shortcut right before neurons"
                if all(first in self.neurons for first in self.takes[name]):
                    what = "a sum of spikes, which are 0 and 1 on the machine (SEW's ADD); add in front of the neurons"
                raise InputError(what, self.told(name), " + ".join(roots))
            nodes.append(name)
            (name,) = self.takes[name]
        return Branch(name, tuple(reversed(nodes)))

    def _check_taken_once(self, branches: Mapping[str, Sequence[Branch]]) -> None:
        """Raise InputError where the sums of one layer of weights go two ways."""
        owners: dict[str, str] = {}
        for end, name in ((end, name) for end, found in branches.items() for branch in found for name in branch.nodes):
            if self.taps(name) and name in owners:
                what = "its sums go two ways; the machine keeps spikes, and adds those to later sums"
                raise InputError(what, self.told(name), f"to {self.told(owners[name])} and {self.told(end)}")
            owners[name] = end
