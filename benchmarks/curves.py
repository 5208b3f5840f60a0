"""How well curves predict what they were not fitted to, against simpler ones.

``python -m benchmarks.curves``

Every method sees the same rows and, where there are several sources, an offset each.
"Left out" is each row in turn (each tenth of the rows where there are more than 40, three
times over); "largest" is the largest model's rows, from all the others; "each model" is each
model's rows in turn. The project's own rows are of two sizes: its larger model's are asked of
the smaller one's, and of published ones too.
Of eleven rows a coverage says little: "its like" are tables on the same axes, of truths drawn
from the refits to all of them, with noise, each row left out in turn.
Rows carry the noise that the planner gives them, without what everything measured on the same
speech shares; an interval holds a row if it does so with the row's own noise, since that is
what a run would measure. The interval score weighs width and misses in one number, in log error;
lower is better.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from scipy.optimize import least_squares

from benchmarks.tables import markdown
from measurements.studies import evidence_for
from planner.arrays import Array, Labels, Mask
from planner.axes import axes_of, group_sd, groups_of
from planner.curves import ScalingModel, fit
from planner.evidence import Observation
from planner.lattice import Lattice
from planner.quality import on_the_axes
from planner.quantiles import normal_quantile

LEVEL = 0.90
STAR = "asr-librispeech-test-other-lora32"
LARGER = "whisper-base"
"""Of the two models of the project's own catalogue."""
_STARTS = 12
_FEW = 40
_REPEATS = 3
_FEWEST = 20
_LIKES = 60


Split = Literal["left out", "largest", "each model"]


@dataclass(frozen=True)
class Table:
    """Rows that a method is fitted to and asked about.

    Attributes:
        name: What they are.
        axes: Axes that move, by name.
        error: Errors.
        log_se: Standard errors of their logarithm.
        groups: Labels by factor.
        group_sd: Spread of their offsets.
        largest: Rows of the largest models, those within a tenth of the largest.
        splits: What is hidden of it.
    """

    name: str
    axes: Mapping[str, Array]
    error: Array
    log_se: Array
    groups: Mapping[str, Labels]
    group_sd: Mapping[str, float]
    largest: Mask
    splits: tuple[Split, ...]

    def take(self, rows: Mask) -> tuple[dict[str, Array], dict[str, Labels]]:
        """Axes and groups of some rows."""
        axes = {name: column[rows] for name, column in self.axes.items()}
        return axes, {name: labels.take(rows) for name, labels in self.groups.items()}


def table(name: str, observations: Sequence[Observation], *splits: Split) -> Table:
    """The rows of some observations, of one task."""
    configurations = [o.configuration for o in observations]
    lattice = Lattice.of(configurations)
    axes = {k: v for k, v in axes_of(lattice).items() if np.ptp(v) > 0}
    groups = {"study": Labels.of([o.study for o in observations]), **groups_of(lattice)}
    size = lattice.parameters
    return Table(
        name,
        axes,
        np.array([o.error for o in observations]),
        np.array([o.own_log_se for o in observations]),
        {k: labels for k, labels in groups.items() if len(labels.names) > 1},
        group_sd(lattice.task),
        size > 0.9 * size.max(),
        splits,
    )


Form = Callable[[Array, Array], Array]
"""Parameters and ``log(x / geometric mean)`` of shape ``(rows, axes)`` to log error."""


def _mean(p: Array, z: Array) -> Array:
    return np.full(len(z), p[0])


def _power(p: Array, z: Array) -> Array:
    return p[0] - np.exp(p[1]) * z[:, 0]


def _power_floor(p: Array, z: Array) -> Array:
    return np.logaddexp(p[0], p[1] - np.exp(p[2]) * z[:, 0])


def _broken(p: Array, z: Array) -> Array:
    bend = 0.5 * np.logaddexp(0, (z[:, 0] - p[3]) / 0.5)
    return np.logaddexp(p[4], p[0] - np.exp(p[1]) * z[:, 0] - (np.exp(p[2]) - np.exp(p[1])) * bend)


def _multiplicative(p: Array, z: Array) -> Array:
    return np.logaddexp(p[0], p[1] - z @ np.exp(p[2:]))


