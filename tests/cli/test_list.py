"""`h2learn list`: names first, facts from the files themselves."""

from __future__ import annotations

import pytest

from tlm.cli.main import main
from workloads.network import list_networks, load_network


def test_networks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "networks"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == list_networks()
    conv = next(row for row in rows if row.startswith("digits-conv "))
    weights = sum(layer.weights_count for layer in load_network("digits-conv").layers)
    assert "8 x 8 x 1 direct input; conv 32 3x3, conv 64 3x3 stride 2, linear 128, linear 10; " in conv
    vgg = next(row for row in rows if row.startswith("cifar-vgg11 "))
    assert "; conv 64 3x3 pool 2, conv 128 3x3 pool 2, conv 256 3x3, " in vgg
    assert conv.endswith(f"6 timesteps, {weights:,} weights")


def test_presets(capsys: pytest.CaptureFixture[str]) -> None:
    from tlm.config import list_presets

    assert main(["list", "presets"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == list_presets()
    h2learn = next(row for row in rows if row.startswith("h2learn "))
    assert "clock 1000 ps; k 4, 16 lanes a row; forward 3 x 64 rows; " in h2learn
    assert "(provisional)" not in h2learn
