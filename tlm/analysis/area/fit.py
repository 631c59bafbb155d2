"""Fits transistor counts of synthesised sizes, so that other sizes can be told: known parts plus linear features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Features = Mapping[str, float]


@dataclass(frozen=True)
class Sample:
    """One synthesised size: its count, what of it is known from parts counted by themselves, and its features."""

    label: str
    known: float
    features: Features
    count: float


@dataclass(frozen=True)
class Fit:
    """Coefficients by feature, and the largest relative error on a size that was left out of the fit."""

    coefficients: Features
    error: float

    def count(self, known: float, features: Features) -> float:
        """Return the count of a size, memories and all that its features name."""
        return known + sum(self.coefficients[name] * value for name, value in features.items())


def coefficients(samples: Sequence[Sample]) -> dict[str, float]:
    """Return the coefficients with the least sum of squared relative errors."""
    names = list(samples[0].features)
    rows = np.array([[sample.features[name] / sample.count for name in names] for sample in samples])
    rest = np.array([(sample.count - sample.known) / sample.count for sample in samples])
    found, *_ = np.linalg.lstsq(rows, rest, rcond=None)
    return dict(zip(names, map(float, found), strict=True))


def left_out_errors(samples: Sequence[Sample]) -> dict[str, float]:
    """Return, for each sample, the relative error of its count as told by a fit to all others.

    A sample without which a feature could not be told is passed over.
    """
    errors = {}
    for number, sample in enumerate(samples):
        others = [other for i, other in enumerate(samples) if i != number]
        matrix = np.array([list(other.features.values()) for other in others], float)
        if np.linalg.matrix_rank(matrix) < len(sample.features):
            continue
        told = Fit(coefficients(others), 0.0).count(sample.known, sample.features)
        errors[sample.label] = told / sample.count - 1
    return errors


def fit(samples: Sequence[Sample], held_out: Sequence[Sample] = ()) -> Fit:
    """Fit `samples`; the error is the worst of `left_out_errors` and of the sizes in `held_out`, which no fit uses."""
    found = Fit(coefficients(samples), 0.0)
    errors = [*left_out_errors(samples).values()]
    errors += [found.count(sample.known, sample.features) / sample.count - 1 for sample in held_out]
    return Fit(found.coefficients, max(map(abs, errors), default=0.0))
