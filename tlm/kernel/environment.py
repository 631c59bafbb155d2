"""SimPy's event loop with whole picoseconds."""

from __future__ import annotations

from heapq import heappop
from typing import SupportsIndex

from simpy.core import Environment
from simpy.events import Timeout

from tlm.kernel.time import whole_ps


class WholeTimeEnvironment(Environment):
    """SimPy's environment with integer time only, and a loop that raises a failed event's own exception."""

    _now: int

    def timeout(self, delay: SupportsIndex = 0, value: object = None) -> Timeout:  # type: ignore[override]
        """Return an event `delay` picoseconds from now; TimeValueError if it is not a whole number."""
        return Timeout(self, whole_ps(delay, "timeout"), value)

    def drain(self, stop_ps: float) -> bool:
        """Handle all events before `stop_ps`; return whether none is left.

        The same as repeating SimPy's ``step``, without its call per event, and without rebuilding exceptions.
        """
        queue = self._queue
        while queue:
            if queue[0][0] >= stop_ps:
                return False
            self._now, _, _, event = heappop(queue)  # type: ignore[assignment]  # only whole times enter
            callbacks = event.callbacks
            event.callbacks = None  # type: ignore[assignment]  # SimPy's mark of a processed event
            for callback in callbacks:
                callback(event)
            if not event._ok and not event.defused:
                raise event._value
        return True
