"""`h2learn verify dataflow FILE...`: times of bounded channels against recorded SystemC runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.table import Table

from rtl_models.errors import InputError
from tlm.cli.console import output_console
from tlm.cli.examples import examples
from tlm.kernel.dataflow import (
    MOMENTS,
    Difference,
    Graph,
    Node,
    NodeTimes,
    Port,
    compare_times,
    run_graph,
)
from tlm.kernel.errors import TimeValueError
from tlm.kernel.time import to_ps

SHOWN_DIFFERENCES = 5
"""Differences printed in full per case; the table gives their number."""

T = TypeVar("T")


@dataclass(frozen=True)
class Case:
    """One recorded run: the graph, its times, and whether it ended in a deadlock."""

    name: str
    graph: Graph
    expected: dict[str, NodeTimes]
    deadlock: bool


@dataclass(frozen=True)
class Verdict:
    """How one case came out."""

    case: Case
    compared: int
    differences: list[Difference]
    deadlock: str
    """Text of the deadlock that ended our run, empty if none did."""

    @property
    def good(self) -> bool:
        """Whether every time and the deadlock flag agree."""
        return not self.differences and bool(self.deadlock) == self.case.deadlock


@dataclass(frozen=True)
class Value:
    """A JSON value and the place where it stands; every accessor raises InputError."""

    value: Any
    where: str

    def of_type(self, kind: type[T], allowed: str) -> T:
        """Return the value if it is exactly of type `kind`."""
        if type(self.value) is not kind:
            raise InputError("wrong type", self.where, _shown(self.value), allowed)
        return self.value

    def __getitem__(self, key: str) -> Value:
        """Return the field `key` of an object."""
        fields = self.of_type(dict, "an object")
        if key not in fields:
            raise InputError(f"missing field {key!r}", self.where, ", ".join(fields))
        return Value(fields[key], f"{self.where}.{key}")

    def items(self) -> list[Value]:
        """Return the elements of a list."""
        return [Value(v, f"{self.where}[{i}]") for i, v in enumerate(self.of_type(list, "a list"))]

    def whole(self, least: int, unit: str) -> int:
        """Return an integer of at least `least`."""
        number = self.of_type(int, f"integer {unit}, at least {least}")
        if number < least:
            raise InputError("too small", self.where, number, f"at least {least} {unit}")
        return number

    def time_ps(self) -> int:
        """Return a time given in ns (integer, or a decimal number of whole ps) as ps."""
        if type(self.value) not in (int, float):
            raise InputError("wrong type", self.where, _shown(self.value), "ns, at least 0")
        try:
            return to_ps(self.value, "ns")
        except TimeValueError as error:
            raise InputError("bad time", self.where, self.value, "ns, at least 0, in whole ps") from error


def _shown(value: object) -> str:
    """Return a value's JSON text, short enough for one line."""
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


