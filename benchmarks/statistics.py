"""Statistics on speech that is simulated, so that the truth is known: before and after.

``python -m benchmarks.statistics [--only SECTION ...] [--worlds N]``

"Before" is the rule of version 0.2, kept here; "after" is the package's own.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.tables import markdown
from planner.arrays import Array, Index
from planner.quantiles import t_quantile
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
    """
    count = speakers * utterances
    who = rng.permutation(np.repeat(np.arange(speakers), utterances))
    words = rng.integers(3, 40, count).astype(float)
    easy = rng.normal(0, 0.5, speakers)[who] + rng.normal(0, 0.6, count)
    own = rng.normal(-(interaction**2) / 2, interaction, speakers)[who]
    rival = 0.06 * np.exp(easy - 0.3)
    rates = np.minimum(rival * ratio * np.exp(own), 0.95), np.minimum(rival, 0.95)
    candidate, other = (
        rng.binomial(words.astype(int), rate)
        + rng.integers(30, 120, count) * (rng.random(count) < runaways)
        for rate in rates
    )
    return Speech(words, candidate.astype(float), other.astype(float), who)


Rule = Callable[[Speech, int, int], Verdict | None]
"""A verdict on the first utterances, as many as the second argument says, of so many looks."""


def by_utterance(found: Speech, size: int, of_looks: int) -> Verdict | None:
    """The sequential test of version 0.2: utterances as units, each side with all of the risk."""
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


SECTIONS: dict[str, tuple[str, Callable[[int], _Rows]]] = {
    "sequential": (f"Sequential test: errors at risk {RISK:.0%}", sequential),
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
