"""The machine's SGD as an optimiser of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from rtl_models.reference.optimiser import next_scale, sgd
from workloads.backend.module import H2LearnModule
from workloads.training_settings import check_rate

MOMENTUM = "momentum_buffer"  # the name in torch.optim.SGD's state


class H2LearnSGD(torch.optim.Optimizer):
    """SGD with momentum as the machine's optimiser unit takes it (docs/contract.md, "Optimiser").

    Every operation is one rounding to binary32. A step in which a gradient or a new stored weight is not finite leaves
    weights and momentum as they are (`skipped` is then true). With `dynamic_scale` the module's loss scale follows.
    Raises InputError for rates that cannot be used; learning rate schedulers may set "lr" later.
    """

    def __init__(
        self,
        module: H2LearnModule,
        lr: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        dynamic_scale: bool = False,
    ) -> None:
        for name, value in (("lr", lr), ("momentum", momentum), ("weight_decay", weight_decay)):
            check_rate(name, value)
        self._module = module
        self.skipped = False
        rates = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(module.parameters(), rates | {"dynamic_scale": dynamic_scale, "finite_steps": 0})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the weights that have a gradient; returns what `closure` returns, which computes the loss anew."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        (group,) = self.param_groups
        value = self._module.arithmetic.value
        rates = (np.float32(group["lr"]), np.float32(group["momentum"]), np.float32(group["weight_decay"]))
        updates = []
        self.skipped = False
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            buffer = self.state[parameter].get(MOMENTUM)
            momentum = np.zeros(parameter.shape, np.float32) if buffer is None else buffer.numpy()
            arrays = (parameter.numpy(), momentum, parameter.grad.numpy())
            master, velocity, stored = sgd(*arrays, rates, 0, value)  # 2^0: gradients are unscaled already
            self.skipped |= not (np.isfinite(stored).all() and torch.isfinite(parameter.grad).all())
            updates.append((parameter, master, velocity))
        if not self.skipped:
            for parameter, master, velocity in updates:
                parameter.copy_(torch.from_numpy(master))
                self.state[parameter][MOMENTUM] = torch.from_numpy(velocity)
        if group["dynamic_scale"] and updates:
            scale = next_scale(self._module.scale_log2, group["finite_steps"], self.skipped)
            self._module.scale_log2, group["finite_steps"] = scale
        return loss