def read_cases(path: Path) -> list[Case]:
    """Read a file of recorded runs; InputError with the place of whatever is wrong in it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError("cannot be read", str(path), error.strerror, "a JSON file of dataflow cases") from error
    except (ValueError, RecursionError) as error:
        raise InputError("not JSON", str(path), str(error), "a JSON file of dataflow cases") from error
    cases = Value(content, str(path))["cases"].items()
    if not cases:
        raise InputError("no cases", str(path), 0, "at least one case")
    return [_case(case) for case in cases]


def _case(case: Value) -> Case:
    name = case["name"].of_type(str, "a string")
    depths = tuple(channel["depth"].whole(1, "tokens") for channel in case["channels"].items())
    nodes = tuple(_node(node, len(depths)) for node in case["nodes"].items())
    names = [node.name for node in nodes]
    for index, node_name in enumerate(names):
        if node_name in names[:index]:
            raise InputError("name is taken twice", f"{case.where}.nodes[{index}].name", node_name)
    recorded = case["expected"]
    for node_name in recorded.of_type(dict, "an object"):
        if node_name not in names:
            raise InputError("unknown node", recorded.where, node_name, ", ".join(names))
    expected = {
        node_name: NodeTimes(*(_times(recorded[node_name][moment]) for moment in MOMENTS)) for node_name in names
    }
    return Case(name, Graph(depths, nodes), expected, case["deadlock"].of_type(bool, "true or false"))


def _node(node: Value, channel_count: int) -> Node:
    return Node(
        node["name"].of_type(str, "a string"),
        _ports(node["inputs"], channel_count),
        _ports(node["outputs"], channel_count),
        tuple(_times(node["service"])),
    )


def _ports(ports: Value, channel_count: int) -> tuple[Port, ...]:
    return tuple(_port(port, channel_count) for port in ports.items())


def _port(port: Value, channel_count: int) -> Port:
    pair = port.items()
    if len(pair) != 2:
        raise InputError("wrong length", port.where, len(pair), "[channel, rate]")
    channel = pair[0].whole(0, "channel index")
    if channel >= channel_count:
        raise InputError("unknown channel", pair[0].where, channel, f"below {channel_count}")
    return Port(channel, pair[1].whole(1, "tokens"))


def _times(times: Value) -> list[int]:
    return [time.time_ps() for time in times.items()]


def verify(case: Case) -> Verdict:
    """Run one case and compare it with its record."""
    outcome = run_graph(case.graph)
    compared, differences = compare_times(outcome.times, case.expected)
    return Verdict(case, compared, differences, "" if outcome.deadlock is None else str(outcome.deadlock))


def print_report(verdicts: Sequence[Verdict], show: Callable[[object], None]) -> None:
    """Print one row per case, then the first differences of each case that differs."""
    table = Table(title="dataflow times, tlm.kernel against SystemC")
    for heading in ("case", "times compared", "differences", "deadlock", "verdict"):
        text = heading in ("case", "verdict")
        table.add_column(heading, justify="left" if text else "right", overflow="fold")
    for verdict in verdicts:
        case = verdict.case
        ended = "yes" if verdict.deadlock else "no"
        if bool(verdict.deadlock) != case.deadlock:
            ended += ", expected " + ("yes" if case.deadlock else "no")
        cells = (case.name, verdict.compared, len(verdict.differences), ended)
        table.add_row(*map(str, cells), "equal" if verdict.good else "DIFFERENT")
    show(table)
    for verdict in verdicts:
        for difference in verdict.differences[:SHOWN_DIFFERENCES]:
            show(f"{verdict.case.name}: {_described(difference)}")
        if not verdict.good and verdict.deadlock:
            show(f"{verdict.case.name}: {verdict.deadlock}")
    compared = sum(verdict.compared for verdict in verdicts)
    different = sum(len(verdict.differences) for verdict in verdicts)
    good = sum(verdict.good for verdict in verdicts)
    show(f"{good} of {len(verdicts)} cases equal, {compared} times compared, {different} differences")


def describe(verdict: Verdict) -> dict[str, Any]:
    """Return what `--json` prints of one case."""
    return {
        "case": verdict.case.name,
        "compared": verdict.compared,
        "differences": [asdict(difference) for difference in verdict.differences],
        "deadlock": verdict.deadlock or None,
        "deadlock_expected": verdict.case.deadlock,
        "good": verdict.good,
    }


def _described(difference: Difference) -> str:
    got, expected = (
        "nothing" if time_ps is None else f"{time_ps / 1000:g} ns"
        for time_ps in (difference.got_ps, difference.expected_ps)
    )
    return f"{difference.node}.{difference.moment}[{difference.item}] got {got}, expected {expected}"


@click.command(
    epilog=examples(
        "h2learn verify dataflow dataflow_cases.json",
    )
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def dataflow(ctx: click.Context, files: tuple[Path, ...], as_json: bool) -> None:
    """Compare the times of bounded channels with recorded SystemC runs.

    FILE holds graphs of nodes over bounded FIFOs and the time of every item. Exit code 1 on any difference.
    """
    cases = [case for file in files for case in read_cases(file)]
    console = output_console(soft_wrap=True)
    verdicts = [verify(case) for case in cases]
    if as_json:
        click.echo(json.dumps([describe(verdict) for verdict in verdicts], indent=2))
    else:
        print_report(verdicts, console.print)
    if not all(verdict.good for verdict in verdicts):
        ctx.exit(1)
