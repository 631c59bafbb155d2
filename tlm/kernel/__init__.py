"""A SystemC-style simulation core on SimPy; it knows nothing of what is modelled with it.

The transaction recorder needs pyarrow and is imported from `tlm.kernel.recorder` on its own.
"""

from tlm.kernel.account import FINISHED, IDLE, Account, EngineAccount, Interval, State
from tlm.kernel.byte_channel import ByteChannel, Lease
from tlm.kernel.channel import TokenChannel
from tlm.kernel.errors import (
    AddressMapError,
    CapacityError,
    Deadlock,
    ElaborationError,
    KernelError,
    LevelError,
    ProcessError,
    ProtocolError,
    TimeLimitExceeded,
    TimeValueError,
    TransportError,
)
from tlm.kernel.level import LevelRecord
from tlm.kernel.module import Component, Module, Parent
from tlm.kernel.process import Process, Steps
from tlm.kernel.simulation import Simulation
from tlm.kernel.synchronize import Rendezvous, Watermark
from tlm.kernel.time import Clock, to_ps

__all__ = [
    "FINISHED",
    "IDLE",
    "Account",
    "AddressMapError",
    "ByteChannel",
    "CapacityError",
    "Clock",
    "Component",
    "Deadlock",
    "ElaborationError",
    "EngineAccount",
    "Interval",
    "KernelError",
    "Lease",
    "LevelError",
    "LevelRecord",
    "Module",
    "Parent",
    "Process",
    "ProcessError",
    "ProtocolError",
    "Rendezvous",
    "Simulation",
    "State",
    "Steps",
    "TimeLimitExceeded",
    "TimeValueError",
    "TokenChannel",
    "TransportError",
    "Watermark",
    "to_ps",
]
