"""Statistics on speech that is simulated, so that the truth is known: before and after.

``python -m benchmarks.statistics [--only SECTION ...] [--worlds N]``

"Before" is the rule that the package had, kept here; "after" is its present one.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.tables import markdown
from measurements.coverage import clopper_pearson
from measurements.records import PairedRatio
from measurements.relative import SELECTED, log_ratio
from measurements.scores import PredictedRatio, Score, ratio_score
from measurements.scoring import WordErrors, word_error_rate
from measurements.speakers import JACKKNIFE, speaker_interval, variance_between
from measurements.statistics import (
    Interval,
    counts_interval,
    effective_number,
    no_narrower,
    sums_by,
)
from models_registry import Configuration
from planner.answer import Estimate
from planner.arrays import Array, Index
from planner.quantiles import normal_quantile, t_quantile
from planner.stopping import Verdict, looks, verdict

RISK = 0.10
SETTINGS = ((7, 10), (20, 50), (4, 100))
"""Speakers and utterances of each."""

_Rows = Iterator[dict[str, str]]


@dataclass(frozen=True)
class Speech:
    """Errors of two configurations on the same utterances, in random order.

    Attributes:
        words: Words of each utterance.
        candidate: Errors of the one.
        rival: Errors of the other.
        speakers: Who speaks.
    """

    words: Array
    candidate: Array
    rival: Array
    speakers: Index


def speech(
    rng: np.random.Generator,
    speakers: int,
    utterances: int,
    *,
    ratio: float = 1.0,
    interaction: float = 0.0,
    runaways: float = 0.0,
    shared: float = 0.0,
) -> Speech:
    """Simulated errors: speakers differ in difficulty, utterances of one do as well.

    Args:
        rng: Random numbers.
        speakers: How many.
        utterances: Of each.
        ratio: The candidate's expected errors over the rival's.
        interaction: Standard deviation over speakers of the log of that ratio, whose mean over
            all speakers is ``ratio``.
        runaways: Share of the utterances that run away, for each by itself, with 30 to 120
            words inserted.
        shared: Share of the rival's errors that the candidate makes as well, of those that its
            ratio lets it make.
    """
    count = speakers * utterances
    who = rng.permutation(np.repeat(np.arange(speakers), utterances))
    words = rng.integers(3, 40, count).astype(float)
    easy = rng.normal(0, 0.5, speakers)[who] + rng.normal(0, 0.6, count)
    own = rng.normal(-(interaction**2) / 2, interaction, speakers)[who]
    rate = np.minimum(0.06 * np.exp(easy - 0.3), 0.5)
    times = np.minimum(ratio * np.exp(own), 0.95 / rate)
    kept = shared * np.minimum(times, 1.0)
    rival = rng.binomial(words.astype(int), rate)
    candidate = rng.binomial(rival, kept) + rng.binomial(words.astype(int), rate * (times - kept))
    candidate, rival = (
        errors + rng.integers(30, 120, count) * (rng.random(count) < runaways)
        for errors in (candidate, rival)
    )
    return Speech(words, candidate.astype(float), rival.astype(float), who)


Rule = Callable[[Speech, int, int], Verdict | None]
"""A verdict on the first utterances, as many as the second argument says, of so many looks."""


def by_utterance(found: Speech, size: int, of_looks: int) -> Verdict | None:
    """The former sequential test: utterances as units, each side with all of the risk."""
    more, words = (found.candidate - found.rival)[:size], found.words[:size]
    difference = more.sum() / words.sum()
    residual = more - difference * words
    se = math.sqrt(size / (size - 1) * np.square(residual).sum()) / words.sum()
    reach = t_quantile(1 - RISK / of_looks, size - 1) * se
    if not se or abs(difference) <= reach:
        return None
    return "worse" if difference > 0 else "better"


def by_speaker(found: Speech, size: int, of_looks: int) -> Verdict | None:
    """The sequential test of the package, on speakers."""
    return verdict(
        found.candidate[:size],
        found.rival[:size],
        found.words[:size],
        speakers=[str(who) for who in found.speakers[:size]],
        tolerance=0.0,
        risk=RISK,
        of_looks=of_looks,
    )


def stopped(found: Speech, rule: Rule) -> tuple[Verdict | None, int]:
    """The first verdict, and after how many utterances; None and all of them without one."""
    total = len(found.words)
    sizes = list(looks(total))[:-1]
    for size in sizes:
        said = rule(found, size, len(sizes))
        if said is not None:
            return said, size
    return None, total


def sequential(worlds: int) -> _Rows:
    """Two configurations alike over all speakers: every verdict is wrong."""
    for interaction in (0.0, 0.3):
        for runaways in (0.0, 0.01):
            for speakers, utterances in SETTINGS:
                rng = np.random.default_rng([speakers, utterances, round(100 * runaways)])
                made = [
                    speech(rng, speakers, utterances, interaction=interaction, runaways=runaways)
                    for _ in range(worlds)
                ]
                wrong = {
                    name: sum(stopped(one, rule)[0] is not None for one in made) / worlds
                    for name, rule in (("before", by_utterance), ("after", by_speaker))
                }
                yield {
                    "speakers x utterances": f"{speakers} x {utterances}",
                    "interaction sd": f"{interaction:g}",
                    "runaways": f"{runaways:.0%}",
                    "wrong by utterance, before": f"{wrong['before']:.1%}",
                    "wrong by speaker, after": f"{wrong['after']:.1%}",
                }


def stored_level(worlds: int) -> _Rows:
    """Runs that a verdict ended: whether the loser's stored error is below the winner's."""
    for speakers, utterances in SETTINGS:
        rng = np.random.default_rng([speakers, utterances, 4])
        verdicts, swapped, off = [0, 0], [0, 0], ([], [])
        for _ in range(worlds):
            truth = float(rng.normal(0, 0.2))
            made = speech(
                rng, speakers, utterances, ratio=math.exp(truth), interaction=0.05, shared=0.9
            )
            for place, rule in enumerate((by_utterance, by_speaker)):
                said, size = stopped(made, rule)
                if said is None:
                    continue
                whole = made.rival.sum() / made.words.sum()
                stored = (made.candidate[:size].sum() / made.words[:size].sum()) / whole
                if place:
                    ratio, _ = log_ratio(
                        made.candidate[:size],
                        made.rival[:size],
                        made.words[:size],
                        speakers=[str(who) for who in made.speakers[:size]],
                    )
                    stored = math.exp(ratio)
                verdicts[place] += 1
                swapped[place] += (stored < 1) == (said == "worse")
                off[place].append(abs(math.log(max(stored, 1e-3)) - truth))
        before, after = (
            f"{one} of {all_of} ({one / max(all_of, 1):.1%})"
            for one, all_of in zip(swapped, verdicts, strict=True)
        )
        yield {
            "speakers x utterances": f"{speakers} x {utterances}",
            "loser stored below the winner, before": before,
            "loser stored below the winner, after": after,
            "median log error of the level, before": f"{np.median(off[0]):.3f}",
            "median log error of the level, after": f"{np.median(off[1]):.3f}",
        }


def stored_at_a_target(worlds: int) -> _Rows:
    """Runs that ended for their distance from a target, without another run beside them."""
    many = speech(np.random.default_rng(0), 40_000, 20)
    truth = float(many.rival.sum() / many.words.sum())
    for speakers, utterances in SETTINGS:
        rng = np.random.default_rng([speakers, utterances, 5])
        inside, runs = dict.fromkeys((1.0, SELECTED), 0), 0
        for _ in range(worlds):
            made = speech(rng, speakers, utterances)
            target = truth * math.exp(rng.normal(0, 0.4))
            against = Speech(made.words, made.rival, target * made.words, made.speakers)
            said, size = stopped(against, by_speaker)
            if said is None:
                continue
            runs += 1
            found = speaker_interval(
                made.rival[:size],
                made.words[:size],
                [str(who) for who in made.speakers[:size]],
                level=0.90,
            )
            for times in inside:
                low, high = (
                    found.value * (end / found.value) ** times for end in (found.lower, found.upper)
                )
                inside[times] += low <= truth <= high
        before, after = (f"{count / runs:.0%}" for count in inside.values())
        yield {
            "speakers x utterances": f"{speakers} x {utterances}",
            "runs that ended early": str(runs),
            "90 % interval of the level holds, before": before,
            "90 % interval of the level holds, after": after,
        }


CURVE, COMMON, OWN = 0.06, 0.10, 0.03
"""Standard deviations of log errors: of what curves leave open, of what a study's speech moves all
errors by, and of what it moves each configuration's by itself."""

