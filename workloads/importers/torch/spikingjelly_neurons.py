"""Neurons of SpikingJelly: `IFNode`, `LIFNode` and `ParametricLIFNode`, hard and soft reset."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from rtl_models.errors import InputError
from workloads.importers.chain import SUBTRACT, ZERO, Neurons
from workloads.importers.torch.neurons import NeuronRule, one_value, refuse

_KINDS = ("IFNode", "LIFNode", "ParametricLIFNode")


def spikingjelly_rule(name: str, module: nn.Module) -> NeuronRule:
    """Return what a SpikingJelly neuron does; raises InputError for other kinds, and for what they may not do.

    They fire at the threshold and above. Source: spikingjelly/_ops/{if_,lif,plif}/reference.py, 2.0.0.
    """
    kind = type(module).__name__
    if kind not in _KINDS or not type(module).__module__.startswith("spikingjelly."):
        raise InputError("the machine has no such neurons", name, kind, ", ".join(_KINDS))
    if module.v_reset not in (None, 0.0):
        raise refuse(name, "v_reset", module.v_reset, "0.0, None")
    if not getattr(module.surrogate_function, "spiking", True):
        raise refuse(name, "spiking of the surrogate function", False, "True")
    leak, charge = _charge(name, module, kind)
    decays_input = kind != "IFNode" and module.decay_input
    threshold = one_value(module.v_threshold, name, "v_threshold")
    soft = module.v_reset is None
    constants = Neurons(
        name,
        alpha=1.0 - leak,
        threshold=threshold,
        gain=leak if decays_input else 1.0,
        reset=SUBTRACT if soft else ZERO,
        reset_gradient=not module.detach_reset,
        fires_at_threshold=True,
    )

    def potential(x: Tensor, u: Tensor | None, s: Tensor | None) -> Tensor:
        if u is None or s is None:
            return charge(x, x.new_zeros(()))
        return charge(x, u - s * threshold if soft else (1.0 - s) * u)

    return NeuronRule("spikingjelly", constants, module.step_mode == "m", potential, module.surrogate_function)


def _charge(name: str, module: nn.Module, kind: str) -> tuple[float, Callable[[Tensor, Tensor], Tensor]]:
    """Return the share that leaks in a timestep, and the potential that x and what is left of the last one make."""
    if kind == "IFNode":
        return 0.0, lambda x, v: v + x
    if kind == "LIFNode":
        tau = one_value(module.tau, name, "tau")
        if module.decay_input:
            return 1.0 / tau, lambda x, v: v + (x - v) / tau
        return 1.0 / tau, lambda x, v: v - v / tau + x
    share = module.w.detach().sigmoid()
    if module.decay_input:
        return one_value(share, name, "w"), lambda x, v: v + (x - v) * share
    return one_value(share, name, "w"), lambda x, v: v - v * share + x
