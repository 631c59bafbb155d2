"""A model of an event camera: what it sees as frames, what it says as events.

Each pixel remembers the logarithmic brightness of its last event, and gives an ON (OFF) event whenever brightness has
risen (fallen) by the contrast threshold since: the ideal sensor of G. Gallego et al., "Event-based Vision: A Survey",
IEEE TPAMI 44(1), 2022, section 2.4. Frames must be close in time; between two of them brightness is taken to run
straight, as in ESIM (H. Rebecq et al., CoRL 2018), so that a large change gives several events. Brightness is linear
below 20 of 255 and logarithmic above, so that dark noise does not turn into events, and the threshold is 0.2 for both
polarities: the mapping and the defaults of v2e (Y. Hu et al., CVPR Workshops 2021). What real sensors add (noise, leak,
refractory time, thresholds that differ between pixels) is left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CONTRAST_THRESHOLD = 0.2  # v2e's pos_thres and neg_thres: a change of brightness by 22 %
LINEAR_BELOW = 20.0  # of 255; v2e's lin_log
BRIGHTNESS_UNITS = 1 << 16  # of brightness in 1: whole numbers, so that the last bit of a logarithm makes no event
_THRESHOLD = round(CONTRAST_THRESHOLD * BRIGHTNESS_UNITS)


def brightness(intensity: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the brightness of intensities 0..255, linear below 20 and logarithmic above, in units of 2^-16."""
    slope = np.log(LINEAR_BELOW) / LINEAR_BELOW
    level = np.where(intensity <= LINEAR_BELOW, intensity * slope, np.log(np.maximum(intensity, LINEAR_BELOW)))
    return np.asarray(np.rint(level * BRIGHTNESS_UNITS), np.int64)


def count_events(frames: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the events between consecutive frames [F, H, W] of intensity 0..255, [F - 1, H, W].

    Positive numbers count ON events, negative ones OFF events. The pixels' memories start at the first frame.
    """
    levels = brightness(frames)
    memory = levels[0].copy()
    counts = np.empty((len(levels) - 1, *memory.shape), np.int64)
    for number, level in enumerate(levels[1:]):
        change = level - memory
        counts[number] = np.sign(change) * (np.abs(change) // _THRESHOLD)
        memory += counts[number] * _THRESHOLD
    return counts