_RECORD = 40
"""Predictions that a record is made of."""


def record(worlds: int) -> _Rows:
    """Records of predictions that state their spread right, too small or too large."""
    for says, times in (("right", 1.0), ("half as large", 0.5), ("five times as large", 5.0)):
        rng = np.random.default_rng(3)
        inside: dict[str, list[float]] = {"before": [], "after": []}
        scores, transforms = [], []
        narrow, wide = {"before": 0, "after": 0}, {"before": 0, "after": 0}
        for _ in range(worlds):
            held = {"before": 0, "after": 0}
            for _ in range(_RECORD):
                before, after = _prediction(rng, times)
                held["before"] += before
                held["after"] += after.inside
                scores.append(after.interval_score)
                transforms.append(after.pit)
            for name, count in held.items():
                inside[name].append(count / _RECORD)
                low, high = clopper_pearson(count, _RECORD)
                narrow[name] += high < 0.90
                wide[name] += low > 0.90
        yield {
            "stated spread of the curves": says,
            **{f"inside 90 %, {name}": f"{np.mean(found):.0%}" for name, found in inside.items()},
            **{
                f"records of {_RECORD} that say too narrow / too wide, {name}": (
                    f"{narrow[name] / worlds:.0%} / {wide[name] / worlds:.0%}"
                )
                for name in inside
            },
            "interval score": f"{np.mean(scores):.3f}",
            "variance of PIT (1/12 = 0.083)": f"{np.var(transforms):.3f}",
        }


