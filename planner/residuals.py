"""What curves miss of observed rows, carried to their neighbours.

A residual of log error is a sum of random effects: of a model, of a kind of configuration, and of
the configuration itself, each in part common to all speech, to a corpus, and to a study's speech
alone; and of a random slope, since on harder speech log errors differ by less or by more. Given
the curves and what was observed, the effects are normal; what they are expected to be is the best
linear unbiased prediction (Henderson, "Best linear unbiased estimation and prediction under a
selection model", 1975). So a row that was measured is drawn towards its curve by as much as its
noise is larger than the effects, a precise one hardly at all, and its residual is carried to rows
of the same model and kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models_registry.configuration import Task
from planner.arrays import Array, Index, distinct
from planner.axes import MISFIT_SHARES, SLOPE_SDS, STUDY_EFFECT_SD, kinds_of
from planner.curves.predictive import Effects
from planner.evidence import Observation
from planner.lattice import Lattice

_OUTLIER_SDS = 2.5
"""A residual further from what its neighbours say keeps most of its value."""

_ROUNDS = 3
_BELIEVED_SPEAKERS = 10.0
"""Speakers that independence between configurations counts for, beside those of the speech."""

MOST_ROWS = 1500
"""Of what was observed; of more, those of the study first and then those of its corpus."""


@dataclass(frozen=True)
class Places:
    """Which effects rows have, each of shape ``(rows,)``.

    Attributes:
        model: Number of the model.
        kind: Number of the kind.
        configuration: Number of the configuration; different for any that were not observed.
        corpus: Number of the corpus.
        study: Number of the study.
        distance: Log error of the curve less the mean over the study's rows.
        level: 1, or 0 for the slope alone.
    """

    model: Index
    kind: Index
    configuration: Index
    corpus: Index
    study: Index
    distance: Array
    level: Array

    def covariance(self, other: Places, task: Task, variance: float) -> Array:
        """Covariance of effects between rows.

        Args:
            other: Other rows.
            task: Their task.
            variance: Of all effects together, without the slope.
        """
        corpus, study = self.corpus[:, None] == other.corpus, self.study[:, None] == other.study
        total = np.zeros(corpus.shape)
        for name, (everywhere, of_corpus, of_study) in MISFIT_SHARES[task].items():
            alike = getattr(self, name)[:, None] == getattr(other, name)
            total += variance * everywhere * alike
            total += variance * of_corpus * (alike & corpus)
            total += variance * of_study * (alike & study)
        total += STUDY_EFFECT_SD**2 * np.outer(self.level, other.level) * study
        slope = np.outer(self.distance, other.distance)
        for sd, same in zip(SLOPE_SDS[task], (corpus, study), strict=True):
            total += sd**2 * slope * same
        return total


class Residuals:
    """Random effects about curves, given what was observed.

    Args:
        observations: Rows that the curves describe; see :data:`MOST_ROWS`.
        task: Their task.
        study: Study that is asked about, which is a corpus too.
        curves: Log error of each by each bagged curve, shape ``(rows, bags)``.
        sd: Spread of all effects together.
    """

    def __init__(
        self,
        observations: Sequence[Observation],
        task: Task,
        study: str,
        curves: Array,
        sd: float,
    ) -> None:
        self._task, self._variance = task, sd**2
        studies, corpora = {study: 0}, {study: 0}
        for o in observations:
            studies.setdefault(o.study, len(studies))
            corpora.setdefault(o.of.corpus, len(corpora))
        configurations = [o.configuration.unbatched for o in observations]
        lattice = Lattice.of(configurations, task)
        self._kinds, self._models = kinds_of(lattice), lattice.labels["model"]
        self._known = list(dict.fromkeys(configurations))
        number = {configuration: n for n, configuration in enumerate(self._known)}
        middle = np.median(curves, axis=1)
        of_study = np.array([studies[o.study] for o in observations], dtype=np.int64)
        mean = np.bincount(of_study, middle, len(studies)) / np.maximum(
            np.bincount(of_study, minlength=len(studies)), 1
        )
        self._reference = float(mean[0] if 0 in of_study else middle.mean())
        self._observed = Places(
            self._models.codes,
            self._kinds.codes,
            np.array([number[c] for c in configurations], dtype=np.int64),
            np.array([corpora[o.of.corpus] for o in observations], dtype=np.int64),
            of_study,
            middle - mean[of_study],
            np.ones(len(observations)),
        )
        residuals = np.log([[o.error] for o in observations]) - curves
        prior = self._observed.covariance(self._observed, task, self._variance)
        noise = noise_covariance(observations)
        self._extra = np.zeros(len(observations))
        for _ in range(_ROUNDS):
            inverse = np.linalg.inv(prior + noise + np.diag(self._extra))
            # Of each row, what all others say of it (Rasmussen and Williams, "Gaussian Processes
            # for Machine Learning", 2006, section 5.4.2).
            variance = 1 / np.diag(inverse)
            off = np.abs(inverse @ np.median(residuals, axis=1)) * variance
            wider = np.square(off / _OUTLIER_SDS) - variance
            self._extra = np.maximum(self._extra + wider, 0.0)
        self._inverse = np.linalg.inv(prior + noise + np.diag(self._extra))
        self._weighted = (self._inverse @ residuals).astype(np.float32)

    def effects(self, lattice: Lattice) -> Effects:
        """Effects of rows on the study's speech.

        Args:
            lattice: The rows, at batch size 1.
        """
        asked, place = self._asked(lattice)
        count = len(asked.model) - 1
        across = self._across(asked)
        prior = asked.covariance(asked, self._task, self._variance)
        prior[-1, -1] = sum(sd**2 for sd in SLOPE_SDS[self._task])
        prior[np.diag_indices(count + 1)] += self._own(asked).max(axis=1, initial=0.0)
        prior -= across @ self._inverse @ across.T
        shift = across.astype(np.float32) @ self._weighted
        return Effects(shift, prior, self._reference, place)

    def parts(self, lattice: Lattice) -> Array:
        """What each observed row adds to the effect of a lattice's only row, shape ``(rows,)``."""
        asked, _ = self._asked(lattice)
        parts: Array = self._across(asked)[0] * np.median(self._weighted, axis=1)
        return parts

    def _across(self, asked: Places) -> Array:
        """Covariance of effects asked for with observed rows."""
        return asked.covariance(self._observed, self._task, self._variance) + self._own(asked)

    def _own(self, asked: Places) -> Array:
        """What outliers among the study's configurations differ by beside the usual effects."""
        same = asked.configuration[:, None] == self._observed.configuration
        own: Array = same * np.where(self._observed.study == 0, self._extra, 0.0)
        return own

    def _asked(self, lattice: Lattice) -> tuple[Places, Index]:
        """Distinct combinations of labels, the slope behind them, and which one each row has."""
        rows = lattice.rows_of(self._known)
        configuration = np.full(len(lattice), -1, dtype=np.int64)
        seen = np.flatnonzero(rows >= 0)
        configuration[rows[seen]] = seen
        kinds = self._kinds.joined(kinds_of(lattice)).codes[len(self._kinds) :]
        models = self._models.joined(lattice.labels["model"]).codes[len(self._models) :]
        first, place = distinct([kinds, configuration])
        count = len(first)
        own = configuration[first]
        # A combination of no observed configuration stands for one that is like no other. The
        # slope, behind them, is what a row of no label at distance 1 has.
        own = np.where(own < 0, len(self._known) + np.arange(count), own)
        none = np.array([-1], dtype=np.int64)
        here = np.zeros(count + 1, dtype=np.int64)
        return Places(
            np.append(models[first], none),
            np.append(kinds[first], none),
            np.append(own, none),
            here,
            here,
            np.append(np.zeros(count), 1.0),
            np.append(np.ones(count), 0.0),
        ), place


