"""A trace seen as a step of its first images, so that one trace gives steps of several sizes."""

from __future__ import annotations

import copy

from rtl_models.errors import InputError
from workloads.trace_file import Trace


def first_images(trace: Trace, images: int) -> Trace:
    """Return `trace` as a step of its first `images` images; both share the open file.

    Weights and the loss gradient stay those of the whole step, which no cycle depends on. Raises InputError for more
    images than there are.
    """
    if not 1 <= images <= trace.batch:
        raise InputError("the trace has not so many images", "images", images, f"1..{trace.batch}")
    view = copy.copy(trace)
    view.batch = images
    return view
