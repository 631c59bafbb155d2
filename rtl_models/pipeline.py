"""What all element-wise units share: constants that are loaded, elements that stream through, one frozen pipeline.

Such a unit computes its result in front of `latency` registers (a synthesiser moves the registers into the logic) and
takes an element a cycle. While a result waits for its sink the whole pipeline stands still.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from myhdl import Signal, always, always_comb, block, modbv

from rtl_models.arithmetic.pipeline import delay_line
from rtl_models.errors import InputError
from rtl_models.formats import BINARY16, BINARY32, FloatFormat
from rtl_models.units import Field, Stream, Unit

LONGEST_LATENCY_CYCLES = 64
RENEW = Field("renew", 1)  # last field of every element
CONSTANT_BITS = (BINARY32.exponent_bits, BINARY32.fraction_bits)  # constants are binary32


@dataclass(frozen=True)
class PipelineGeometry:
    """Formats and latency of an element-wise unit; the formats change its bits, the latency only its cycles.

    Raises InputError for a value outside its range.
    """

    value_format: FloatFormat = BINARY16
    sum_format: FloatFormat = BINARY32
    latency_cycles: int = 1
    """Cycles from an element's transfer to its result being valid; `latency_cycles` of tlm's configuration."""
    any_reset: bool = False
    """Whether a neuron or a gradient unit can reset by subtraction and leave the reset without a gradient."""

    def __post_init__(self) -> None:
        if not self.sum_format.holds(self.value_format):
            raise InputError(
                f"sum format cannot hold {self.value_format.name}",
                "pipelined unit",
                self.sum_format.name,
                "a format at least as wide",
            )
        if not 1 <= self.latency_cycles <= LONGEST_LATENCY_CYCLES:
            raise InputError("latency_cycles", "pipelined unit", self.latency_cycles, f"1..{LONGEST_LATENCY_CYCLES}")

    @property
    def reset_parameters(self) -> dict[str, int]:
        """The choice of resets as a parameter of a block, where there is one."""
        return {"any_reset": 1} if self.any_reset else {}

    @property
    def value_parameters(self) -> dict[str, int]:
        """The value format as parameters of a block."""
        fmt = self.value_format
        return {"value_exponent_bits": fmt.exponent_bits, "value_fraction_bits": fmt.fraction_bits}

    @property
    def sum_parameters(self) -> dict[str, int]:
        """The sum format as parameters of a block."""
        return {"sum_exponent_bits": self.sum_format.exponent_bits, "sum_fraction_bits": self.sum_format.fraction_bits}


def pipelined_unit(
    name: str,
    unit_block: Callable[..., Any],
    formats: dict[str, int],
    latency_cycles: int,
    constants: tuple[str, ...],
    element: tuple[Field, ...],
    out: tuple[Field, ...],
    flags: tuple[str, ...] = (),
) -> Unit:
    """Return an element-wise unit with the streams constants, element (in) and out.

    constants: binary32, and 1-bit `flags`; one beat before the first element, and one more after every element with the
    flag `renew`; it is taken once all results have left. element: the fields given and `renew`. out: one beat per
    element, in order.
    The block takes `formats` and ``latency`` as parameters.
    """
    return Unit(
        name=name,
        block=unit_block,
        parameters={**formats, "latency": latency_cycles},
        inputs=(
            Stream(
                "constants",
                (*(Field(c, BINARY32.width_bits) for c in constants), *(Field(flag, 1) for flag in flags)),
            ),
            Stream("element", (*element, RENEW)),
        ),
        outputs=(Stream("out", out),),
    )


@block
def pipeline_control(
    clk: Any,
    rst: Any,
    constants_valid: Any,
    constants_ready: Any,
    element_valid: Any,
    element_ready: Any,
    element_renew: Any,
    out_valid: Any,
    out_ready: Any,
    load: Any,
    enable: Any,
    latency: int,
) -> Any:
    """Run the handshakes of an element-wise unit.

    load: the constants are taken at the end of this cycle. enable: the `latency` registers behind the computation move
    at the end of this cycle; the first one then takes the result of the element at the ports.
    """
    loaded, accept, idle, moving = (Signal(bool(0)) for _ in range(4))
    valid = [Signal(bool(0)) for _ in range(latency)]
    LAST = latency - 1

    @always_comb
    def look() -> None:
        busy = modbv(0)[1:]
        for i in range(latency):
            if valid[i]:
                busy[:] = 1
        idle.next = busy == 0 and not loaded
        moving.next = out_ready or not valid[LAST]

    @always_comb
    def handshake() -> None:
        accept.next = loaded and moving
        element_ready.next = loaded and moving
        constants_ready.next = idle
        load.next = idle and constants_valid
        enable.next = moving
        out_valid.next = valid[LAST]

    @always(clk.posedge)
    def advance() -> None:
        if rst:
            loaded.next = 0
            for i in range(latency):
                valid[i].next = 0
        else:
            if idle and constants_valid:
                loaded.next = 1
            elif accept and element_valid and element_renew:
                loaded.next = 0
            if moving:
                valid[0].next = accept and element_valid
                for i in range(1, latency):
                    valid[i].next = valid[i - 1]

    return look, handshake, advance


@block
def constant_registers(clk: Any, load: Any, ports: list[Any], held: list[Any]) -> Any:
    """Let each of `held` take its port at the end of the cycles with `load`."""
    return [delay_line(clk, load, port, register, 1) for port, register in zip(ports, held, strict=True)]


def registers_for(ports: list[Any]) -> list[Any]:
    """Return a fresh signal as wide as each of `ports`."""
    return [Signal(modbv(0)[len(port) :]) for port in ports]