def nearest(observations: Sequence[Observation], study: str) -> list[Observation]:
    """As many observations as effects are worked out from: the study's first, then its corpus'."""

    def distance(o: Observation) -> tuple[int, str]:
        return 0 if o.study == study else 1 if o.of.corpus == study else 2, o.key

    return sorted(observations, key=distance)[:MOST_ROWS]


def noise_covariance(observations: Sequence[Observation]) -> Array:
    """Sampling covariance of log errors, shape ``(rows, rows)``.

    Of rows on the same speech it is estimated over its speakers, who are few, and so shrunk
    towards independence: the posterior mean under an inverse Wishart prior.
    """
    own = np.array([o.own_log_se for o in observations])
    covariance = np.diag(np.square(own))
    groups: dict[tuple[str, str | None, int], list[int]] = {}
    for row, o in enumerate(observations):
        if o.deviations is not None:
            groups.setdefault((o.study, o.speech, len(o.deviations)), []).append(row)
    for (_, _, units), rows in groups.items():
        deviations = np.stack([observations[row].deviations for row in rows])  # type: ignore[misc]
        weight = (units - 1) / (units - 1 + _BELIEVED_SPEAKERS)
        block = weight * deviations @ deviations.T
        # A row's own variance is no less than its standard error says.
        block[np.diag_indices(len(rows))] += np.maximum(np.square(own[rows]) - np.diag(block), 0.0)
        covariance[np.ix_(rows, rows)] = block
    return covariance
