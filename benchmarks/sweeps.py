"""What a sweep has learnt for its FLOPs: the adaptive design, a star, and chance, on real runs.

``python -m benchmarks.sweeps``

The catalogue's measurements of plain windows and strides, all of them taken long since, are
gone through in the order in which each design asks for them, until so many FLOPs are spent. A
third of them, drawn at random, is offered to no design: curves fitted to what was chosen are
asked about those. A star moves one axis at a time from the full window with all tokens, in any
order; after that it has no more to ask for, and spends less.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks.tables import markdown
from measurements.studies import evidence_for
from measurements.sweeps.adaptive import Observed, fitted, next_configuration
from models_registry import Configuration
from planner.axes import FULL_WINDOW_S
from planner.cost import utterance_flops
from planner.curves.fit import MIN_OBSERVATIONS

STUDIES = ("asr-librispeech-mini-test-other", "asr-librispeech-mini-train-clean-100")
RUNS = (8, 12, 20, 32)
"""Of the mean cost: the FLOPs that may be spent."""

Order = Callable[["Known", np.random.Generator], Iterator[Configuration]]


class Known:
    """What was measured in a study, what may be asked for of it, and what is held back.

    Args:
        study: The study.
        seed: Draws the third that is held back.
    """

    def __init__(self, study: str, seed: int) -> None:
        evidence = evidence_for("asr", study, None)
        plain = [o for o in evidence.in_study if _plain(o.configuration)]
        self._of = {
            o.configuration: Observed(o.configuration, o.error, o.own_log_se * o.error)
            for o in plain
        }
        every = sorted(self._of, key=lambda c: c.key)
        order = np.random.default_rng(seed).permutation(len(every))
        third = len(every) // 3
        self.held_back = [every[place] for place in order[:third]]
        self.offered = [every[place] for place in order[third:]]
        self.costs = [float(utterance_flops(c, evidence.workload).total) for c in self.offered]

    def found(self, chosen: Sequence[Configuration]) -> list[Observed]:
        """What measuring them finds."""
        return [self._of[c] for c in chosen]

    def rmsle(self, chosen: Sequence[Configuration]) -> float:
        """Of what is held back, asked of curves fitted to the chosen ones."""
        model, axes, groups = fitted(self.held_back, self.found(chosen))
        predicted = model.predict(axes, groups=groups)
        miss = np.log(predicted.mean) - np.log([o.error for o in self.found(self.held_back)])
        return float(np.sqrt(np.mean(np.square(miss))))


def _plain(configuration: Configuration) -> bool:
    usual = Configuration(model=configuration.model)
    moved = {"window_s", "token_stride", "reduction_layer", "reduction"}
    return configuration.reduction == "mean" and all(
        getattr(configuration, name) == getattr(usual, name)
        for name in Configuration.model_fields
        if name not in moved
    )


def adaptive(known: Known, rng: np.random.Generator) -> Iterator[Configuration]:
    """What ``speechplan sweep --design adaptive`` measures."""
    chosen: list[Configuration] = []
    seed = int(rng.integers(1000))
    while len(chosen) < len(known.offered):
        one = next_configuration(known.offered, known.costs, known.found(chosen), seed=seed)
        assert one is not None
        chosen.append(one)
        yield one


def star(known: Known, rng: np.random.Generator) -> Iterator[Configuration]:
    """One axis at a time, in any order."""
    arms = [c for c in known.offered if c.window_s == FULL_WINDOW_S or c.token_stride == 1]
    yield from (arms[place] for place in rng.permutation(len(arms)))


def chance(known: Known, rng: np.random.Generator) -> Iterator[Configuration]:
    """Any of them, in any order."""
    yield from (known.offered[place] for place in rng.permutation(len(known.offered)))


DESIGNS: dict[str, Order] = {"adaptive": adaptive, "star": star, "chance": chance}


def rows(study: str, seeds: int) -> Iterator[dict[str, str]]:
    """The table's rows of a study."""
    missed: dict[tuple[int, str], list[float]] = {}
    counts: dict[tuple[int, str], list[int]] = {}
    for seed in range(seeds):
        known = Known(study, seed)
        cost_of = dict(
            zip(known.offered, np.divide(known.costs, np.mean(known.costs)), strict=True)
        )
        for name, order in DESIGNS.items():
            print(f"\r\033[K{study}, {seed + 1} of {seeds}, {name}", end="", file=sys.stderr)
            chosen: list[Configuration] = []
            left = order(known, np.random.default_rng(seed))
            for runs in RUNS:
                while len(chosen) < MIN_OBSERVATIONS or sum(cost_of[c] for c in chosen) < runs:
                    one = next(left, None)
                    if one is None:
                        break
                    chosen.append(one)
                missed.setdefault((runs, name), []).append(known.rmsle(chosen))
                counts.setdefault((runs, name), []).append(len(chosen))
    for (runs, name), misses in sorted(missed.items()):
        of_chance = np.log(misses) - np.log(missed[runs, "chance"])
        yield {
            "study": study,
            "FLOPs of": f"{runs} runs",
            "design": name,
            "measured": f"{np.mean(counts[runs, name]):.0f}",
            "RMSLE, median": f"{np.median(misses):.3f}",
            "worst": f"{max(misses):.3f}",
            "x chance, mean": f"{np.exp(of_chance.mean()):.2f}",
        }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    seeds = parser.parse_args().seeds
    print(markdown([row for study in STUDIES for row in rows(study, seeds)]))


if __name__ == "__main__":
    main()
