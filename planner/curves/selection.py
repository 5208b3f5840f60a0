"""Which forms describe the data: those that predict what they have not seen.

From the additive and the multiplicative form the search goes on to whatever neighbour
predicts held-out rows better by more than chance: another shape along one axis, an
interaction of two, or offsets of a group that are held tight, for which doing as well is
enough. Held out is a tenth of the configurations at random in turn, and the
far end of each axis, since curves are asked about what lies beyond. The form that the search ends
at has half of the weight; the other half goes by stacking to it, the plain forms and the best that
were tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from planner.arrays import Array, Index, Mask
from planner.curves.data import Observed
from planner.curves.form import Form, Term
from planner.curves.refits import (
    TIGHT,
    Fitted,
    best_fit,
    drawn_starts,
    held_out,
    prior_of,
    weights_of,
)
from planner.curves.shapes import BROKEN, POWER, SATURATING, SIGNED, U_SHAPE, Shape
from planner.curves.solver import objective, solve

FORMS = ("additive", "multiplicative", "interaction", "saturating", "broken", "u-shape")
"""What a fit chooses from."""

_SHAPES = {"saturating": SATURATING, "broken": BROKEN, "u-shape": U_SHAPE}

MOST_ROWS = 400
"""That forms are told apart by: so many, drawn at random, where there are more."""

_LEAST_ROWS = 6
"""Below it only the plain forms are averaged, and no others searched for."""

_AVERAGED = 3
"""Of the best forms, beside the plain ones."""

_PRIOR_ROWS = 1.0
"""Rows that a prior of equal weights counts for."""

_ITERATIONS = 200

_LEAST_VALUES = {"saturating": 4, "broken": 6, "u-shape": 4}
"""Distinct values that an axis must have for a shape to be told from a power law."""

_LEAST_FAR = 3
"""Distinct values that an axis must have for its far end to be held out."""

_OUTERMOST = 2
"""Values at most that a far end has when it is asked how far a form goes wrong there."""

_LEVELS = 6
"""Of an axis, at most, when two are held against each other."""

_FOLDS = 10
_ROUNDS = 8
_FEW = 20
_ROUGH = 1e-3
"""Iterations, and a tolerance, after which a neighbour has shown whether it fits better."""

_FREEDOM = 5.0
"""Of the t distribution that scores are taken under: one outlier does not decide."""


@dataclass(frozen=True)
class Candidate:
    """A form that was tried.

    Attributes:
        name: What it is called.
        fitted: Its best fit.
        scores: Log predictive density of each held-out row, the mean over its folds.
    """

    name: str
    fitted: Fitted
    scores: Array

    @property
    def score(self) -> float:
        """Mean log predictive density of held-out rows; higher is better."""
        return float(self.scores.mean())


@dataclass(frozen=True)
class Selection:
    """What the search came to.

    Attributes:
        chosen: Forms to average, the heaviest first.
        weights: Of each of them; they sum to 1.
        tried: Every form whose predictions were scored, the best first.
    """

    chosen: tuple[Candidate, ...]
    weights: Array
    tried: tuple[Candidate, ...]


def select(
    data: Observed, axis_names: Sequence[str], forms: Sequence[str], rng: np.random.Generator
) -> Selection:
    """Searches the forms that are allowed.

    Args:
        data: The observations.
        axis_names: Names of the axes, for those of the forms.
        forms: Of :data:`FORMS`, one of the first two at least.
        rng: Draws starts and folds.
    """
    folds = _folds(data, rng)
    tried = [
        _scored(name, best_fit(form, data, drawn_starts(form, data, rng)), data, folds)
        for name, form in _bases(data, forms)
    ]
    plain, best = tuple(tried), tried[0]
    for other in tried[1:]:
        best = other if _better(other, best) else best
    seen = {candidate.fitted.form for candidate in tried}
    for _ in range(_ROUNDS if data.rows >= _LEAST_ROWS else 0):
        found = []
        for name, form in _neighbours(best, data, axis_names, forms):
            if form in seen:
                continue
            seen.add(form)
            start = _start(best.fitted, form, data)
            if start is not None:
                found.append(_scored(name, best_fit(form, data, start), data, folds))
        tried += found
        better = [
            candidate
            for candidate in found
            if _better(candidate, best) or (_simpler(candidate, best) and _as_good(candidate, best))
        ]
        if not better:
            break
        best = max(better, key=lambda candidate: candidate.score)
    tried.sort(key=lambda candidate: -candidate.score)
    # Where rows are few, stacking alone weighs forms by chance: the search's own has half.
    averaged = list({one.name: one for one in (*plain, best, *tried[:_AVERAGED])}.values())
    weights = stacked(np.array([candidate.scores for candidate in averaged]))
    weights = (weights + [candidate is best for candidate in averaged]) / 2
    order = np.argsort(-weights, kind="stable")
    return Selection(tuple(averaged[place] for place in order), weights[order], tuple(tried))


def stacked(scores: Array) -> Array:
    """Weights of forms whose averaged predictions are the likeliest (stacking).

    Yao, Vehtari, Simpson and Gelman, "Using stacking to average Bayesian predictive
    distributions", 2018; by expectation maximisation, with a Dirichlet prior of equal weights.

    Args:
        scores: Log predictive density of held-out rows by form, shape ``(forms, rows)``.

    Returns:
        Shape ``(forms,)``; weights sum to 1.
    """
    density = np.exp(scores - scores.max(axis=0))
    weights = np.full(len(scores), 1 / len(scores))
    for _ in range(_ITERATIONS):
        share = weights[:, None] * density
        total = (share / share.sum(axis=0)).sum(axis=1) + _PRIOR_ROWS / len(scores)
        weights = total / total.sum()
    return weights


def _bases(data: Observed, forms: Sequence[str]) -> Iterator[tuple[str, Form]]:
    """The plain forms: a term for each axis, and one for all, where more than one has moved."""
    factors = tuple((axis, POWER) for axis in range(data.design.log_axes.shape[1]))
    tight = (0,) * len(data.factors)
    if "additive" in forms:
        yield "additive", Form(tuple(Term((f,)) for f in factors), data.offsets, tight)
    moved = sum(len(values) > 1 for values, _ in data.design.distinct)
    if "multiplicative" in forms and (moved > 1 or "additive" not in forms):
        yield "multiplicative", Form((Term(factors),), data.offsets, tight)


def _neighbours(
    best: Candidate, data: Observed, axis_names: Sequence[str], forms: Sequence[str]
) -> Iterator[tuple[str, Form]]:
    """Forms one step away: a shape changed, an interaction added."""
    form = best.fitted.form
    counts = [len(values) for values, _ in data.design.distinct]
    for place, term in enumerate(form.terms):
        for inner, (axis, shape) in enumerate(term.factors):
            for name, other in _SHAPES.items():
                if name in forms and shape == POWER and counts[axis] >= _LEAST_VALUES[name]:
                    yield (
                        f"{best.name}, {name} along {axis_names[axis]}",
                        _with_shape(form, place, inner, other),
                    )
    for place, factor in enumerate(data.factors):
        held = form.tight[place] + 1
        tightest = len(TIGHT) - 1 if _told_by_an_axis(data, place) else 1
        if held <= tightest and len(factor.labels) > 1:
            tight = (*form.tight[:place], held, *form.tight[place + 1 :])
            words = "tight" if held == 1 else "tighter"
            yield f"{best.name}, {factor.name} {words}", replace(form, tight=tight)
    if "interaction" not in forms:
        return
    for one in range(len(axis_names)):
        for other_axis in range(one):
            if _crossed(data, one, other_axis):
                for signed, falling in ((one, other_axis), (other_axis, one)):
                    added = Term(((signed, SIGNED), (falling, POWER)))
                    if added not in form.terms:
                        yield (
                            f"{best.name}, {axis_names[signed]} with {axis_names[falling]}",
                            replace(form, terms=(*form.terms, added)),
                        )


def _told_by_an_axis(data: Observed, place: int) -> bool:
    """Whether each label of a factor has one value of an axis, as a model has its size.

    Only then is something left to say what next to no offsets no longer do.
    """
    labels = data.design.groups[:, place]
    for values, row in data.design.distinct:
        pairs = np.unique(np.column_stack([labels, row]), axis=0)
        if len(values) > 1 and len(pairs) == len(np.unique(labels)):
            return True
    return False


def _with_shape(form: Form, place: int, inner: int, shape: Shape) -> Form:
    factors = list(form.terms[place].factors)
    factors[inner] = (factors[inner][0], shape)
    terms = list(form.terms)
    terms[place] = Term(tuple(factors))
    return replace(form, terms=tuple(terms))


def _crossed(data: Observed, one: int, other: int) -> bool:
    """Whether two axes move together anywhere beyond what each does alone.

    Rows join the values of both; only where they close a circle does a sum of one effect
    of each not fit whatever was observed. A star closes none, a grid does.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    distinct = (data.design.distinct[axis] for axis in (one, other))
    levels = [_levels(len(values), place) for values, place in distinct]
    cells = np.unique(np.column_stack(levels), axis=0)
    first = int(cells[:, 0].max()) + 1
    nodes = first + int(cells[:, 1].max()) + 1
    joined = coo_array((np.ones(len(cells)), (cells[:, 0], first + cells[:, 1])), (nodes, nodes))
    parts = connected_components(joined, directed=False, return_labels=False)
    return bool(len(cells) > nodes - parts)


