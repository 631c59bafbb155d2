"""DRAM commands by number, and the record of a command in a log."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class DramCommand(IntEnum):
    """What a controller sends to a DRAM; LPDDR5's ACT is ACT1, the first of two."""

    ACT = 0
    PRE = 1
    RD = 2
    WR = 3
    REFPB = 4
    PREAB = 5
    REFAB = 6
    RDA = 7
    WRA = 8
    ACT2 = 9
    CAS = 10


COMMAND_RECORD = np.dtype(
    [
        ("tick", np.int64),
        ("command", np.int16),
        ("unit", np.int16),  # rank or pseudo-channel
        ("stack_id", np.int16),
        ("group", np.int16),  # -1 from here on for commands to a whole unit
        ("bank", np.int16),
        ("row", np.int64),  # -1 where a command names none, as in column commands' `column`
        ("column", np.int64),
        ("request", np.int64),  # number of the burst it serves, in the order of arrival; -1 for none
    ]
)
"""A record of a command log; `command` is a `DramCommand`."""
