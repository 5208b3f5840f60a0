"""What a cut costs: word errors more for each place where a recording is cut in two.

``python -m benchmarks.cuts --dataset librispeech:FOLDER``

The catalogue has the errors of every recording in windows of 6 to 30 s. Shorter windows cost
words at their own edges, cut or not: that is taken off as the ratio that recordings show which
are not cut. What is left of those that are, divided by their cuts, is the figure. Recordings of
which more than half the words are wrong, in either window, have run away or were not heard at
all, and are left out. Intervals are of speakers drawn anew.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.tables import markdown
from measurements.catalogue import catalogue
from measurements.datasets import open_dataset
from measurements.records import Measurement
from planner.arrays import Array, Mask
from planner.cost.passes import number_of_passes
from planner.served import ERRORS_PER_CUT

FULL_S = 30.0
SUBSETS = ("test-other", "train-clean-100")
LEVEL = 0.90
DRAWS = 2000


@dataclass(frozen=True)
class Excess:
    """A shorter window against the full one, recording by recording.

    Attributes:
        heard: Recordings that count.
        errors: Word errors in the shorter window.
        full: In the full one.
        cuts: Cuts of the shorter one.
        speakers: Who speaks.
    """

    heard: Mask
    errors: Array
    full: Array
    cuts: Array
    speakers: tuple[str, ...]

    def sums(self, weight: Array) -> tuple[float, float]:
        """Errors that cuts have cost, and the cuts."""
        cut, weight = self.cuts > 0, weight * self.heard
        whole = weight * ~cut
        itself = (whole @ self.errors) / max(float(whole @ self.full), 1.0)
        cost = (weight * cut) @ (self.errors - itself * self.full)
        return float(cost), float(weight @ self.cuts)


def of_study(measured: Iterable[Measurement], durations: Array) -> list[Excess]:
    """Every shorter window of a model on one study's recordings."""
    rows = {m.configuration.window_s: m for m in measured}
    full = np.array(rows[FULL_S].utterance_errors, dtype=float)
    found = []
    for window_s, measurement in sorted(rows.items()):
        if not (durations > window_s).any():
            continue
        errors = np.array(measurement.utterance_errors, dtype=float)[:, 0]
        found.append(
            Excess(
                heard=np.maximum(errors, full[:, 0]) <= full[:, 1] / 2,
                errors=errors,
                full=full[:, 0],
                cuts=number_of_passes(durations, window_s) - 1,
                speakers=measurement.speakers,
            )
        )
    return found


def per_cut(windows: Iterable[Excess], weights: Mapping[str, float]) -> float:
    """Word errors more for each cut, speakers counting so much each."""
    sums = [one.sums(np.array([weights.get(s, 0.0) for s in one.speakers])) for one in windows]
    cost, cuts = np.sum(sums, axis=0)
    return float(cost / cuts)


def line(name: str, windows: list[Excess], seed: int) -> dict[str, str]:
    """A line of the table."""
    speakers = sorted({speaker for one in windows for speaker in one.speakers})
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(speakers), np.full(len(speakers), 1 / len(speakers)), DRAWS)
    draws = [per_cut(windows, dict(zip(speakers, row, strict=True))) for row in drawn.astype(float)]
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    cuts = sum(float(one.cuts[one.heard].sum()) for one in windows)
    return {
        "measured": name,
        "windows": str(len(windows)),
        "cuts": f"{cuts:.0f}",
        "word errors a cut": f"{per_cut(windows, dict.fromkeys(speakers, 1.0)):.2f}",
        f"{LEVEL:.0%} interval": f"{low:.2f} to {high:.2f}",
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True, help="The catalogue's speech.")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    plain: dict[tuple[str, str], list[Measurement]] = defaultdict(list)
    for m in catalogue():
        c = m.configuration
        kind = (m.source, c.task, c.window_policy, c.token_stride, c.adapter, c.precision)
        if kind == ("measured", "asr", "chunk", 1.0, "none", "fp32"):
            plain[m.study, c.model].append(m)
    everything, rows = [], []
    for (study, model), measured in sorted(plain.items()):
        subset = next(name for name in SUBSETS if study.endswith(name))
        known = measured[0].dataset
        speech = open_dataset(arguments.dataset, subset).limited(known.utterances)
        if speech.fingerprint() != known.fingerprint:
            sys.exit(f"{arguments.dataset}, {subset}, is not the catalogue's speech")
        durations = np.array([utterance.duration_s() for utterance in speech.utterances])
        windows = of_study(measured, durations)
        everything += windows
        rows.append(line(f"{model}, {subset}", windows, arguments.seed))
    rows.append(line("all of them", everything, arguments.seed))
    print(markdown(rows))
    print(f"\nThe planner takes {ERRORS_PER_CUT:g}.")


if __name__ == "__main__":
    main()