def _levels(count: int, place: Index) -> Index:
    """Values by their rank, neighbours together where there are many."""
    return place if count <= _LEVELS else place * _LEVELS // count


def _carried_over(old: Fitted, form: Form, data: Observed) -> Array:
    """Parameters of a fit as starts of its neighbour, shape ``(n, size)``.

    What both have is kept; a new break is put low, in the middle and high.
    """
    fresh = prior_of(form, data).mean
    starts = np.tile(fresh, (3, 1))
    starts[:, 0] = old.theta[0, 0]
    starts[:, form.shared :] = old.theta[:, old.form.shared :]
    for index, (term, first) in enumerate(zip(form.terms, form.firsts, strict=True)):
        if index >= len(old.form.terms):
            continue
        before = old.form.firsts[index]
        starts[:, first] = old.theta[0, before]
        place, source = first + 1, before + 1
        for (axis, shape), (_, known) in zip(
            term.factors, old.form.terms[index].factors, strict=True
        ):
            if shape == known:
                starts[:, place : place + shape.size] = old.theta[:, source : source + shape.size]
            else:
                starts[:, place] = old.theta[0, source]
                low, high = data.design.log_axes[:, axis].min(), data.design.log_axes[:, axis].max()
                starts[:, place + shape.size - 1] = np.linspace(low, high, 5)[1:-1]
            place += shape.size
            source += known.size
    # Without a new break they are one.
    distinct: Array = np.unique(starts, axis=0)
    return distinct


