"""Backward sums: what a layer's gradients add up to at its inputs (docs/contract.md, "Backward sum")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtl_models.formats import FloatFormat
from rtl_models.reference.rounding import Rounding, add_in_place, round_sum, rounding
from rtl_models.reference.shape import LayerShape
from rtl_models.reference.threads import run_parts, split
from rtl_models.reference.vectors import CHUNK, add_products

Floats = NDArray[np.float32]
_PIXELS = 32  # outputs worked on together, so that one tap's weights stay in the nearest caches
_LEAST_MACS = 1 << 19  # smaller jobs are not worth a second thread


@dataclass(frozen=True)
class Consumer:
    """Who takes a layer's spikes: a convolution `layer`, or with `identity` the layer to whose sums they are added.

    gradients: [..., OH, OW, M] of the sums that they go into; weights: [M, R, S, C] of the convolution, if needed.
    """

    layer: LayerShape
    gradients: Floats
    weights: Floats | None = None
    identity: bool = False


def consumer_sums(consumers: Sequence[Consumer], total: FloatFormat) -> Floats:
    """Return the sums [..., H, W, C] that run on over all that take a layer's spikes, a convolution first.

    Raises ValueError for a convolution without weights.
    """
    sums: Floats | None = None
    for consumer in consumers:
        if consumer.identity and sums is not None:
            add_in_place(sums.reshape(-1), np.ascontiguousarray(consumer.gradients).reshape(-1), rounding(total))
        elif consumer.weights is not None:
            sums = backward_sums(consumer.layer, consumer.gradients, consumer.weights, total, sums)
        else:
            raise ValueError("a convolution without weights, or no convolution first")
    if sums is None:
        raise ValueError("no consumer")
    return sums


def backward_sums(
    layer: LayerShape, gradients: Floats, weights: Floats, total: FloatFormat, before: Floats | None = None
) -> Floats:
    """Return the sums [..., H, W, C] of gradients [..., OH, OW, M] through weights [M, R, S, C].

    Every position of a pooling window has the gradient of its output. Each sum is sequential from +0, or from its value
    in `before`, over (r, s, m), m fastest; zero gradients are left out, which changes no bit as long as the weights are
    finite.
    """
    leading = gradients.shape[:-3]
    planes = int(np.prod(leading))
    by_tap = np.ascontiguousarray(weights.transpose(1, 2, 0, 3))
    maps = np.ascontiguousarray(gradients).reshape(planes, *gradients.shape[-3:])
    pixels = layer.in_height * layer.in_width
    channels = weights.shape[-1]
    sums = np.zeros((planes * pixels, channels), np.float32)
    if before is not None:
        sums[:] = before.reshape(sums.shape)
    macs = 1 + layer.conv_height * layer.conv_width * weights.size // pixels
    parts = split(planes * pixels, 1 + _LEAST_MACS // macs, _PIXELS)
    kernel = (layer.kernel_height, layer.kernel_width, layer.stride, layer.padding, layer.pool)
    shape = (layer.in_height, layer.in_width, channels, *kernel)
    run_parts(_backward, parts, maps, by_tap.reshape(-1), sums.reshape(-1), shape, rounding(total))
    return sums.reshape(*leading, layer.in_height, layer.in_width, channels)


@njit(nogil=True, cache=True)
def _backward(
    maps: Floats,
    weights: Floats,
    sums: Floats,
    shape: tuple[int, int, int, int, int, int, int, int],
    sum_format: Rounding,
    start: int,
    stop: int,
) -> None:
    """Go on with the flat sums of pixels start..stop, a block at a time, tap by tap."""
    height, width, channels, kernel_height, kernel_width, stride, padding, pool = shape
    out_height, out_width, rows = maps.shape[1], maps.shape[2], maps.shape[3]
    offsets = np.empty(rows, np.int64)
    factors = np.empty(rows, np.float32)
    whole = channels // CHUNK * CHUNK if sum_format.single else 0
    for block in range(start, stop, _PIXELS):
        block_stop = min(block + _PIXELS, stop)
        for r in range(kernel_height):
            for s in range(kernel_width):
                tap = (r * kernel_width + s) * rows
                for pixel in range(block, block_stop):
                    plane, position = pixel // (height * width), pixel % (height * width)
                    y, x = position // width + padding - r, position % width + padding - s
                    if y < 0 or x < 0 or y % stride or x % stride:
                        continue
                    y, x = y // stride // pool, x // stride // pool
                    if y < out_height and x < out_width:
                        count = _compress(maps[plane, y, x], tap, channels, offsets, factors)
                        at = pixel * channels
                        _add_chunks(sums, at, whole, weights, offsets, factors, count)
                        if whole < channels:
                            rest = (whole, channels - whole)
                            _add_rest(sums, at, rest, weights, offsets, factors, count, sum_format)


@njit(nogil=True, cache=True)
def _add_chunks(
    sums: Floats, at: int, width: int, weights: Floats, offsets: NDArray[np.int64], factors: Floats, count: int
) -> None:
    """Add all products to sums[at : at + width], a multiple of CHUNK."""
    for c in range(0, width, CHUNK):
        add_products(weights, offsets, factors, count, c, sums, at + c)


@njit(nogil=True, cache=True)
def _add_rest(
    sums: Floats,
    at: int,
    rest: tuple[int, int],
    weights: Floats,
    offsets: NDArray[np.int64],
    factors: Floats,
    count: int,
    sum_format: Rounding,
) -> None:
    """Add all products to the rest of a pixel's sums, given as its first channel and their number."""
    first, width = np.uint64(at + rest[0]), np.uint64(rest[1])
    for i in range(count):
        row = np.uint64(offsets[i] + rest[0])
        for c in range(width):
            product = round_sum(np.float32(factors[i] * weights[row + c]), sum_format)
            sums[first + c] = round_sum(np.float32(sums[first + c] + product), sum_format)


@njit(nogil=True, cache=True)
def _compress(gradient: Floats, tap: int, channels: int, offsets: NDArray[np.int64], factors: Floats) -> int:
    """Write the non-zero gradients to `factors` and where their weights start to `offsets`; return their number."""
    count = 0
    for m in range(gradient.size):
        offsets[count] = (tap + m) * channels
        factors[count] = gradient[m]
        count += gradient[m] != 0
    return count