def _additive(p: Array, z: Array) -> Array:
    k = z.shape[1]
    terms = p[1 : 1 + k] - np.exp(p[1 + k :]) * z
    return np.logaddexp.reduce(np.column_stack([np.full(len(z), p[0]), terms]), axis=1)


BASELINES: Mapping[str, tuple[Form, Callable[[int], int]]] = {
    "mean": (_mean, lambda k: 1),
    "power law (M1)": (_power, lambda k: 2),
    "with floor (M2)": (_power_floor, lambda k: 3),
    "broken": (_broken, lambda k: 5),
    "multiplicative": (_multiplicative, lambda k: 2 + k),
    "additive": (_additive, lambda k: 1 + 2 * k),
}
"""Least squares in log space with a soft loss; the first four know the first axis alone."""


def baseline(name: str, data: Table, seen: Mask, asked: Mask) -> Array:
    """Log errors of the rows asked for, fitted to those that were seen."""
    form, size = BASELINES[name]
    # Along what was not moved nothing is known.
    moved = [column for column in data.axes.values() if np.ptp(column[seen]) > 0]
    log_axes = np.log(np.column_stack(moved))
    z = log_axes - log_axes[seen].mean(axis=0)
    studies = data.groups.get("study") or Labels(np.zeros(len(z), dtype=np.int64), ("",))
    offsets = np.eye(len(studies.names))[:, 1:][studies.codes]
    y, count = np.log(data.error), size(z.shape[1])
    rng = np.random.default_rng(0)

    def value(p: Array, rows: Mask) -> Array:
        return form(p[:count], z[rows]) + offsets[rows] @ p[count:]

    best, least = np.zeros(0), np.inf
    for start in range(_STARTS):
        first = np.concatenate([np.full(1, np.median(y[seen])), np.zeros(count - 1)])
        first[1:] += -0.5 + (rng.standard_normal(count - 1) if start else 0)
        first = np.concatenate([first, np.zeros(offsets.shape[1])])
        found = least_squares(
            lambda p: value(p, seen) - y[seen], first, loss="soft_l1", f_scale=0.1, max_nfev=2000
        )
        if found.cost < least:
            best, least = found.x, found.cost
    return value(best, asked)


def _fitted(data: Table, rows: Mask) -> ScalingModel:
    """The project's curves of some rows."""
    axes, groups = data.take(rows)
    return fit(
        axes,
        data.error[rows],
        error_se=(data.error * data.log_se)[rows],
        groups=groups,
        group_sd=data.group_sd,
    )


def ours(data: Table, seen: Mask, asked: Mask) -> tuple[Array, Array, Array]:
    """The project's curves: log of the mean and of both ends of its interval."""
    model = _fitted(data, seen)
    to_axes, to_groups = data.take(asked)
    found = model.predict(to_axes, LEVEL, groups=to_groups)
    centre = np.log(found.mean)
    noise = normal_quantile(0.5 + LEVEL / 2) * data.log_se[asked]
    low, high = (np.hypot(np.log(end) - centre, noise) for end in (found.lower, found.upper))
    return centre, centre - low, centre + high


def interval_score(low: Array, high: Array, truth: Array, level: float = LEVEL) -> Array:
    """Width of each interval, and what the truth lies outside of it times ``2 / (1 - level)``.

    The least is expected of the true quantiles (Gneiting and Raftery, "Strictly proper scoring
    rules, prediction, and estimation", 2007).

    Args:
        low: Lower ends of central intervals, shape ``(rows,)``.
        high: Upper ends.
        truth: What was observed.
        level: Probability that an interval holds the truth.
    """
    outside: Array = np.maximum(low - truth, 0.0) + np.maximum(truth - high, 0.0)
    return high - low + 2 / (1 - level) * outside


def hidden(data: Table, split: Split) -> list[Mask]:
    """Rows to hide, one fit each."""
    rows = len(data.error)
    if split == "largest":
        return [data.largest]
    if split == "each model":
        models = data.groups["model"]
        return [models.mask(name) for name in models.names]
    rng = np.random.default_rng(0)
    if rows <= _FEW:
        return list(np.eye(rows, dtype=bool))
    folds = [rng.permutation(rows) % 10 for _ in range(_REPEATS)]
    return [fold == one for fold in folds for one in np.unique(fold)]


