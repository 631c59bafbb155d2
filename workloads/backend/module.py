"""A network as a module of PyTorch that computes in the machine's arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from rtl_models.errors import InputError
from workloads.backend.function import H2LearnFunction, stored_weights
from workloads.forward import forward_logits
from workloads.initialise import initial_weights
from workloads.network import Network, load_network
from workloads.record import Arithmetic, Floats
from workloads.training_settings import check_arithmetic, check_scale
from workloads.training_state import DEFAULT_SCALE_LOG2, state_of
from workloads.training_step import BackwardResult

_DEFAULT_ARITHMETIC = Arithmetic()


class H2LearnModule(torch.nn.Module):
    """A spiking network (a `Network`, a name or a file) whose parameters are the binary32 master weights by layer.

    `weights` [M, R, S, C] by layer are what it starts from; without them, those that `seed` draws. `scale_log2` is the
    loss scale q. Called with bytes [B, H, W, C] or spikes [T, B, H, W, C] it returns logits [B, classes] in binary64;
    in eval mode or under `torch.no_grad` the forward pass runs alone. Raises InputError for what does not fit.
    """

    def __init__(
        self,
        network: Network | str,
        arithmetic: Arithmetic = _DEFAULT_ARITHMETIC,
        seed: int = 0,
        weights: Sequence[ArrayLike] | None = None,
        scale_log2: int = DEFAULT_SCALE_LOG2,
    ) -> None:
        super().__init__()
        check_arithmetic(arithmetic)
        check_scale(scale_log2)
        self.network = load_network(network) if isinstance(network, str) else network
        self.arithmetic = arithmetic
        self.scale_log2 = scale_log2
        self.finite = True
        """Whether every stored value of the last backward pass was."""
        self.nonfinite: tuple[dict[str, int], ...] = ()
        """Stored values of the last backward pass that were not finite, by layer and tensor (docs/contract.md)."""
        self.subnormal: tuple[dict[str, int], ...] = ()
        """Those that were subnormal."""
        master = self._starting_weights(seed, weights)
        names = [layer.name for layer in self.network.layers]
        self.weights = torch.nn.ParameterDict(
            {name: torch.nn.Parameter(torch.from_numpy(w)) for name, w in zip(names, master, strict=True)}
        )

    @property
    def master(self) -> tuple[Floats, ...]:
        """Copies of the binary32 weights [M, R, S, C] by layer, as traces and `workloads.training_state` take them."""
        return tuple(weights.detach().numpy().copy() for weights in self._parameters_checked())

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits of a batch."""
        master = self._parameters_checked()
        if inputs.device.type != "cpu":
            raise InputError("the machine's arithmetic runs on the CPU", "inputs", str(inputs.device), "cpu")
        if self.training and torch.is_grad_enabled():
            logits: torch.Tensor = H2LearnFunction.apply(self, inputs, *master)
            return logits
        weights = stored_weights(master, self.arithmetic)
        return torch.from_numpy(forward_logits(self.network, self.arithmetic, weights, np.ascontiguousarray(inputs)))

    def observe(self, result: BackwardResult) -> None:
        """Keep what a backward pass counted."""
        self.finite = result.finite
        self.nonfinite, self.subnormal = zip(*result.counts, strict=True)

    def extra_repr(self) -> str:
        """Say what is behind the parameters."""
        value, total = self.arithmetic.value.name, self.arithmetic.sum.name
        return f"{self.network.name}, {value} values, {total} sums, loss scale 2^{self.scale_log2}"

    def get_extra_state(self) -> dict[str, int]:
        """What a state dict holds beside the weights."""
        return {"scale_log2": self.scale_log2}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Take up what `get_extra_state` gave."""
        self.scale_log2 = state["scale_log2"]

    def _starting_weights(self, seed: int, weights: Sequence[ArrayLike] | None) -> tuple[Floats, ...]:
        if weights is not None:
            given = tuple(np.array(array, np.float32) for array in weights)
            return state_of(self.network, self.arithmetic, given).master
        if self.network.normalise:
            what = "its starting weights are normalised by images: give weights (workloads.normalise)"
            raise InputError(what, f"{self.network.name}: normalise")
        return initial_weights(self.network, seed)

    def _parameters_checked(self) -> list[Any]:
        """The master weights by layer; raises InputError if they were moved to another device or type."""
        master = list(self.weights.values())
        for name, weights in self.weights.items():
            if weights.device.type != "cpu" or weights.dtype != torch.float32:
                got, allowed = f"{weights.dtype} on {weights.device}", "torch.float32 on cpu"
                raise InputError("master weights are binary32, on the CPU", f"weights of {name}", got, allowed)
        return master
