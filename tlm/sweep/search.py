"""The search of a sweep: NSGA-II in rounds, seeded, so that the outcome does not depend on who simulates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tlm.sweep.spec import SearchSpec, Values

Simulate = Callable[[Sequence[Values]], Sequence[tuple[float, ...] | None]]
"""Returns the objectives of some points, None for one that failed."""


def run_rounds(search: SearchSpec, objectives: int, simulate: Simulate) -> None:
    """Ask for points in rounds of the population until there were as many as the search has.

    The next round comes from the points of all rounds before it that no other one beats (Deb, Pratap, Agarwal,
    Meyarivan 2002, IEEE Trans. Evol. Comput. 6(2)); a point may be asked for again.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.NSGAIISampler(population_size=search.population, seed=search.seed)
    study = optuna.create_study(directions=["minimize"] * objectives, sampler=sampler)
    space: dict[str, optuna.distributions.BaseDistribution] = {
        key: optuna.distributions.CategoricalDistribution(values) for key, values in search.space.items()
    }
    left = search.points
    while left:
        trials = [study.ask(space) for _ in range(min(left, search.population))]
        left -= len(trials)
        found = simulate([{key: trial.params[key] for key in space} for trial in trials])
        for trial, values in zip(trials, found, strict=True):
            if values is None:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, values)
