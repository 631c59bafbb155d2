"""Graphs over bounded channels, and `h2learn verify dataflow` on the recorded SystemC runs."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rtl_models.errors import InputError
from tlm.cli.verify_dataflow import dataflow, read_cases
from tlm.kernel.dataflow import Difference, Graph, Node, NodeTimes, Port, compare_times, run_graph

RECORDED = Path(__file__).parent / "data" / "dataflow_cases.json"
"""Accellera SystemC 2.3.4, sc_fifo with blocking read and write."""


@pytest.mark.parametrize("case", read_cases(RECORDED), ids=lambda case: case.name)
def test_times_of_systemc(case) -> None:
    outcome = run_graph(case.graph)
    compared, differences = compare_times(outcome.times, case.expected)
    assert compared == sum(len(t.begin) + len(t.done) + len(t.sent) for t in case.expected.values()) > 0
    assert differences == []
    assert (outcome.deadlock is not None) == case.deadlock


def node(name, inputs, outputs, service_ps):
    return Node(name, tuple(Port(*p) for p in inputs), tuple(Port(*p) for p in outputs), tuple(service_ps))


def test_the_recorded_deadlock_says_who_waits() -> None:
    case = next(case for case in read_cases(RECORDED) if case.deadlock)
    deadlock = run_graph(case.graph).deadlock
    assert deadlock is not None
    assert deadlock.waits == (
        "node0 fork waits for put on channel1 (level 1 of 1 tokens)",
        "node1 filter waits for get on channel0 (level 0 of 2 tokens)",
        "node2 join waits for get on channel2 (level 0 of 4 tokens)",
    )


def test_a_loop_without_a_first_token_is_a_deadlock() -> None:
    outcome = run_graph(Graph((1,), (node("n", [(0, 1)], [(0, 1)], [5]),)))
    assert outcome.deadlock is not None
    assert outcome.times == {"n": NodeTimes()}


def test_a_node_that_feeds_itself_after_its_first_item_cannot_start() -> None:
    graph = Graph((2, 2), (node("a", [], [(0, 2)], [3, 3]), node("b", [(0, 1)], [], [1, 1, 1])))
    outcome = run_graph(graph)
    assert outcome.deadlock is None  # one token is left over, and nobody waits
    assert outcome.times["b"] == NodeTimes([3, 4, 6], [4, 5, 7], [4, 5, 7])


def test_lists_of_different_length_block_the_longer_producer() -> None:
    graph = Graph((1,), (node("a", [], [(0, 1)], [2] * 5), node("b", [(0, 1)], [], [0])))
    outcome = run_graph(graph)
    assert str(outcome.deadlock) == "deadlock at 6 ps: node0 a waits for put on channel0 (level 1 of 1 tokens)"
    assert outcome.times["a"] == NodeTimes([0, 2, 4], [2, 4, 6], [2, 4])


def test_compare_counts_missing_and_surplus_items() -> None:
    got = {"a": NodeTimes([0, 1], [1], [1])}
    expected = {"a": NodeTimes([0], [2], [1])}
    assert compare_times(got, expected) == (
        4,
        [Difference("a", "begin", 1, 1, None), Difference("a", "done", 0, 1, 2)],
    )


# A command keeps the names of its help option from its first call, and tests after this one call it within `h2learn`.
AS_A_PART: dict[str, Any] = {"help_option_names": ["-h", "--help"]}


def verify(*paths):
    return CliRunner().invoke(dataflow, [str(path) for path in paths], **AS_A_PART)


def test_command_on_the_recorded_runs() -> None:
    result = verify(RECORDED, RECORDED)
    assert result.exit_code == 0
    assert "20 of 20 cases equal, 15670 times compared, 0 differences" in result.output
    assert "chain_zero_service" in result.output


def small():
    """A case that is right: one node, two items."""
    nodes = [{"name": "a", "inputs": [], "outputs": [[0, 1]], "service": [2, 0.5]}]
    times = {"begin": [0, 2], "done": [2, 2.5], "sent": [2, 2.5]}
    return {
        "name": "small",
        "channels": [{"depth": 2}],
        "nodes": nodes,
        "expected": {"a": times},
        "deadlock": False,
    }


def written(tmp_path, *cases):
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"cases": list(cases)}), encoding="utf-8")
    return path


def test_command_finds_one_wrong_time(tmp_path) -> None:
    wrong = copy.deepcopy(small())
    wrong["expected"]["a"]["done"][1] = 2.501
    result = verify(written(tmp_path, small(), wrong))
    assert result.exit_code == 1
    assert "small: a.done[1] got 2.5 ns, expected 2.501 ns" in result.output
    assert "1 of 2 cases equal, 12 times compared, 1 differences" in result.output


def test_command_prints_json(tmp_path) -> None:
    wrong = copy.deepcopy(small())
    wrong["expected"]["a"]["done"][1] = 2.501
    result = verify(written(tmp_path, wrong), "--json")
    assert result.exit_code == 1
    (case,) = json.loads(result.output)
    assert (case["case"], case["compared"], case["good"], case["deadlock"]) == ("small", 6, False, None)
    assert case["differences"] == [{"node": "a", "moment": "done", "item": 1, "got_ps": 2500, "expected_ps": 2501}]


def test_command_finds_a_missing_time(tmp_path) -> None:
    wrong = copy.deepcopy(small())
    del wrong["expected"]["a"]["sent"][1]
    result = verify(written(tmp_path, wrong))
    assert result.exit_code == 1
    assert "small: a.sent[1] got 2.5 ns, expected nothing" in result.output


@pytest.mark.parametrize("recorded", [True, False])
def test_command_finds_a_wrong_deadlock_flag(tmp_path, recorded) -> None:
    case = copy.deepcopy(small())
    case["deadlock"] = recorded
    if not recorded:
        case["channels"][0]["depth"] = 1
        del case["expected"]["a"]["sent"][1]
    result = verify(written(tmp_path, case))
    assert result.exit_code == 1
    assert "0 of 1 cases equal, " in result.output
    assert ", 0 differences" in result.output
    assert ("no, expected yes" if recorded else "yes, expected no") in result.output
    assert recorded or "small: deadlock at 2500 ps: node0 a waits for put on channel0" in result.output


def edited(*path_and_value):
    """Return a case with one value replaced."""
    *path, last, value = path_and_value
    case = small()
    place = case
    for key in path:
        place = place[key]
    place[last] = value
    return case


def without(*path):
    case = small()
    place = case
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return case


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ([], "cases[0]: wrong type, got '[]', allowed: an object"),
        (without("nodes", 0, "name"), "cases[0].nodes[0]: missing field 'name', got 'inputs, outputs, service'"),
        (without("expected", "a"), "cases[0].expected: missing field 'a', got ''"),
        (without("expected", "a", "sent"), "cases[0].expected.a: missing field 'sent', got 'begin, done'"),
        (without("deadlock"), "cases[0]: missing field 'deadlock', got 'name, channels, nodes, expected'"),
        (edited("name", 3), "cases[0].name: wrong type, got '3', allowed: a string"),
        (edited("deadlock", 1), "cases[0].deadlock: wrong type, got '1', allowed: true or false"),
        (edited("channels", 0, "depth", 0), "cases[0].channels[0].depth: too small, got 0, allowed: at least 1 token"),
        (edited("channels", 0, "depth", 1.0), "cases[0].channels[0].depth: wrong type, got '1.0', allowed: integer"),
        (edited("channels", 0, "depth", True), "cases[0].channels[0].depth: wrong type, got 'true'"),
        (
            edited("nodes", 0, "outputs", [[1, 1]]),
            "cases[0].nodes[0].outputs[0][0]: unknown channel, got 1, allowed: b",
        ),
        (edited("nodes", 0, "inputs", [[-1, 1]]), "cases[0].nodes[0].inputs[0][0]: too small, got -1, allowed: at le"),
        (edited("nodes", 0, "inputs", [[0, 0]]), "cases[0].nodes[0].inputs[0][1]: too small, got 0, allowed: at least"),
        (edited("nodes", 0, "inputs", [[0]]), "cases[0].nodes[0].inputs[0]: wrong length, got 1, allowed: [channel, r"),
        (
            edited("nodes", 0, "service", [1, -1]),
            "cases[0].nodes[0].service[1]: bad time, got -1, allowed: ns, at leas",
        ),
        (edited("nodes", 0, "service", ["1"]), "cases[0].nodes[0].service[0]: wrong type, got '\"1\"', allowed: ns"),
        (edited("nodes", 0, "service", [1e-5]), "cases[0].nodes[0].service[0]: bad time, got 1e-05"),
        (edited("nodes", 0, "service", [float("nan")]), "cases[0].nodes[0].service[0]: bad time, got nan"),
        (edited("nodes", 0, "service", {"a": "b" * 99}), 'cases[0].nodes[0].service: wrong type, got \'{"a": "bbb'),
        (edited("expected", "b", {}), "cases[0].expected: unknown node, got 'b', allowed: a"),
        (edited("nodes", small()["nodes"] * 2), "cases[0].nodes[1].name: name is taken twice, got 'a'"),
    ],
)
def test_words_of_errors(tmp_path, case, words) -> None:
    path = written(tmp_path, case)
    result = verify(path)
    assert isinstance(result.exception, InputError)
    text = str(result.exception)
    assert text.removeprefix(f"{path}.").startswith(words)
    assert "\n" not in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "not JSON, got 'Expecting property name"),
        (b"\xff", "not JSON, got \"'utf-8' codec"),
        (b"[" * 100_000, "not JSON, got 'maximum recursion depth"),
        (b'{"cases": []}', "no cases, got 0, allowed: at least one case"),
        (b"[1]", "wrong type, got '[1]', allowed: an object"),
        (b"{}", "missing field 'cases', got ''"),
    ],
)
def test_words_of_errors_about_the_file(tmp_path, content, words) -> None:
    path = tmp_path / "cases.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_cases(path)
    assert str(caught.value).removeprefix(str(path)).removeprefix(".cases").removeprefix(": ").startswith(words)


def test_a_file_that_is_not_there(tmp_path) -> None:
    result = verify(tmp_path / "none.json")
    assert str(result.exception) == (
        f"{tmp_path}/none.json: cannot be read, got 'No such file or directory', allowed: a JSON file of dataflow cases"
    )
