"""Whether to verify, by what could go wrong with the decision; and what to run."""

from __future__ import annotations

import numpy as np

from planner.answer import Candidate, VerificationPlan
from planner.evidence import Evidence
from planner.table import Table

MAX_CANDIDATES = 4
_MIN_GAIN = 0.0005
_RIVALS = 500
"""Rivals that are looked at, those that could be best."""

_RIVAL = "whether it beats the choice"


def plan_verification(
    table: Table,
    chosen: int,
    *,
    probability_best: float,
    probability_within: dict[str, float],
    evidence: Evidence,
) -> VerificationPlan:
    """Decides by the risk of the decision, not by the width of an interval.

    A run is called for when something else allowed could be better with more
    than the tolerated risk, when a budget or target could be missed with more
    than it, or when the choice lies outside of what was ever observed.

    Args:
        table: Every candidate; those that hold every budget are considered.
        chosen: Row of the choice.
        probability_best: Of the choice.
        probability_within: Of each budget, for the choice.
        evidence: What it is answered from.
    """
    risk = table.question.risk
    reasons = []
    if 1 - probability_best > risk:
        reasons.append(
            f"another configuration could be better: the choice is best with"
            f" {probability_best:.0%}, {1 - risk:.0%} is asked for"
        )
    for name, chance in probability_within.items():
        if 1 - chance > risk:
            reasons.append(f"{name} is held with {chance:.0%} only")
    if table.quality.basis_of(chosen) == "extrapolated":
        reasons.append("the choice lies outside of what was observed")
    candidates = _ranked(table, chosen, evidence) if reasons else ()
    if reasons and not any(candidate.runnable for candidate in candidates):
        reasons.append("none of the candidates' weights are on this machine")
    if not reasons:
        reasons.append(
            f"the choice is best with {probability_best:.0%} and every budget is held"
            f" with at least {1 - risk:.0%}"
        )
        return VerificationPlan(needed=False, reasons=tuple(reasons), candidates=())
    return VerificationPlan(needed=True, reasons=tuple(reasons), candidates=candidates)


def _ranked(table: Table, chosen: int, evidence: Evidence) -> tuple[Candidate, ...]:
    """The choice itself unless it was measured, and its rivals by expected gain.

    Knowing a rival's error is worth what it improves on the choice where it
    does; knowing the choice's, what leaving it for the best rival would save.
    """
    quality, cost = table.quality, table.costs.centre[table.cost_name]
    own = quality.draws_of(chosen)
    rival = np.zeros(len(quality.draws), dtype=bool)
    rival[quality.place[table.allowed]] = True
    rival[quality.place[chosen]] = False
    places = np.flatnonzero(rival & (table.landscape.luckiest < own.max()))
    if len(places) > _RIVALS:
        hopeful = table.landscape.optimistic[places]
        places = places[np.argpartition(hopeful, _RIVALS)[:_RIVALS]]
    draws = quality.draws[places]
    improvement = np.maximum(own - draws, 0.0).mean(axis=1)
    measured = quality.basis.mask("measured")
    rivals: list[tuple[int, float]] = []
    for index in np.argsort(-improvement, kind="stable").tolist():
        if improvement[index] <= _MIN_GAIN:
            break
        # Of rows that are predicted alike, the cheapest.
        alike = table.landscape.by_place[places[index]]
        alike = alike[table.allowed[alike]]
        row = int(alike[cost[alike].argmin()])
        if not measured[row]:
            rivals.append((row, float(improvement[index])))
    ranked = []
    if not measured[chosen]:
        best_other = float(draws.mean(axis=1).min()) if len(places) else np.inf
        gain = float(np.maximum(own - best_other, 0.0).mean())
        ranked.append((chosen, gain, "whether the choice keeps what is predicted of it"))
    models = table.lattice.labels["model"]
    seen = {models[chosen]} if ranked else set()
    # One rival a model first: neighbours on the lattice teach nearly the same.
    for row, gain in rivals:
        if models[row] not in seen:
            seen.add(models[row])
            ranked.append((row, gain, _RIVAL))
    for row, gain in rivals:
        if len(ranked) >= 2 * MAX_CANDIDATES:
            break
        if all(row != known for known, _, _ in ranked):
            ranked.append((row, gain, _RIVAL))
    candidates = [
        Candidate(
            configuration=table.lattice[row],
            runnable=evidence.can_run(table.lattice[row]),
            expected_gain=gain,
            why=why,
        )
        for row, gain, why in ranked
    ]
    candidates.sort(key=lambda candidate: not candidate.runnable)
    return tuple(candidates[:MAX_CANDIDATES])
