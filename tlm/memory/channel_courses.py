"""Channels in the same situation share one state, and so run the same course once for all of them.

Interleaved addresses give most transactions to all channels in equal shares, and what channels alike are given alike
they serve in the same ticks. A transaction of unequal shares separates courses. They are united once they are alike
again (`tlm.memory.channel_alike`); what each channel has counted until then is booked to it beforehand.
"""

# mypy: disable-error-code=no-any-return
from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

from tlm.memory.bank_kernel import source_digest
from tlm.memory.bank_state import (
    BURST_FIELDS,
    FRONT,
    LAST_ACCEPTED,
    LAST_DATA,
    NEVER,
    OFFERED,
    READ_LATENCY_MAX,
    READ_LATENCY_MIN,
    ROW_HITS,
    WAITING_HEAD,
    WAITING_TAIL,
    Ints,
)
from tlm.memory.bank_timing import UNCOUNTED, helper, pointer
from tlm.memory.channel_alike import alike

_COUNTS = OFFERED - ROW_HITS
_MINIMUM, _MAXIMA = READ_LATENCY_MIN - ROW_HITS, [READ_LATENCY_MAX - ROW_HITS, LAST_ACCEPTED - ROW_HITS]


def no_counts(channels: int) -> Ints:
    """Return counts [channel, count] of nothing; the counts are those of a state from ROW_HITS to OFFERED."""
    counts = np.zeros((channels, _COUNTS), np.int64)
    counts[:, _MINIMUM] = NEVER
    return counts


def counted_fronts(states: Ints, course_of: Ints, booked: Ints) -> Ints:
    """Return the front of every channel's state [channel, FRONT], with the counts of all courses that it has run."""
    fronts = states[course_of, :FRONT]
    counts = fronts[:, ROW_HITS:OFFERED]
    now = counts.copy()
    counts += booked
    counts[:, _MINIMUM] = np.minimum(now, booked)[:, _MINIMUM]
    counts[:, _MAXIMA] = np.maximum(now, booked)[:, _MAXIMA]
    return fronts


@helper
def copy_course(states: Ints, waiting: Ints, course: int, to: int) -> None:
    """Copy a course's state, and the bursts that wait."""
    for i in range(states.shape[1]):
        states[to, i] = states[course, i]
    for i in range(states[course, WAITING_HEAD], states[course, WAITING_TAIL]):
        for field in range(BURST_FIELDS):  # a row at once would compile the words of an error, for 3 s
            waiting[to, i, field] = waiting[course, i, field]


@helper
def separate(states: Ints, waiting: Ints, course_of: Ints, shares: Ints, splits: Ints, courses: int) -> int:
    """Give channels of one course courses of their own where their `shares` [channel, (first, end)] differ.

    Returns how many courses there are; then splits[course] is (the course that it was a part of, one of its channels).
    """
    for course in range(courses):
        splits[course, 0], splits[course, 1] = course, -1
    for channel in range(len(course_of)):
        whole = course_of[channel]
        course = whole if splits[whole, 1] < 0 else _part(whole, channel, shares, splits, courses)
        if course == courses:
            copy_course(states, waiting, whole, course)
            splits[course, 0] = whole
            courses += 1
        course_of[channel], splits[course, 1] = course, channel
    return courses


@helper
def _part(whole: int, channel: int, shares: Ints, splits: Ints, courses: int) -> int:
    """Return the course among the parts of `whole` whose channels have the share of `channel`; else `courses`."""
    for course in range(courses):
        one = splits[course, 1]
        same = shares[one, 0] == shares[channel, 0] and shares[one, 1] == shares[channel, 1]
        if splits[course, 0] == whole and same:
            return course
    return courses


@helper
def _book(s: Ints, booked: Ints) -> None:
    """Add what a course has counted to one channel's counts."""
    for i in range(_COUNTS):
        if i + ROW_HITS == READ_LATENCY_MIN:
            booked[i] = min(booked[i], s[ROW_HITS + i])
        elif i + ROW_HITS == READ_LATENCY_MAX or i + ROW_HITS == LAST_ACCEPTED:
            booked[i] = max(booked[i], s[ROW_HITS + i])
        else:
            booked[i] += s[ROW_HITS + i]


@helper
def _count_anew(s: Ints) -> None:
    for i in range(ROW_HITS, OFFERED):
        s[i] = NEVER if i == READ_LATENCY_MIN else 0


@helper
def _first_alike(states: Ints, c: Ints, waiting: Ints, course: int) -> int:
    """Return the first course that is like `course`, which may be itself."""
    b, waiting_b = pointer(states[course]), pointer(waiting[course])
    for other in range(course):
        a, waiting_a = pointer(states[other]), pointer(waiting[other])
        if alike(a, b, pointer(c), states.shape[1], waiting_a, waiting_b):
            return other
    return course


def _compiled(sources: int) -> Callable[[Ints, Ints, Ints, Ints, Ints, int], int]:
    @njit(cache=True, **UNCOUNTED)
    def unite(states: Ints, c: Ints, waiting: Ints, course_of: Ints, booked: Ints, courses: int) -> int:
        """Unite the courses, of which there are `courses`, that are the same from now on; return how many are left."""
        course = 1 if sources else 0
        while course < courses:
            other = _first_alike(states, c, waiting, course)
            if other == course:
                course += 1
                continue
            courses -= 1
            for channel in range(len(course_of)):
                if course_of[channel] in (other, course):
                    _book(pointer(states[course_of[channel]]), pointer(booked[channel]))
                if course_of[channel] == course:
                    course_of[channel] = other
                elif course_of[channel] == courses:
                    course_of[channel] = course
            _count_anew(pointer(states[other]))
            states[other, LAST_DATA] = max(states[other, LAST_DATA], states[course, LAST_DATA])
            if course < courses:
                copy_course(states, waiting, courses, course)
        return courses

    return unite


unite = _compiled(source_digest("bank_state", "bank_timing", "channel_alike"))
