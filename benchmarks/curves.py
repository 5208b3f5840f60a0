"""How well curves predict what they were not fitted to, against simpler ones.

``python -m benchmarks.curves``

Every method sees the same rows and, where there are several sources, an offset each.
"Left out" is each row in turn (each tenth of the configurations where there are more than
40); "largest" is the largest model's rows, from all the others.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from benchmarks.tables import markdown
from measurements.catalogue import catalogue
from measurements.records import Measurement
from planner.arrays import Array, Labels, Mask
from planner.axes import axes_of, group_sd, groups_of
from planner.curves import fit
from planner.lattice import Lattice

LEVEL = 0.90
_STARTS = 12


@dataclass(frozen=True)
class Table:
    """Rows that a method is fitted to and asked about.

    Attributes:
        name: What they are.
        axes: Axes that move, by name.
        error: Errors.
        se: Their standard errors, where known.
        groups: Labels by factor.
        group_sd: Spread of their offsets.
        largest: Rows of the largest models, those within a tenth of the largest.
    """

    name: str
    axes: Mapping[str, Array]
    error: Array
    se: Array | None
    groups: Mapping[str, Labels]
    group_sd: Mapping[str, float]
    largest: Mask

    def take(self, rows: Mask) -> tuple[dict[str, Array], dict[str, Labels]]:
        """Axes and groups of some rows."""
        axes = {name: column[rows] for name, column in self.axes.items()}
        return axes, {name: labels.take(rows) for name, labels in self.groups.items()}


def table(name: str, measurements: Sequence[Measurement]) -> Table:
    """The rows of some measurements, of one task."""
    configurations = [m.configuration for m in measurements]
    task = configurations[0].task
    asr = task == "asr"
    values = np.array([m.metric.value if asr else 1 - m.metric.value for m in measurements])
    se = np.array([np.nan if m.metric.se is None else m.metric.se for m in measurements])
    lattice = Lattice.of(configurations)
    axes = {k: v for k, v in axes_of(lattice).items() if np.ptp(v) > 0}
    groups = {"study": Labels.of([m.study for m in measurements]), **groups_of(lattice)}
    size = lattice.parameters
    return Table(
        name,
        axes,
        np.maximum(values, 1e-4),
        None if np.isnan(se).any() else se,
        {k: labels for k, labels in groups.items() if len(labels.names) > 1},
        {"study": 0.5, **group_sd(task)},
        size > 0.9 * size.max(),
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
    log_axes = np.log(np.column_stack(list(data.axes.values())))
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


def ours(data: Table, seen: Mask, asked: Mask) -> tuple[Array, Array, Array]:
    """The project's curves: log of the mean and of both ends of its interval."""
    axes, groups = data.take(seen)
    axes = {name: column for name, column in axes.items() if np.ptp(column) > 0}
    model = fit(
        axes,
        data.error[seen],
        error_se=None if data.se is None else data.se[seen],
        groups=groups,
        group_sd=data.group_sd,
    )
    to_axes, to_groups = data.take(asked)
    found = model.predict({name: to_axes[name] for name in axes}, LEVEL, groups=to_groups)
    return np.log(found.mean), np.log(found.lower), np.log(found.upper)


def splits(data: Table) -> Iterator[tuple[str, list[Mask]]]:
    """Rows to hide, by kind of split."""
    rows = len(data.error)
    rng = np.random.default_rng(0)
    fold = np.arange(rows) if rows <= 40 else rng.permutation(rows) % 10
    yield "left out", [fold == one for one in np.unique(fold)]
    if 0.7 * rows > data.largest.sum() and len(np.unique(data.axes.get("parameters", []))) > 2:
        yield "largest", [data.largest]


def judged(data: Table) -> Iterator[dict[str, str]]:
    """A row of the table for each split and method."""
    y = np.log(data.error)
    for kind, folds in splits(data):
        hidden = np.any(folds, axis=0)
        for name in (*BASELINES, "ours"):
            centre, low, high = np.zeros((3, len(y)))
            for fold in folds:
                if name == "ours":
                    centre[fold], low[fold], high[fold] = ours(data, ~fold, fold)
                else:
                    centre[fold] = baseline(name, data, ~fold, fold)
            miss = (centre - y)[hidden]
            inside = ((low <= y) & (y <= high))[hidden].mean()
            width = np.expm1((high - low)[hidden] / 2).mean()
            own = name == "ours"
            yield {
                "data": data.name,
                "split": f"{kind} ({hidden.sum()} rows)",
                "method": name,
                "RMSLE": f"{np.sqrt(np.mean(miss**2)):.3f}",
                "mean error %": f"{100 * np.abs(np.expm1(miss)).mean():.1f}",
                "90 % interval holds %": f"{100 * inside:.0f}" if own else "",
                "half width %": f"{100 * width:.0f}" if own else "",
            }


def tables() -> Iterator[Table]:
    """The star sweep, the Open ASR rows, and the project's own studies."""
    by_study: dict[str, list[Measurement]] = {}
    for m in catalogue():
        by_study.setdefault(m.study, []).append(m)
    yield table("star sweep, arXiv 2606.22790", by_study.pop("asr-librispeech-test-other-lora32"))
    published = [m for s, group in by_study.items() for m in group if m.source == "published"]
    yield table("Open ASR", [m for m in published if m.configuration.task == "asr"])
    for study, group in by_study.items():
        own = [m for m in group if m.source == "measured" and m.configuration.reduction == "mean"]
        if len(own) >= 12:
            yield table(study, own)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="Only data whose name holds this.")
    only = parser.parse_args().only or ""
    print(markdown([row for data in tables() if only in data.name for row in judged(data)]))


if __name__ == "__main__":
    main()
