"""What a capture gives: the step as PyTorch computed it, what its masks mean, and its trace."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from workloads.importers.torch.rounded import Written, write_rounded
from workloads.network import Network
from workloads.record import Arithmetic, StepRecord
from workloads.training_state import DEFAULT_SCALE_LOG2

DEFAULT_ARITHMETIC = Arithmetic()


@dataclass(frozen=True)
class CapturedLayer:
    """One layer with neurons: the module, its surrogate, and shares 0..1.

    `exact`: the surrogate's derivative is cut off (or never fades), and its zeros are the mask. Otherwise the mask
    takes derivatives of `mask_threshold` x the largest one and more, and `dropped_energy` is the share of the sum of
    squares of (surrogate derivative x gradient of the spike) that lies outside it.
    """

    name: str
    layer: int  # among the network's layers, from 0
    surrogate: str
    exact: bool
    mask_threshold: float | None
    dropped_energy: float
    firing_rate: float
    active_masks: float
    nonzero_gradients: float

    def __str__(self) -> str:
        masks = "exact masks"
        if not self.exact:
            masks = (
                f"mask from {self.mask_threshold:g} of the largest derivative, energy lost {self.dropped_energy:.2%}"
            )
        return (
            f"{self.name}: {self.surrogate}, {masks}; fires {self.firing_rate:.3f}, active {self.active_masks:.3f}, "
            f"gradients not zero {self.nonzero_gradients:.3f}"
        )


@dataclass(frozen=True)
class Capture:
    """A training step of a PyTorch model. `record` holds binary32 numbers as PyTorch had them, without a loss scale.

    `notes` say what the way into the machine's network changed; `written` is what `path` made of the step.
    """

    record: StepRecord
    notes: tuple[str, ...]
    layers: tuple[CapturedLayer, ...]
    written: Written | None = None

    @property
    def network(self) -> Network:
        """The network of the machine."""
        return self.record.network

    def write(
        self, path: str | Path, arithmetic: Arithmetic = DEFAULT_ARITHMETIC, scale_log2: int = DEFAULT_SCALE_LOG2
    ) -> Written:
        """Round the step into `arithmetic`'s formats, gradients under the loss scale, and write it as a trace.

        Gradients outside masks that are not exact are dropped. Raises InputError if the file cannot be written.
        """
        faded = frozenset(layer.layer for layer in self.layers if not layer.exact)
        return write_rounded(self.record, faded, path, arithmetic, scale_log2)

    def written_to(self, path: str | Path) -> Capture:
        """Return the capture with what `write` says of the trace at `path`."""
        return replace(self, written=self.write(path))

    def __str__(self) -> str:
        step = f"{self.network.timesteps} timesteps, loss {self.record.loss:.4f}"
        lines = [f"{self.network.name}: captured from {self.record.origin}, {step}"]
        lines += [f"  {layer}" for layer in self.layers]
        lines += [f"  note: {note}" for note in self.notes]
        if self.written is not None:
            lines.append(f"  {self.written}")
        return "\n".join(lines)
