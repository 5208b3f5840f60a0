"""Predictions for speakers whom no fit has seen, beside what was measured on them.

``python -m benchmarks.fresh_speech [--splits 6] [--seed 0]``
``python -m benchmarks.fresh_speech --dataset emodb:FOLDER --speakers 3 [--utterances N]``

Speakers of the built-in measurements are held out whole. Everything measured on the other speakers
is known; on those held out one configuration is measured, the anchor. The errors of other
configurations relative to the anchor's are predicted, and then compared with the relative errors
on the held-out speakers' utterances. The 90 % interval is that of the prediction, widened by the
noise of the comparison, as a verification judges it (:func:`measurements.scores.ratio_score`).

In SER a clip was classified by a head that was trained on all other speakers of its corpus, the
other held-out speakers among them.

With ``--dataset`` configurations are run for real: an anchor is run, the others are predicted, and
then they are run. Heads for emotions are trained on the drawn speakers alone. What the built-in
measurements have of these speakers is left out of what is known.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.tables import markdown
from measurements.catalogue import catalogue
from measurements.coverage import clopper_pearson
from measurements.datasets import Dataset, open_dataset
from measurements.evaluation import evaluation_of
from measurements.evaluation.base import metric_from
from measurements.fits import FITS
from measurements.records import Measurement
from measurements.relative import ratio_between
from measurements.scores import PredictedRatio, Score, ratio_score
from measurements.scoring import WordErrors, unweighted_accuracy, word_error_rate
from measurements.store import Store
from measurements.studies import observations_of
from models_registry import Configuration
from models_registry.configuration import Task
from models_registry.weights import available
from planner.evidence import Evidence
from planner.quality import on_the_axes
from planner.recommend import Planner

LEVEL = 0.90
CELLS: dict[Task, int] = {"asr": 10, "ser": 8}
"""Configurations that are predicted for each set of held-out speakers."""

_LEAST_SPEAKERS = 3
_SHARE = 3
"""A third of the speakers is held out, and three at least."""


@dataclass(frozen=True)
class Cell:
    """A configuration that was predicted for held-out speakers, and then measured on them."""

    study: str
    configuration: Configuration
    score: Score

    @property
    def log_error(self) -> float:
        """Log ratio measured minus predicted."""
        return float(np.log(self.score.measured / self.score.predicted.mean))


def of_speakers(m: Measurement, speakers: frozenset[str]) -> Measurement:
    """What a measurement would be on the utterances of some of its speakers."""
    if speakers == frozenset(m.speakers):
        return m
    rows = [row for row, who in enumerate(m.speakers) if who in speakers]
    errors = tuple(m.utterance_errors[row] for row in rows)
    who = tuple(m.speakers[row] for row in rows)
    labels = tuple(m.labels[row] for row in rows) if m.labels else ()
    if m.metric.name == "wer":
        words = [WordErrors(wrong, 0, 0, of) for wrong, of in errors]
        interval = word_error_rate(words, speakers=who)
    else:
        interval = unweighted_accuracy([wrong for wrong, _ in errors], labels, who)
    sample = hashlib.sha256("\0".join(sorted({*who})).encode()).hexdigest()
    fingerprint = hashlib.sha256(f"{m.dataset.fingerprint}\0{sample}".encode()).hexdigest()
    return m.model_copy(
        update={
            "key": hashlib.sha256(f"{m.key}\0{sample}".encode()).hexdigest(),
            "metric": metric_from(m.metric.name, interval, m.metric.method or ""),
            "utterance_errors": errors,
            "speakers": who,
            "labels": labels,
            "errors": None,
            "dataset": m.dataset.model_copy(
                update={
                    "fingerprint": fingerprint,
                    "utterances": len(rows),
                    "reference_words": sum(of for _, of in errors)
                    if m.metric.name == "wer"
                    else None,
                }
            ),
        }
    )


def cells(task: Task, study: str, rng: np.random.Generator) -> Iterator[Cell]:
    """Predictions for held-out speakers of a study, with what is measured on them."""
    of_study = [m for m in catalogue() if m.study == study and on_the_axes(m.configuration)]
    # Of some corpora few speakers were measured by themselves too.
    largest = max(m.dataset.utterances or 0 for m in of_study)
    measured = {m.configuration: m for m in of_study if m.dataset.utterances == largest}
    people = sorted({who for m in measured.values() for who in m.speakers})
    count = max(_LEAST_SPEAKERS, len(people) // _SHARE)
    fresh = frozenset(rng.choice(people, count, replace=False).tolist())

    def measure(configuration: Configuration) -> Measurement:
        return of_speakers(measured[configuration], fresh)

    yield from _predicted_first(task, fresh, list(measured), measure, rng)


def real_cells(
    dataset: Dataset, speakers: int, utterances: int | None, store: Store, rng: np.random.Generator
) -> Iterator[Cell]:
    """Predictions for some speakers of a data set, with real runs on them."""
    people = sorted(dataset.speakers)
    fresh = frozenset(rng.choice(people, min(speakers, len(people)), replace=False).tolist())
    spoken = tuple(u for u in dataset.utterances if u.speaker in fresh)
    speech = replace(dataset, utterances=spoken).limited(utterances)
    configurations = {
        m.configuration: None
        for m in catalogue()
        if m.configuration.task == dataset.task
        and on_the_axes(m.configuration)
        and m.configuration.adapter == "none"
        and available(m.configuration.model)
    }

    def measure(configuration: Configuration) -> Measurement:
        return evaluation_of(configuration, speech, store, timing=False).run()

    yield from _predicted_first(dataset.task, fresh, list(configurations), measure, rng)


def _predicted_first(
    task: Task,
    fresh: frozenset[str],
    configurations: Sequence[Configuration],
    measure: Callable[[Configuration], Measurement],
    rng: np.random.Generator,
) -> Iterator[Cell]:
    """Measures an anchor, predicts other configurations, and measures them."""
    known = []
    for m in catalogue():
        if m.configuration.task == task:
            rest = frozenset(m.speakers) - fresh
            known += [of_speakers(m, rest)] if rest else [] if m.speakers else [m]
    order = rng.permutation(len(configurations))
    anchor, *asked = (configurations[row] for row in order[: 1 + CELLS[task]])
    base = measure(anchor)
    observations = observations_of([*known, base], own={base.key})
    evidence = Evidence(task, base.study, observations, language=base.dataset.language)
    ratios = Planner(evidence, fits=FITS).ratios(asked, anchor, LEVEL)
    own = {o.key: o for o in observations}[base.key].own_log_se
    for configuration, ratio in zip(asked, ratios, strict=True):
        pair = ratio_between(measure(configuration), base)
        assert pair is not None
        predicted = PredictedRatio(to=anchor, measurement=base.key, predicted=ratio, log_se=own)
        yield Cell(base.study, configuration, ratio_score(predicted, pair))


def row(name: str, found: list[Cell]) -> dict[str, str]:
    """A row of the table."""
    inside = sum(cell.score.inside for cell in found)
    low, high = clopper_pearson(inside, len(found))
    error = float(np.median([abs(cell.log_error) for cell in found]))
    half = float(np.median([cell.score.width for cell in found])) / 2
    ends = [np.log(one.upper / one.lower) for one in (cell.score.predicted for cell in found)]
    predicted = float(np.median(ends)) / 2
    return {
        "speech": name,
        "cells": str(len(found)),
        "inside 90 %": f"{inside / len(found):.0%} ({low:.0%} to {high:.0%})",
        "median error (log)": f"{error:.3f}",
        "median half width (log)": f"{half:.3f}",
        "half width / error": f"{half / error:.1f}",
        "of the prediction alone": f"{predicted / error:.1f}",
        "mean interval score": f"{np.mean([cell.score.interval_score for cell in found]):.3f}",
    }


def measured(options: argparse.Namespace) -> None:
    """Prints cells of real runs as they come, and their table."""
    dataset = open_dataset(options.dataset, options.subset, task=options.task)
    found = []
    for split in range(options.splits):
        rng = np.random.default_rng((options.seed, split))
        with TemporaryDirectory() as folder:
            store = Store.open(f"sqlite:///{folder}/fresh.db")
            for cell in real_cells(dataset, options.speakers, options.utterances, store, rng):
                found.append(cell)
                sys.stdout.write(
                    f"{split} {cell.configuration.label()}: predicted"
                    f" {cell.score.predicted.mean:.3f}, measured {cell.score.measured:.3f} times"
                    f" the anchor's errors, {'inside' if cell.score.inside else 'outside'}\n"
                )
                sys.stdout.flush()
            store.close()
    sys.stdout.write(markdown([row(found[0].study, found)]) + "\n")


def main(arguments: list[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--splits", type=int, default=6, help="sets of speakers for each study")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dataset", help="speech to run configurations on, as for measure")
    parser.add_argument("--subset", help="part of it")
    parser.add_argument("--task", choices=list(CELLS), help="where it can be read for both")
    parser.add_argument("--speakers", type=int, default=_LEAST_SPEAKERS)
    parser.add_argument("--utterances", type=int, help="at most so many of each set of speakers")
    options = parser.parse_args(arguments)
    if options.dataset:
        measured(options)
        return
    rows = []
    for task in CELLS:
        studies = sorted(
            {m.study for m in catalogue() if m.configuration.task == task and m.speakers}
        )
        pooled: list[Cell] = []
        for study in studies:
            found = [
                cell
                for split in range(options.splits)
                for cell in cells(task, study, np.random.default_rng((options.seed, split)))
            ]
            rows.append(row(study, found))
            pooled += found
        rows.append(row(f"all {task.upper()}", pooled))
    sys.stdout.write(markdown(rows) + "\n")


if __name__ == "__main__":
    main()
