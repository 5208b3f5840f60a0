"""Whether to verify, by what could go wrong with the decision; and what to run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models_registry.configuration import Configuration
from planner.answer import Candidate, VerificationPlan
from planner.arrays import Array
from planner.quality import Basis

MAX_CANDIDATES = 4
_MIN_GAIN = 0.0005


def plan_verification(
    configurations: Sequence[Configuration],
    draws: Array,
    basis: Sequence[Basis],
    chosen: int,
    *,
    probability_best: float,
    probability_within: dict[str, float],
    risk: float,
    runnable: frozenset[str],
) -> VerificationPlan:
    """Decides by the risk of the decision, not by the width of an interval.

    A run is called for when something else allowed could be better with more
    than the tolerated risk, when a budget or target could be missed with more
    than it, or when the choice lies outside of what was ever observed.

    Args:
        configurations: Candidates that hold every budget.
        draws: Joint draws of their errors, shape ``(draws, n)``.
        basis: What each prediction rests on.
        chosen: Row of the choice.
        probability_best: Of the choice.
        probability_within: Of each budget, for the choice.
        risk: Tolerated probability of a wrong decision.
        runnable: Models whose weights are at hand.
    """
    reasons = []
    if 1 - probability_best > risk:
        reasons.append(
            f"another configuration could be better: the choice is best with"
            f" {probability_best:.0%}, {1 - risk:.0%} is asked for"
        )
    for name, chance in probability_within.items():
        if 1 - chance > risk:
            reasons.append(f"{name} is held with {chance:.0%} only")
    if basis[chosen] == "extrapolated":
        reasons.append("the choice lies outside of what was observed")
    candidates = _ranked(configurations, draws, basis, chosen, runnable) if reasons else ()
    if reasons and not any(candidate.runnable for candidate in candidates):
        reasons.append("none of the candidates' weights are on this machine")
    if not reasons:
        reasons.append(
            f"the choice is best with {probability_best:.0%} and every budget is held"
            f" with at least {1 - risk:.0%}"
        )
        return VerificationPlan(needed=False, reasons=tuple(reasons), candidates=())
    return VerificationPlan(needed=True, reasons=tuple(reasons), candidates=candidates)


def _ranked(
    configurations: Sequence[Configuration],
    draws: Array,
    basis: Sequence[Basis],
    chosen: int,
    runnable: frozenset[str],
) -> tuple[Candidate, ...]:
    """The choice itself unless it was measured, and its rivals by expected gain.

    Knowing a rival's error is worth what it improves on the choice where it
    does; knowing the choice's, what leaving it for the best rival would save.
    """
    improvement = np.maximum(draws[:, [chosen]] - draws, 0.0).mean(axis=0)
    means = draws.mean(axis=0)
    rivals = [
        int(row)
        for row in np.argsort(-improvement, kind="stable")
        if row != chosen and improvement[row] > _MIN_GAIN and basis[row] != "measured"
    ]
    ranked = []
    if basis[chosen] != "measured":
        others = np.delete(means, chosen)
        best_other = float(others.min()) if len(others) else np.inf
        gain = float(np.maximum(draws[:, chosen] - best_other, 0.0).mean())
        ranked.append((chosen, gain, "whether the choice keeps what is predicted of it"))
    seen = {configurations[chosen].model} if ranked else set()
    # One rival a model first: neighbours on the lattice teach nearly the same.
    for row in rivals:
        model = configurations[row].model
        if model not in seen:
            seen.add(model)
            ranked.append((row, float(improvement[row]), "whether it beats the choice"))
    for row in rivals:
        if all(row != known for known, _, _ in ranked):
            ranked.append((row, float(improvement[row]), "whether it beats the choice"))
        if len(ranked) >= 2 * MAX_CANDIDATES:
            break
    ranked.sort(key=lambda item: configurations[item[0]].model not in runnable)
    return tuple(
        Candidate(
            configuration=configurations[row],
            runnable=configurations[row].model in runnable
            and configurations[row].adapter == "none",
            expected_gain=gain,
            why=why,
        )
        for row, gain, why in ranked[:MAX_CANDIDATES]
    )