def _start(best: Fitted, form: Form, data: Observed) -> Array | None:
    """Where to begin a neighbour, shape ``(1, size)``; none if it does not even fit better.

    Held-out fits are dear. A form is left that gains less log likelihood on the rows it is
    fitted to than it has parameters more.
    """
    prior, weights = prior_of(form, data), weights_of(best, data)[None]
    start = _carried_over(best, form, data)
    fits = solve(
        form, data.design, data.log_error, weights, prior, start, iterations=_FEW, tolerance=_ROUGH
    )
    losses = objective(form, data.design, data.log_error, weights, prior, fits)
    known = objective(best.form, data.design, data.log_error, weights, best.prior, best.theta)
    extra = form.size - best.form.size
    if extra and known[0] - losses.min() <= extra:
        return None
    return fits[[int(losses.argmin())]]


def _folds(data: Observed, rng: np.random.Generator) -> Mask:
    """Rows that each fold holds out: configurations at random, and the far end of each axis."""
    table = np.column_stack([data.design.log_axes, data.design.groups])
    _, place = np.unique(table, axis=0, return_inverse=True)
    place = place.ravel()
    count = int(place.max()) + 1
    folds = min(count, _FOLDS)
    fold_of = rng.permutation(count)[place] % folds
    masks = [fold_of == fold for fold in range(folds)]
    for values, row in data.design.distinct:
        far = row == len(values) - 1
        if len(values) >= _LEAST_FAR and far.sum() <= data.rows / 2:
            masks.append(far)
    return np.array(masks)


def far_ends(data: Observed, axis: int) -> tuple[Mask, Array]:
    """Rows at both ends of an axis, one or two values each, and how far beyond the rest they lie.

    Returns:
        Both of shape ``(ends, rows)``; the distance is in factors of e.
    """
    values, row = data.design.distinct[axis]
    column = data.design.log_axes[:, axis]
    masks, beyond = [], []
    for outer in range(1, min(_OUTERMOST, len(values) - 2) + 1):
        for mask in (row < outer, row >= len(values) - outer):
            if mask.sum() <= data.rows / 2:
                rest = column[~mask]
                masks.append(mask)
                beyond.append(np.maximum(rest.min() - column, column - rest.max()))
    shape = (len(masks), data.rows)
    return np.array(masks, dtype=bool).reshape(shape), np.array(beyond).reshape(shape)


def _scored(name: str, fitted: Fitted, data: Observed, folds: Mask) -> Candidate:
    found = held_out(fitted, data, folds)
    spread = np.hypot(found.sd, data.log_se)
    standard = found.residual / spread
    density = -np.log(spread) - (_FREEDOM + 1) / 2 * np.log1p(np.square(standard) / _FREEDOM)
    return Candidate(name, fitted, found.by_row(density) / folds.sum(axis=0))


def _simpler(one: Candidate, other: Candidate) -> bool:
    return sum(one.fitted.form.tight) > sum(other.fitted.form.tight)


def _as_good(one: Candidate, other: Candidate) -> bool:
    return one.score >= other.score


def _better(one: Candidate, other: Candidate) -> bool:
    """Whether the first predicts better than the second by more than a standard error."""
    difference = one.scores - other.scores
    return bool(difference.mean() > difference.std() / np.sqrt(len(difference)))
