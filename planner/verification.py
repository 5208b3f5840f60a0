"""Whether to verify, by what could go wrong with the decision; and what to run."""

from __future__ import annotations

import numpy as np

from planner.answer import Candidate, VerificationPlan
from planner.arrays import Array, Index, Mask
from planner.evidence import Evidence
from planner.question import TIMED, CostName
from planner.table import Table
from planner.words import chance

MAX_CANDIDATES = 4
_LOOKED_AT = 2 * MAX_CANDIDATES
_MIN_GAIN = 0.0005
_MIN_SAVING = 0.005
_RIVALS = 500
"""Rivals that are looked at, those that could be best."""

_RIVAL = "whether it beats the choice"
_CHEAPER = "whether it reaches the target too"


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
    than it, or when the choice, or what it takes on this machine, lies outside of what was
    ever observed.

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
            f" {chance(probability_best)}, {chance(1 - risk)} is asked for"
        )
    for name, held in probability_within.items():
        if 1 - held > risk:
            reasons.append(f"{name} is held with {chance(held)} only")
    if table.quality.basis_of(chosen) == "extrapolated":
        reasons.append("the choice lies outside of what was observed")
    untimed = _untimed(table, chosen, evidence)
    if untimed:
        doubt = None if table.device is None else table.device.doubt
        why = doubt.reason if doubt else "no model of its size was timed here at its precision"
        reasons.append(f"{' and '.join(untimed)} may be off: {why}")
    candidates = _ranked(table, chosen, evidence, again=bool(untimed)) if reasons else ()
    if reasons and not candidates:
        reasons.append(
            "what could change it was measured already: only more recordings tell it apart"
        )
    if candidates and not any(candidate.runnable for candidate in candidates):
        reasons.append("none of the candidates' weights are on this machine")
    if not reasons:
        reasons.append(
            f"the choice is best with {chance(probability_best)} and every budget is held"
            f" with at least {chance(1 - risk)}"
        )
        return VerificationPlan(needed=False, reasons=tuple(reasons), candidates=())
    return VerificationPlan(needed=True, reasons=tuple(reasons), candidates=candidates)


def _untimed(table: Table, chosen: int, evidence: Evidence) -> list[CostName]:
    """Extrapolated costs of this machine that the answer rests on."""
    if evidence.here is None or table.question.device != evidence.here:
        return []
    decisive = dict.fromkeys([*table.bounds, table.cost_name])
    return [
        name
        for name in decisive
        if name in TIMED and table.costs.basis_of(name, chosen) == "extrapolated"
    ]


def _ranked(table: Table, chosen: int, evidence: Evidence, *, again: bool) -> tuple[Candidate, ...]:
    """The choice, unless it was measured and need not be again, and its rivals; by gain."""
    by_cost = table.question.target_error is not None
    own, mask, places, gains = (_cheaper if by_cost else _better)(table, chosen)
    question = _CHEAPER if by_cost else _RIVAL
    ranked = []
    if again or not table.quality.measured[chosen]:
        ranked.append((chosen, own, "whether the choice keeps what is predicted of it"))
    # One rival a model first: neighbours on the lattice teach nearly the same.
    models = table.lattice.labels["model"].codes
    codes, firsts = np.unique(models[table.landscape.row_at[places]], return_index=True)
    if ranked:
        firsts = firsts[codes != models[chosen]]
    rivals = dict.fromkeys([*np.sort(firsts).tolist(), *range(min(len(places), _LOOKED_AT))])
    ranked += [
        (_cheapest(table, mask, places[rival]), float(gains[rival]), question)
        for rival in list(rivals)[: max(len(firsts), _LOOKED_AT - len(ranked))]
    ]
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
    kept = candidates[:MAX_CANDIDATES]
    kept.sort(key=lambda candidate: (not candidate.runnable, -candidate.expected_gain))
    return tuple(kept)


_Rivals = tuple[float, Mask, Index, Array]
"""What knowing the choice is worth; rows that may be run; draws of theirs, the best first; and
what knowing each of these is worth."""


def _better(table: Table, chosen: int) -> _Rivals:
    """Rivals whose error may be smaller.

    Knowing a rival's error is worth what it improves on the choice where it
    does; knowing the choice's, what leaving it for the best rival would save.
    """
    quality, landscape = table.quality, table.landscape
    own = quality.draws_of(chosen)
    places = landscape.joint.below(table.allowed_places, float(own.max()))
    places = places[places != quality.place[chosen]]
    if len(places) > _RIVALS:
        hopeful = quality.lower[landscape.row_at[places]]
        places = places[np.argpartition(hopeful, _RIVALS)[:_RIVALS]]
    draws = quality.draws[places]
    improvement = np.maximum(own - draws, 0.0).mean(axis=1)
    best_other = float(draws.mean(axis=1).min(initial=np.inf))
    gain = float(np.maximum(own - best_other, 0.0).mean())
    return gain, table.allowed, *_worth_a_run(table, places, improvement, _MIN_GAIN)


def _cheaper(table: Table, chosen: int) -> _Rivals:
    """The same with a target: what it would save to know which cheaper rows reach it.

    A cheaper row is worth its saving where it reaches the target; the choice, the whole of
    its cost where it does not. Gains are shares of the choice's cost.
    """
    quality, target = table.quality, table.question.target_error
    assert target is not None
    places, shares, cheaper = table.reaching_at_less(chosen)
    saved = (quality.draws[places] <= target).mean(axis=1) * (1 - shares)
    if len(places) > _RIVALS:
        most = np.argpartition(-saved, _RIVALS)[:_RIVALS]
        places, saved = places[most], saved[most]
    missing = float((quality.draws_of(chosen) > target).mean())
    return missing, cheaper, *_worth_a_run(table, places, saved, _MIN_SAVING)


def _worth_a_run(table: Table, places: Index, gains: Array, least: float) -> tuple[Index, Array]:
    """Of draws those that gain enough and were not measured, and their gains, the most first."""
    unmeasured = ~table.quality.measured[table.landscape.row_at[places]]
    worth = np.flatnonzero((gains > least) & unmeasured)
    worth = worth[np.argsort(-gains[worth], kind="stable")]
    return places[worth], gains[worth]


def _cheapest(table: Table, mask: Mask, place: int) -> int:
    """Of the rows of a mask that share a draw, so are predicted alike, the cheapest."""
    alike = table.landscape.by_place[place]
    alike = alike[mask[alike]]
    return int(alike[table.costs.centre[table.cost_name][alike].argmin()])
