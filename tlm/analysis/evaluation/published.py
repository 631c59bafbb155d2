"""What H2Learn's authors publish: shown beside our own figures, and never used for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SOURCE = "Liang et al., H2Learn, IEEE TCAD 2022 (arXiv 2107.11746), abstract: against an NVIDIA V100"


@dataclass(frozen=True)
class Published:
    """A published ratio over several data sets: from `low` to `high`."""

    low: float
    high: float

    def difference(self, found: float) -> float:
        """How far `found` is from the published range, as a share of its nearer end; 0 inside."""
        if found < self.low:
            return found / self.low - 1
        return max(0.0, found / self.high - 1)

    def to_dict(self) -> dict[str, Any]:
        """Both ends by name."""
        return {"low": self.low, "high": self.high}


PUBLISHED = {
    "speedup": Published(5.74, 10.20),
    "energy_ratio": Published(5.25, 7.12),
    "area_ratio": Published(7.38, 7.38),
}
