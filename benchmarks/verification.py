"""What verifying is worth: final regret and real runs of policies, on truths that are known.

``python -m benchmarks.verification``

A world draws the truth of the axes' curves, of each model and of each configuration; a
planner sees a dozen noisy measurements of it and is asked for the best configuration within a
budget. A policy decides, answer after answer, whether to run something and what; a run
measures the truth with noise. Regret is the true error of the final answer over that of the
best allowed, as a share of the latter.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.tables import markdown
from models_registry import MODELS, Configuration, WhisperArchitecture
from planner.answer import Recommendation
from planner.arrays import Array
from planner.axes import axes_of
from planner.evidence import Evidence, Observation
from planner.lattice import Lattice
from planner.question import Budget, Question
from planner.recommend import Planner

MAX_RUNS = 6
NOISE = 0.02
_WIDE = 0.15
"""Half width of an interval, as a share of the prediction, that the fixed rule verifies at."""

Policy = Callable[[Recommendation, set[Configuration]], Configuration | None]


@dataclass(frozen=True)
class World:
    """A truth, and what is measured of it.

    Attributes:
        seed: Of everything in it.
        exponents: Power of each axis.
        sizes: Share of the error that moves along each.
        offsets: Log offset of each model.
    """

    seed: int
    exponents: dict[str, float] = field(init=False)
    sizes: dict[str, float] = field(init=False)
    offsets: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        axes = ("parameters", "window_s", "tokens_per_s_stem", "tokens_per_s_inside")
        drawn = {
            "exponents": {axis: float(np.exp(rng.normal(-0.5, 0.5))) for axis in axes},
            "sizes": dict(zip(axes, (0.06, 0.005, 0.004, 0.002), strict=True)),
            "offsets": {name: float(rng.normal(0, 0.12)) for name in MODELS.names()},
        }
        for name, value in drawn.items():
            object.__setattr__(self, name, value)

    def errors(self, lattice: Lattice) -> Array:
        """True errors, shape ``(n,)``."""
        centres = {"parameters": 1e8, "window_s": 20.0}
        total = np.full(len(lattice), 0.03)
        for axis, values in axes_of(lattice).items():
            if axis in self.sizes:
                scaled = values / centres.get(axis, 30.0)
                total += self.sizes[axis] * scaled ** -self.exponents[axis]
        models = lattice.labels["model"]
        own = np.array([self.offsets[name] for name in models.names])[models.codes]
        odd = np.array([self._odd(lattice[row]) for row in range(len(lattice))])
        found: Array = total * np.exp(own + odd)
        return found

    def measure(self, configuration: Configuration) -> Observation:
        """A real run: the truth with noise."""
        truth = float(self.errors(Lattice.of([configuration]))[0])
        error = truth * float(np.exp(NOISE * self._drawn(configuration, "noise")))
        return Observation(
            key=configuration.key,
            study="world",
            configuration=configuration,
            error=error,
            error_se=NOISE * error,
            source="measured",
            provenance="a synthetic world",
        )

    def _odd(self, configuration: Configuration) -> float:
        return 0.03 * self._drawn(configuration, "odd")

    def _drawn(self, configuration: Configuration, what: str) -> float:
        code = zlib.crc32(f"{what} {configuration.key}".encode())
        return float(np.random.default_rng((self.seed, code)).standard_normal())


def begin(rng: np.random.Generator) -> list[Configuration]:
    """What is measured before any question: a few models, windows and strides."""
    sizes = ("tiny.en", "base", "small.en", "medium.en")
    windows = [
        Configuration(model="base", window_s=w) for w in rng.choice([6, 8, 10, 15], 3, False)
    ]
    strides = [
        Configuration(model="base", window_s=20, token_stride=s, reduction_layer=k)
        for s, k in ((1.5, 0), (2, 0), (1.5, 3), (2, 3), (3, 3))
    ]
    return [*(Configuration(model=m) for m in sizes), *windows, *strides]


def by_risk(answer: Recommendation, measured: set[Configuration]) -> Configuration | None:
    """The planner's own: while the decision is at risk, what would teach most."""
    plan = answer.verification
    left = (c.configuration for c in plan.candidates if c.configuration not in measured)
    return next(left, None) if plan.needed else None


def always(answer: Recommendation, measured: set[Configuration]) -> Configuration | None:
    """The answer itself, until it is one that was run."""
    return None if answer.configuration in measured else answer.configuration


def all_runs(answer: Recommendation, measured: set[Configuration]) -> Configuration | None:
    """The answer, then its alternatives, for as long as there are runs."""
    shown = (answer.configuration, *(other.configuration for other in answer.alternatives))
    return next((c for c in shown if c not in measured), None)


def never(answer: Recommendation, measured: set[Configuration]) -> Configuration | None:
    """Nothing."""
    return None


def by_width(answer: Recommendation, measured: set[Configuration]) -> Configuration | None:
    """The answer itself where its interval is wide, whatever that means for the decision."""
    wer = answer.predictions["wer"]
    wide = (wer.upper - wer.lower) / 2 > _WIDE * wer.mean
    return answer.configuration if wide and answer.configuration not in measured else None


POLICIES: dict[str, Policy] = {
    "by the decision's risk (speechplan)": by_risk,
    "the answer and its alternatives, every run used": all_runs,
    "always verify the answer": always,
    f"where the interval is wider than {_WIDE:.0%}": by_width,
    "never": never,
}


def played(world: World, policy: Policy, gflops: float) -> tuple[float, int]:
    """Final regret as a share of the best, and runs used."""
    question = Question(study="world", budget=Budget(gflops_per_utterance=gflops))
    known = [world.measure(c) for c in begin(np.random.default_rng(world.seed))]
    runs = 0
    while True:
        evidence = Evidence(
            task="asr",
            study="world",
            observations=tuple(known),
            runnable=frozenset(MODELS.names()),
        )
        planner = Planner(evidence, lattice=_lattice())
        answer = planner.recommend(question)
        chosen = policy(answer, {o.configuration for o in known}) if runs < MAX_RUNS else None
        if chosen is None:
            break
        known.append(world.measure(chosen))
        runs += 1
    candidates = planner.lattice(question)
    cost = planner.table(candidates, question).costs.centre["gflops_per_utterance"]
    best = world.errors(candidates.take(cost <= gflops)).min()
    got = world.errors(Lattice.of([answer.configuration]))[0]
    return float(got / best - 1), runs


def _lattice() -> Lattice:
    names = [n for n in MODELS.names() if isinstance(MODELS.get(n), WhisperArchitecture)]
    reductions = [(1.0, 1.0), *((s, d) for s in (1.5, 2.0, 3.0) for d in (0.0, 0.5))]
    windows = (6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 25.0, 30.0)
    return Lattice.product(names, [("chunk", w) for w in windows], reductions)


def rows(worlds: int, budgets: Sequence[float]) -> Iterator[dict[str, str]]:
    """The table."""
    for name, policy in POLICIES.items():
        games = [played(World(seed), policy, g) for seed in range(worlds) for g in budgets]
        regret, runs = (np.array(column, dtype=float) for column in zip(*games, strict=True))
        yield {
            "policy": name,
            "mean regret": f"{regret.mean():.2%}",
            "95th percentile": f"{np.quantile(regret, 0.95):.2%}",
            "runs used": f"{runs.mean():.1f}",
        }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--budgets", type=float, nargs="*", default=[60.0, 250.0, 1000.0])
    arguments = parser.parse_args()
    print(markdown(list(rows(arguments.worlds, arguments.budgets))))


if __name__ == "__main__":
    main()
