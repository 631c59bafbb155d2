"""Spikes, weights and gradients in the order the LUT engines take them: groups of k, tiles of G lanes.

Order of a receptive field, of positions and of points: docs/contract.md, "Receptive field" and "Weight update".
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtl_models.reference.shape import LayerShape, forward_group_count, plane_points, update_group_count
from rtl_models.reference.threads import run_parts, split
from rtl_models.reference.transpose import transpose_into

Floats = NDArray[np.float32]
Indices = NDArray[np.uint8]
Flags = NDArray[np.uint8]
_BLOCK_GROUPS = 64  # groups transposed at a time, one cache line of indices
_LEAST_BYTES = 1 << 16  # smaller jobs are not worth a second thread


def bit_plane(pixels: NDArray[np.uint8] | NDArray[np.int8], plane: int) -> Flags:
    """Return bit 7 - `plane` (plane 0 is the most significant) of bytes [B, H, W, C] as spikes [1, B, H, W, C]."""
    planes = (pixels.view(np.uint8) >> np.uint8(7 - plane)) & np.uint8(1)
    return np.ascontiguousarray(planes)[np.newaxis]


def forward_weights(layer: LayerShape, weights: Floats, k: int, lanes: int) -> Floats:
    """Return the padded groups [M, groups, k] of weights [M, R, S, C]; `groups` is a multiple of `lanes`."""
    return forward_operands(layer, weights, k, lanes).transpose(2, 0, 1)


def forward_operands(layer: LayerShape, weights: Floats, k: int, lanes: int) -> Floats:
    """Return the same groups as `forward_weights`, as [groups, k, M] in C order: what the table builder reads."""
    rows, taps, channels = layer.out_channels, layer.kernel_height * layer.kernel_width, layer.in_channels
    per_tap = -(-channels // k)
    operands = np.zeros((forward_group_count(layer, k, lanes) * k, rows), np.float32)
    fields = np.ascontiguousarray(weights).reshape(rows, taps, channels)
    if channels % k:
        fields = np.pad(fields, ((0, 0), (0, 0), (0, per_tap * k - channels)))
    transpose_into(fields.reshape(rows, -1), operands[: taps * per_tap * k])
    return operands.reshape(-1, k, rows)


def forward_indices(layer: LayerShape, spikes: Flags, k: int, lanes: int) -> Indices:
    """Return the table indices [positions, groups] of spikes [T, B, H, W, C].

    Positions are (t, b, y, x); bit j of an index is channel j of its group of k. With pooling the groups of
    `forward_operands` follow each other once for every position of the window, row by row.
    """
    planes = int(np.prod(spikes.shape[:2]))
    maps = np.ascontiguousarray(spikes).reshape(planes, *spikes.shape[2:])
    positions = layer.out_height * layer.out_width
    groups = layer.pool**2 * forward_group_count(layer, k, lanes)
    indices = np.zeros((planes * positions, groups), np.uint8)
    packed = np.zeros((*maps.shape[:3], -(-layer.in_channels // k)), np.uint8)
    geometry = _geometry(layer)
    run_parts(
        _gather_taps, split(planes, 1 + _LEAST_BYTES * planes // indices.size), maps, packed, indices, k, geometry
    )
    return indices


def update_operands(layer: LayerShape, gradients: Floats, k: int, lanes: int) -> Floats:
    """Return the same groups as `update_gradients`, as [groups, k, M] in C order: what the table builder reads."""
    timesteps, samples, rows = gradients.shape[0], gradients.shape[1], gradients.shape[-1]
    planes, positions, padded = timesteps * samples, layer.conv_height * layer.conv_width, plane_points(layer, k)
    operands = np.zeros((update_group_count(layer, planes, k, lanes) * k, rows), np.float32)
    points = operands[: planes * padded].reshape(timesteps, samples, padded, rows)
    if layer.pool > 1:
        gradients = gradients.repeat(layer.pool, axis=2).repeat(layer.pool, axis=3)
    points[:, :, :positions] = gradients[::-1].reshape(timesteps, samples, positions, rows)
    return operands.reshape(-1, k, rows)


def update_gradients(layer: LayerShape, gradients: Floats, k: int, lanes: int) -> Floats:
    """Return the padded point groups [M, groups, k] of one micro-batch's gradients [T, B, OH, OW, M].

    Points are (t descending, b, y, x) of the convolution's plane, a window's all with the gradient of their output;
    for a direct-coded layer pass d16 as [1, B, OH, OW, M].
    """
    return update_operands(layer, gradients, k, lanes).transpose(2, 0, 1)


def update_indices(layer: LayerShape, spikes: Flags, k: int, lanes: int) -> Indices:
    """Return the table indices [elements, groups] of one micro-batch's spikes [T, B, H, W, C].

    Elements are (r, s, c) without padding; bit j of an index is the spike that point j of the group meets there, 0
    outside the input; for a direct-coded layer pass one `bit_plane`.
    """
    timesteps, samples = spikes.shape[:2]
    maps = np.ascontiguousarray(spikes[::-1]).reshape(timesteps * samples, *spikes.shape[2:])
    groups = update_group_count(layer, timesteps * samples, k, lanes)
    taps = layer.kernel_height * layer.kernel_width
    indices = np.zeros((taps * layer.in_channels, groups), np.uint8)
    parts = split(taps, 1 + _LEAST_BYTES * taps // indices.size)
    run_parts(_pack_points, parts, maps, indices, k, plane_points(layer, k), _geometry(layer))
    return indices


def point_groups(layer: LayerShape, spikes: Flags, k: int, lanes: int) -> Indices:
    """Return what the weight update transposes of one micro-batch's spikes [T, B, H, W, C]: [points, channel groups].

    Points are those of `update_gradients`, channel groups are (r, s, c div k); bit i of an entry is the spike that the
    point meets in channel i of the group, 0 outside the input and beyond the channels.
    """
    timesteps, samples, _, _, channels = spikes.shape
    planes, padding, stride = timesteps * samples, layer.padding, layer.stride
    per_tap, padded = -(-channels // k), plane_points(layer, k)
    maps = np.ascontiguousarray(spikes[::-1]).reshape(planes, *spikes.shape[2:])
    maps = np.pad(maps, ((0, 0), (padding, padding), (padding, padding), (0, per_tap * k - channels)))
    packed = np.packbits(maps.reshape(*maps.shape[:3], per_tap, k), axis=4, bitorder="little")[..., 0]
    rows, columns = layer.conv_height, layer.conv_width
    groups = np.zeros(
        (update_group_count(layer, planes, k, lanes) * k, layer.kernel_height, layer.kernel_width, per_tap), np.uint8
    )
    points = groups[: planes * padded].reshape(planes, padded, *groups.shape[1:])
    for r in range(layer.kernel_height):
        for s in range(layer.kernel_width):
            met = packed[:, r : r + stride * (rows - 1) + 1 : stride, s : s + stride * (columns - 1) + 1 : stride]
            points[:, : rows * columns, r, s] = met.reshape(planes, rows * columns, per_tap)
    return groups.reshape(len(groups), -1)


def _geometry(layer: LayerShape) -> tuple[int, int, int, int, int, int, int]:
    """Return what the packing kernels need to know of a layer."""
    return (
        layer.conv_height,
        layer.conv_width,
        layer.kernel_height,
        layer.kernel_width,
        layer.stride,
        layer.padding,
        layer.pool,
    )


@njit(nogil=True, cache=True)
def _gather_taps(
    maps: Flags,
    packed: Indices,
    indices: Indices,
    k: int,
    geometry: tuple[int, int, int, int, int, int, int],
    start: int,
    stop: int,
) -> None:
    """Pack channels by k, then copy each position's taps, for planes start..stop."""
    height, width, channels = maps.shape[1:]
    per_tap = packed.shape[3]
    conv_height, conv_width, kernel_height, kernel_width, stride, padding, pool = geometry
    out_height, out_width, field = conv_height // pool, conv_width // pool, indices.shape[1] // (pool * pool)
    for n in range(start, stop):
        for y in range(height):
            for x in range(width):
                for c in range(channels):
                    packed[n, y, x, c // k] |= maps[n, y, x, c] << np.uint8(c % k)
        for oy in range(conv_height):
            for ox in range(conv_width):
                position = (n * out_height + oy // pool) * out_width + ox // pool
                offset = (oy % pool * pool + ox % pool) * field
                for r in range(kernel_height):
                    y = oy * stride + r - padding
                    for s in range(kernel_width):
                        x = ox * stride + s - padding
                        if 0 <= y < height and 0 <= x < width:
                            first = offset + (r * kernel_width + s) * per_tap
                            for g in range(per_tap):
                                indices[position, first + g] = packed[n, y, x, g]


@njit(nogil=True, cache=True)
def _pack_points(
    maps: Flags,
    indices: Indices,
    k: int,
    padded: int,
    geometry: tuple[int, int, int, int, int, int, int],
    start: int,
    stop: int,
) -> None:
    """Pack points by k for the elements of taps start..stop; `padded` points a plane."""
    planes, height, width, channels = maps.shape
    conv_height, conv_width, _, kernel_width, stride, padding, _ = geometry
    positions = conv_height * conv_width
    points = planes * padded
    block = np.empty((_BLOCK_GROUPS, channels), np.uint8)
    for tap in range(start, stop):
        r, s = tap // kernel_width, tap % kernel_width
        for first in range(0, indices.shape[1], _BLOCK_GROUPS):
            groups = min(_BLOCK_GROUPS, indices.shape[1] - first)
            for g in range(groups):
                for c in range(channels):
                    block[g, c] = np.uint8(0)
                for j in range(k):
                    point = (first + g) * k + j
                    position = point % padded
                    if point >= points or position >= positions:
                        continue
                    y = position // conv_width * stride + r - padding
                    x = position % conv_width * stride + s - padding
                    if 0 <= y < height and 0 <= x < width:
                        for c in range(channels):
                            block[g, c] |= maps[point // padded, y, x, c] << np.uint8(j)
            for c in range(channels):
                for g in range(groups):
                    indices[tap * channels + c, first + g] = block[g, c]
