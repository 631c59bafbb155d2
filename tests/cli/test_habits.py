"""Habits of every command, now and later: help that teaches, JSON beside tables, completion, one line for a mistake."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator

import click
import pytest
from click.shell_completion import ShellComplete

from tests.docs.test_commands import mistakes
from tlm.cli import completion, main
from tlm.cli.main import h2learn

EXPORTS = {"export tensors", "export sparsity", "export scale-sim", "export sata-sim"}
PRINT_NO_TABLE = {"completion", "dram record", "report", *EXPORTS}
"""Commands that write a file or a script, and say no more than where it is."""


def commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, by the words behind `h2learn`."""
    with click.Context(group) as ctx:
        for name in group.list_commands(ctx):
            command = group.get_command(ctx, name)
            assert command is not None
            words = f"{path} {name}".strip()
            if isinstance(command, click.Group):
                yield from commands(command, words)
            else:
                yield words, command


COMMANDS = dict(commands(h2learn))
every_command = pytest.mark.parametrize("words", COMMANDS)


def options(command: click.Command) -> list[click.Option]:
    return [parameter for parameter in command.params if isinstance(parameter, click.Option)]


def help_of(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main.main([*words.split(), "--help"]) == 0
    return capsys.readouterr().out


class TestHelp:
    @every_command
    def test_examples_parse(self, words: str, capsys: pytest.CaptureFixture[str]) -> None:
        lines = re.findall(r"^ +(?:eval \"\$\()?(h2learn [^)\n]*)", help_of(words, capsys), re.MULTILINE)
        own = [line for line in lines if f"{line} ".startswith(f"h2learn {words} ")]
        assert own, "say epilog=examples('h2learn ...') (tlm.cli.examples) in the command's decorator"
        assert [(line, mistake) for line in lines for mistake in mistakes(line)] == []

    @every_command
    def test_every_option_is_explained(self, words: str) -> None:
        assert [option.opts[0] for option in options(COMMANDS[words]) if not option.help] == []

    @every_command
    def test_every_argument_has_a_readable_name(self, words: str, capsys: pytest.CaptureFixture[str]) -> None:
        usage = help_of(words, capsys).partition("\n")[0]
        arguments = [p for p in COMMANDS[words].params if isinstance(p, click.Argument)]
        assert [p.name for p in arguments if not p.metavar and not isinstance(p.type, click.Choice)] == [], usage


@every_command
def test_what_prints_a_table_prints_json_too(words: str) -> None:
    flags = [option for option in options(COMMANDS[words]) if "--json" in option.opts]
    assert bool(flags) != (words in PRINT_NO_TABLE)
    assert all(option.is_flag for option in flags)


def test_lists_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    for words, first in (("list networks", "cifar-cnn"), ("list presets", "edge"), ("dram standards", "DDR4")):
        assert main.main([*words.split(), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["name"] == first
    assert main.main(["dram", "standards", "DDR4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["family"] == "DDR4"


class TestCompletion:
    @every_command
    def test_names_and_keys_complete(self, words: str) -> None:
        """What names a network, a preset or a key is completed by those that there are."""
        expected = {"network": "digits-conv", "target": "digits-conv", "--config": "edge", "--set": "dram.channels="}
        command = COMMANDS[words]
        with click.Context(command) as ctx:
            for parameter in command.params:
                name = expected.get(parameter.opts[0])
                if name is not None and words != "dram replay":  # its --set has keys of another kind
                    found = [item.value for item in parameter.shell_complete(ctx, name[:-2])]
                    assert name in found, parameter.opts

    @pytest.mark.parametrize(
        ("line", "found"),
        [
            ("h2learn tra", ["train", "trace"]),
            ("h2learn run digits-c", ["digits-conv"]),
            ("h2learn run --config ti", ["tiny"]),
            ("h2learn run --set backward_engine.un", ["backward_engine.units="]),
            ("h2learn run --set buffer_ports.spikes.por", ["buffer_ports.spikes.ports="]),
            ("h2learn gpu --device A1", ["A100"]),
            ("h2learn dram replay --standard LPDDR5-", ["LPDDR5-6400"]),
            ("h2learn dram replay --controller rowhit_m", ["rowhit_mop"]),
            ("h2learn completion f", ["fish"]),
        ],
    )
    def test_a_shell_s_question(
        self, line: str, found: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = shlex.split(line)
        monkeypatch.setenv(completion.VARIABLE, "bash_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        assert main.main([]) == 0
        assert capsys.readouterr().out.split() == [f"plain,{value}" for value in found]

    def test_a_path_where_no_name_fits(self) -> None:
        item = completion.complete_networks(click.Context(h2learn), click.Argument(["network"]), "./mine")[0]
        assert (item.value, item.type) == ("./mine", "file")

    @pytest.mark.parametrize("shell", completion.SHELLS)
    def test_the_script_is_the_same_both_ways(
        self, shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main.main(["completion", shell]) == 0
        script = capsys.readouterr().out
        assert f"{completion.VARIABLE}={shell}_complete" in script
        monkeypatch.setenv(completion.VARIABLE, f"{shell}_source")
        assert main.main([]) == 0
        assert capsys.readouterr().out.strip() == script.strip()

    def test_bash_takes_the_script_and_waits_for_a_value(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main.main(["completion", "bash"]) == 0
        script = capsys.readouterr().out
        assert "*= ]] && compopt -o nospace" in script
        subprocess.run(["bash", "-n"], input=script, text=True, check=True, timeout=120)

    @pytest.mark.parametrize("instruction", ["tcsh_source", "bash_sing", "bash"])
    def test_an_unknown_question(self, instruction: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(completion.VARIABLE, instruction)
        assert main.main([]) == 1

    def test_every_shell_of_click_s_base_is_ours_to_name(self) -> None:
        assert all(issubclass(shell, ShellComplete) for shell in completion.SHELLS.values())
