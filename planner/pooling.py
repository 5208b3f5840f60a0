"""Several runs of one configuration as one observation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from planner.arrays import Array
from planner.evidence import Observation

_SHOWN = 3
"""Runs whose provenance is told; of more, how many there are."""

_SURELY = 0.05
"""Runs are said to disagree where chance alone would spread them so much with less than this."""


def pooled_by(
    observations: Iterable[Observation], key: Callable[[Observation], Hashable]
) -> list[Observation]:
    """One observation for each value of a key, in the order in which they first come."""
    groups: dict[Hashable, list[Observation]] = {}
    for observation in observations:
        groups.setdefault(key(observation), []).append(observation)
    return [pooled(group) for group in groups.values()]


def pooled(runs: Sequence[Observation]) -> Observation:
    """Runs of one configuration as one observation.

    Errors are added up over words, or over clips in SER: a run weighs as much as it is long.
    Where the length of one is not known, runs are weighed by inverse variance. A spread that is
    wider than the runs' own noise is a variance between runs, after DerSimonian and Laird
    ("Meta-analysis in clinical trials", 1986), and widens the standard error, but not what of it
    is the configuration's own: other speech moves all configurations. Runs on the same speech are
    no further words: they are averaged before.

    Args:
        runs: One or more; of configurations that differ in batch size at most.
    """
    if len(runs) == 1:
        return runs[0]
    by_speech: dict[object, list[Observation]] = {}
    for place, run in enumerate(runs):
        by_speech.setdefault(run.speech or place, []).append(run)
    samples = [_averaged(same) for same in by_speech.values()]
    if len(samples) == 1:
        return _joined(samples[0], runs, disagree=False)
    error = np.array([s.error for s in samples])
    variance = np.square([s.log_se * s.error for s in samples])
    own = np.square([s.own_log_se * s.error for s in samples])
    if all(s.trials for s in samples):
        share = np.array([float(s.trials or 0) for s in samples])
        share /= share.sum()
        # The noise that each run would have at the error of all: the lowest is not the surest.
        rescaled = float(share @ error) / error
        variance, own = variance * rescaled, own * rescaled
        between, disagree = _between(error, variance)
    else:
        between, disagree = _between(error, variance)
        share = 1 / (variance + between)
        share /= share.sum()
    mean = replace(
        samples[0],
        error=float(share @ error),
        error_se=float(np.sqrt(np.square(share) @ (variance + between))),
        paired_se=(
            None
            if not between and all(s.paired_se is None for s in samples)
            else float(np.sqrt(np.square(share) @ own))
        ),
        log_sds=None,
        trials=sum(s.trials or 0 for s in samples) if all(s.trials for s in samples) else None,
        speech=None,
        deviations=None,
    )
    return _joined(mean, runs, disagree=disagree)


def _between(error: Array, variance: Array) -> tuple[float, bool]:
    """Variance between runs by DerSimonian and Laird, and whether it is surely there."""
    from scipy.special import chdtrc

    weight = 1 / variance
    freedom = len(error) - 1
    spread = float(weight @ np.square(error - weight @ error / weight.sum()))
    scale = weight.sum() - np.square(weight).sum() / weight.sum()
    return max(0.0, (spread - freedom) / float(scale)), float(chdtrc(freedom, spread)) < _SURELY


def _averaged(same: Sequence[Observation]) -> Observation:
    """Runs on the same speech as one, no surer of other speech than each of them."""
    if len(same) == 1:
        return same[0]
    error = np.array([run.error for run in same])
    moved = float(error.var(ddof=1)) / len(same)
    paired = [run.paired_se for run in same if run.paired_se is not None]
    return replace(
        same[0],
        error=float(error.mean()),
        error_se=float(np.sqrt(np.mean([(r.log_se * r.error) ** 2 for r in same]) + moved)),
        paired_se=float(np.sqrt(np.mean(np.square(paired)) + moved)) if paired else None,
        log_sds=None,
        trials=max((run.trials or 0 for run in same), default=0) or None,
        deviations=None,
    )


def _joined(mean: Observation, runs: Sequence[Observation], *, disagree: bool) -> Observation:
    """An observation of all runs, with what they have to say together."""
    configurations = {run.configuration for run in runs}
    configuration = runs[0].configuration
    if len(configurations) > 1:
        configuration = configuration.unbatched
    counted = [run for run in runs if run.windows is not None]
    number = sum(run.runs for run in runs)
    unit = "words" if configuration.task == "asr" else "clips"
    told = [f"{number} runs pooled"]
    if mean.trials:
        told.append(f"{mean.trials:,.0f} {unit}")
    if disagree:
        low, high = (100 * pick(run.error for run in runs) for pick in (min, max))
        told.append(
            f"errors of {low:.3g} to {high:.3g} % disagree beyond their noise, so the interval is"
            " wide"
        )
    sources = list(dict.fromkeys(run.provenance for run in runs))
    shown = "; ".join(sources[:_SHOWN])
    more = f"; and {len(sources) - _SHOWN} more" if len(sources) > _SHOWN else ""
    keys = sorted(run.key for run in runs)
    return replace(
        mean,
        key=hashlib.sha256("\0".join(keys).encode()).hexdigest(),
        configuration=configuration,
        source="measured" if any(run.source == "measured" for run in runs) else "published",
        provenance=f"{', '.join(told)}: {shown}{more}",
        windows=sum(run.windows or 0 for run in counted) if counted else None,
        retried=sum(run.retried or 0 for run in counted) if counted else None,
        runs=number,
        disagree=disagree,
    )
