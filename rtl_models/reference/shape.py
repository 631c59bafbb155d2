"""The geometry a reference function needs of a layer, whoever describes it (workloads.network.Layer fits)."""

from __future__ import annotations

from typing import Protocol


class LayerShape(Protocol):
    """A convolution of C x H x W in, M x OH x OW out and an R x S kernel, zero padding on every side.

    Outputs are sums of `pool` x `pool` positions of the convolution's plane.
    """

    @property
    def in_height(self) -> int: ...
    @property
    def in_width(self) -> int: ...
    @property
    def in_channels(self) -> int: ...
    @property
    def conv_height(self) -> int: ...
    @property
    def conv_width(self) -> int: ...
    @property
    def out_height(self) -> int: ...
    @property
    def out_width(self) -> int: ...
    @property
    def out_channels(self) -> int: ...
    @property
    def kernel_height(self) -> int: ...
    @property
    def kernel_width(self) -> int: ...
    @property
    def stride(self) -> int: ...
    @property
    def padding(self) -> int: ...
    @property
    def pool(self) -> int: ...
    @property
    def fully_connected(self) -> bool: ...


def padded_groups(groups: int, lanes: int) -> int:
    """Groups after padding to whole tiles of `lanes` groups."""
    return -(-groups // lanes) * lanes


def forward_group_count(layer: LayerShape, k: int, lanes: int) -> int:
    """Groups of a receptive field: each tap's channels padded to a multiple of k, the groups to whole tiles."""
    return padded_groups(layer.kernel_height * layer.kernel_width * -(-layer.in_channels // k), lanes)


def plane_points(layer: LayerShape, k: int) -> int:
    """Points that the (y, x) plane of one timestep and sample takes: a multiple of k, but 1 if fully connected."""
    if layer.fully_connected:
        return 1
    return -(-layer.conv_height * layer.conv_width // k) * k


def update_group_count(layer: LayerShape, planes: int, k: int, lanes: int) -> int:
    """Groups of k points of `planes` planes (timesteps x samples of a micro-batch), padded to whole tiles."""
    return padded_groups(-(-planes * plane_points(layer, k) // k), lanes)
