"""Neurons of snnTorch: `Leaky`, with its resets by subtraction and to zero."""

from __future__ import annotations

from torch import Tensor, nn

from rtl_models.errors import InputError
from workloads.importers.chain import SUBTRACT, ZERO, Neurons
from workloads.importers.torch.neurons import NeuronRule, one_value, refuse


def snntorch_rule(name: str, module: nn.Module) -> NeuronRule:
    """Return what a snnTorch neuron does; raises InputError for other kinds than Leaky, and for what it may not do.

    The reset is decided from the potential of the timestep before, without a gradient; with ``reset_delay=False`` from
    the spike itself, with one. Source: snntorch/_neurons/leaky.py, 1.0.0.
    """
    kind = type(module).__name__
    if kind != "Leaky" or not type(module).__module__.startswith("snntorch."):
        raise InputError("the machine has no such neurons", name, kind, "snntorch.Leaky")
    _check_settings(name, module)
    beta = min(1.0, max(0.0, one_value(module.beta, name, "beta")))  # clipped in its forward pass
    threshold = one_value(module.threshold, name, "threshold")
    subtract = module.reset_mechanism == "subtract"
    if subtract and beta == 0.0:
        raise InputError("a reset by subtraction needs a potential that is kept", f"{name}: beta", beta, "above 0")
    constants = Neurons(
        name,
        alpha=beta,
        threshold=threshold,
        reset=SUBTRACT if subtract else ZERO,
        reset_by=threshold / beta if subtract else None,
        reset_gradient=not module.reset_delay,
    )
    decay, step = module.beta.detach().clamp(0, 1), module.threshold.detach()

    def potential(x: Tensor, u: Tensor | None, s: Tensor | None) -> Tensor:
        if u is None or s is None:
            return x.clone()
        return decay * u + x - s * step if subtract else decay * ((1 - s) * u) + x

    return NeuronRule("snntorch", constants, False, potential, module.spike_grad)


def _check_settings(name: str, module: nn.Module) -> None:
    """Raise InputError for a setting of Leaky that the machine does not have."""
    if module.reset_mechanism == "none":
        raise refuse(name, "reset_mechanism", "none", "subtract, zero")
    if module.reset_mechanism == "subtract" and not module.reset_delay:
        raise refuse(name, "reset_delay with reset_mechanism='subtract'", False, "True")
    if module.inhibition:
        raise refuse(name, "inhibition", True, "False")
    if module.state_quant:
        raise refuse(name, "state_quant", module.state_quant, "False")
    if one_value(module.graded_spikes_factor, name, "graded_spikes_factor") != 1.0:
        raise refuse(name, "graded_spikes_factor", float(module.graded_spikes_factor), "1")
    if module.surrogate_disable:
        raise refuse(name, "surrogate_disable", True, "False")
