"""How full a part was over time: recorded only where somebody watches, at the moments at which it changed."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable
from typing import TypeVar

from tlm.kernel.environment import WholeTimeEnvironment

T = TypeVar("T")


class LevelRecord:
    """The levels of a part: `levels[i]` from `times_ps[i]` to `times_ps[i + 1]`, the last one to the end.

    What an instant ends with counts, not what it passes through, and neighbours differ.
    """

    __slots__ = ("_env", "levels", "times_ps")

    def __init__(self, env: WholeTimeEnvironment, level: int = 0) -> None:
        self._env = env
        self.times_ps = array("q", [env._now])
        self.levels = array("q", [level])

    def note(self, level: int) -> None:
        """The part has `level` now."""
        times_ps, levels, now_ps = self.times_ps, self.levels, self._env._now
        if times_ps[-1] != now_ps:
            if levels[-1] != level:
                times_ps.append(now_ps)
                levels.append(level)
        elif len(levels) > 1 and levels[-2] == level:
            times_ps.pop()
            levels.pop()
        else:
            levels[-1] = level


class RecordedItems(deque[T]):
    """The items of a channel, whose number is recorded."""

    def __init__(self, items: Iterable[T], record: LevelRecord) -> None:
        super().__init__(items)
        self._record = record

    def append(self, item: T) -> None:
        """Add an item behind the others."""
        super().append(item)
        self._record.note(len(self))

    def popleft(self) -> T:
        """Take the first item away."""
        item = super().popleft()
        self._record.note(len(self))
        return item
