"""One layer of a spiking network: a convolution, its plane, what it takes and what takes it."""

from __future__ import annotations

from dataclasses import dataclass

INPUT = -1  # the layer number of the network's input
CONSTANT = -2  # that of a plane of one channel that fires everywhere, at every timestep: what a bias takes


@dataclass(frozen=True)
class Layer:
    """One layer as a convolution: C x H x W in, M x OH x OW out, R x S kernel; weights are [M, R, S, C].

    Each output is the sum of `pool` x `pool` neighbouring positions of the convolution's plane. `source` is the layer
    whose spikes it takes, `identity` one whose spikes are added to its sums as they are, `joins` the layer to whose
    sums a projection's belong; all three count a network's `layers` from 0.
    """

    name: str
    in_height: int
    in_width: int
    in_channels: int
    out_channels: int
    kernel_height: int
    kernel_width: int
    stride: int
    padding: int
    fully_connected: bool
    spiking: bool
    pool: int = 1
    source: int = INPUT
    identity: int | None = None
    joins: int | None = None

    @property
    def conv_height(self) -> int:
        """Rows of the convolution's plane."""
        return (self.in_height + 2 * self.padding - self.kernel_height) // self.stride + 1

    @property
    def conv_width(self) -> int:
        """Columns of the convolution's plane."""
        return (self.in_width + 2 * self.padding - self.kernel_width) // self.stride + 1

    @property
    def conv_positions(self) -> int:
        """Positions of the convolution's plane, of one timestep of one sample."""
        return self.conv_height * self.conv_width

    @property
    def out_height(self) -> int:
        """Rows of the output plane."""
        return self.conv_height // self.pool

    @property
    def out_width(self) -> int:
        """Columns of the output plane."""
        return self.conv_width // self.pool

    @property
    def out_positions(self) -> int:
        """Output positions (y, x) of one timestep of one sample."""
        return self.out_height * self.out_width

    @property
    def window(self) -> int:
        """Positions of the convolution's plane that one output sums."""
        return self.pool * self.pool

    @property
    def elements(self) -> int:
        """Elements R S C of one receptive field, without padding."""
        return self.kernel_height * self.kernel_width * self.in_channels

    @property
    def weights_shape(self) -> tuple[int, int, int, int]:
        """Shape [M, R, S, C] of the weights."""
        return (self.out_channels, self.kernel_height, self.kernel_width, self.in_channels)

    @property
    def weights_count(self) -> int:
        """Number of weights."""
        return self.out_channels * self.elements

    def groups(self, k: int) -> int:
        """Groups of k elements of a receptive field: the channels of each tap are padded to a multiple of k."""
        return self.kernel_height * self.kernel_width * -(-self.in_channels // k)

    def macs_per_timestep(self) -> int:
        """Dense multiply-accumulates of one timestep of one sample."""
        return self.conv_positions * self.weights_count