def likes(data: Table) -> list[Table]:
    """Tables on the same axes, of truths that a fit to all rows allows."""
    every = np.full(len(data.error), True)
    axes, groups = data.take(every)
    model = _fitted(data, every)
    curves = model.curves(axes, groups=groups)
    rng = np.random.default_rng(0)
    spread = np.hypot(data.log_se, model.misfit_sd)
    drawn = rng.permutation(len(curves))[:_LIKES]
    noise = spread * rng.standard_normal((_LIKES, len(spread)))
    return [replace(data, error=np.exp(row)) for row in curves[drawn] + noise]


def judged(data: Table) -> Iterator[dict[str, str]]:
    """A row of the table for each split and method."""
    for split in data.splits:
        folds = hidden(data, split)
        rows = np.any(folds, axis=0).sum()
        for name in (*BASELINES, "ours"):
            yield _row(f"{split} ({rows} rows)", name, [(data, fold) for fold in folds])
    if len(data.error) <= _FEWEST:
        folds = hidden(data, "left out")
        asked = [(like, fold) for like in likes(data) for fold in folds]
        for name in ("additive", "ours"):
            yield _row(f"its like ({len(asked)} rows)", name, asked)


def _row(split: str, name: str, asked: Sequence[tuple[Table, Mask]]) -> dict[str, str]:
    """What a method says of rows that it is not fitted to."""
    found, own = [], name == "ours"
    for number, (data, fold) in enumerate(asked, 1):
        print(f"\r\033[K{data.name}, {split}, {name}: {number}", end="", file=sys.stderr)
        truth = np.log(data.error[fold])
        if own:
            found.append(np.stack([*ours(data, ~fold, fold), truth]))
        else:
            centre = baseline(name, data, ~fold, fold)
            found.append(np.stack([centre, centre, centre, truth]))
    centre, low, high, truth = np.concatenate(found, axis=1)
    miss = centre - truth
    inside = ((low <= truth) & (truth <= high)).mean()
    width = np.expm1((high - low) / 2).mean()
    return {
        "data": asked[0][0].name,
        "split": split,
        "method": name,
        "RMSLE": f"{np.sqrt(np.mean(miss**2)):.4f}",
        "mean error %": f"{100 * np.abs(np.expm1(miss)).mean():.1f}",
        "90 % interval holds %": f"{100 * inside:.0f}" if own else "",
        "half width %": f"{100 * width:.0f}" if own else "",
        "interval score": f"{interval_score(low, high, truth).mean():.3f}" if own else "",
    }


def tables() -> Iterator[Table]:
    """The star sweep, the Open ASR rows, the project's own studies, and all of them."""
    asr, ser = (evidence_for(task, None, None).observations for task in ("asr", "ser"))
    every: tuple[Split, ...] = get_args(Split)
    yield table("star sweep, arXiv 2606.22790", [o for o in asr if o.study == STAR], *every)
    others = [o for o in asr if o.source == "published" and o.study != STAR]
    yield table("Open ASR", others, *every)
    for name, rows in (("ASR", asr), ("SER", ser)):
        known = [o for o in rows if on_the_axes(o.configuration)]
        own = [o for o in known if o.source == "measured"]
        yield table(f"own, {name}", own, "left out", "largest")
        # A study of that model alone would be hidden whole.
        shared = {o.study for o in own if o.configuration.model != LARGER}
        beside = [o for o in known if o.source == "published" or o.study in shared]
        larger = [o.source == "measured" and o.configuration.model == LARGER for o in beside]
        one = table(f"own, {name}, beside published", beside, "largest")
        yield replace(one, largest=np.array(larger))
        yield table(f"all {name}", known, "each model")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="Only data whose name holds this.")
    only = parser.parse_args().only or ""
    print(markdown([row for data in tables() if only in data.name for row in judged(data)]))


if __name__ == "__main__":
    main()