def _prediction(rng: np.random.Generator, times: float) -> tuple[bool, Score]:
    """A prediction on speech on which another configuration was measured; both verdicts."""
    common, other, mine = rng.normal(0, (COMMON, OWN, OWN))
    measured_other, measured = 0.1 * math.exp(common + other), 0.1 * math.exp(common + mine)
    shape = rng.normal(0, CURVE)
    level = measured_other * math.exp(shape)
    reach = normal_quantile(0.95)
    # The former rule: an interval with the study's own noise, and the run's once more.
    stated = math.hypot(times * CURVE, OWN, COMMON)
    noise = math.hypot(COMMON, OWN)
    before = abs(math.log(measured / level)) <= reach * math.hypot(stated, noise)
    spread = math.exp(reach * math.hypot(times * CURVE, OWN))
    mean = math.exp(shape)
    predicted = Estimate(
        mean=mean,
        lower=mean / spread,
        upper=mean * spread,
        level=0.90,
        unit="ratio",
        basis="interpolated",
        source="predicted",
        provenance="simulated",
    )
    ratio = PairedRatio(
        to="other",
        log_ratio=math.log(measured / measured_other),
        log_se=math.hypot(OWN, OWN),
        utterances=100,
    )
    asked = PredictedRatio(
        to=Configuration(model="base"), measurement="other", predicted=predicted, log_se=OWN
    )
    return before, ratio_score(asked, ratio)


_SPEAKERS = (1, 2, 3, 4, 7)


def few_speakers(worlds: int) -> _Rows:
    """The 95 % interval of a WER, of few speakers: coverage of the rate of all speakers."""
    many = speech(np.random.default_rng(0), 40_000, 20)
    truth = float(many.rival.sum() / many.words.sum())
    for utterances in (10, 100):
        for speakers in _SPEAKERS:
            rng = np.random.default_rng([speakers, utterances, 6])
            inside: dict[str, int] = {"before": 0, "after": 0}
            widths: dict[str, list[float]] = {"before": [], "after": []}
            for world in range(worlds):
                made = speech(rng, speakers, utterances)
                errors = [
                    WordErrors(int(wrong), 0, 0, int(words))
                    for wrong, words in zip(made.rival, made.words, strict=True)
                ]
                names = [str(who) for who in made.speakers]
                found = {
                    "before": _former_interval(errors, made, seed=world),
                    "after": word_error_rate(errors, speakers=names),
                }
                for name, one in found.items():
                    inside[name] += one.lower <= truth <= one.upper
                    widths[name].append(one.upper - one.lower)
            yield {
                "speakers x utterances": f"{speakers} x {utterances}",
                **{f"95 % interval holds, {n}": f"{c / worlds:.0%}" for n, c in inside.items()},
                **{
                    f"width in WER, median, {name}": f"{100 * np.median(found):.1f} %"
                    for name, found in widths.items()
                },
            }


def _former_interval(errors: list[WordErrors], made: Speech, seed: int) -> Interval:
    """The former rule: a jackknife over four speakers or more, else a bootstrap over utterances."""
    speakers = [str(who) for who in made.speakers]
    if len(set(speakers)) < 4 or not made.rival.any():
        return word_error_rate(errors, seed=seed)
    wrong, words = sums_by(made.rival, speakers), sums_by(made.words, speakers)
    value = float(wrong.sum() / words.sum())
    spread = math.sqrt(variance_between(wrong, words) / effective_number(words))
    reach = t_quantile(0.975, effective_number(words) - 1) * spread
    ends = value * math.exp(-reach), min(value * math.exp(reach), 1.0)
    found = Interval(value, *ends, 0.95, value * spread, JACKKNIFE)
    return no_narrower(found, counts_interval(made.rival, made.words))


SECTIONS: dict[str, tuple[str, Callable[[int], _Rows]]] = {
    "sequential": (f"Sequential test: errors at risk {RISK:.0%}", sequential),
    "stopped": ("Runs that a verdict ended: what is stored", stored_level),
    "record": ("The coverage record of a planner that is too sure, or not sure enough", record),
    "speakers": ("Intervals over few speakers", few_speakers),
    "target": ("Runs that ended for their distance from a target", stored_at_a_target),
}
"""Title and rows of each section, by its name."""


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--worlds", type=int, default=800)
    arguments = parser.parse_args()
    for name in arguments.only:
        title, rows = SECTIONS[name]
        print(f"### {title}\n\n{markdown(list(rows(arguments.worlds)))}\n")


if __name__ == "__main__":
    main()
