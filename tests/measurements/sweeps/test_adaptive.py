"""The adaptive design: what it measures first, and what it gains over chance."""

import numpy as np

from measurements.sweeps.adaptive import Observed, gains, next_configuration
from models_registry import Configuration
from planner.axes import axes_of, group_sd
from planner.cost import utterance_flops
from planner.curves import fit
from planner.lattice import Lattice
from planner.workload import DEFAULT_WORKLOAD

CANDIDATES = [
    Configuration(model=model, window_s=window_s, token_stride=stride, reduction_layer=2)
    for model in ("tiny.en", "base")
    for window_s in (6, 8, 10, 12, 15, 20, 25, 30)
    for stride in (1, 1.5, 2, 3)
]
COSTS = [float(utterance_flops(c, DEFAULT_WORKLOAD).total) for c in CANDIDATES]


def truth(configurations):
    axes = axes_of(Lattice.of(configurations))
    return (
        0.03
        + 0.02 * (4e7 / axes["parameters"])
        + 0.3 / axes["window_s"] ** 1.2
        + (0.02 * (25 / axes["tokens_per_s_inside"]) ** 2)
    )


def observed(configurations, rng):
    errors = truth(configurations) * np.exp(0.02 * rng.standard_normal(len(configurations)))
    return [
        Observed(c, float(e), 0.02 * float(e)) for c, e in zip(configurations, errors, strict=True)
    ]


def test_the_first_lie_far_apart():
    chosen = []
    rng = np.random.default_rng(0)
    for _ in range(4):
        chosen.append(next_configuration(CANDIDATES, COSTS, observed(chosen, rng)))
    assert len(set(chosen)) == 4
    assert {c.model for c in chosen} == {"whisper-tiny.en", "whisper-base"}
    assert {c.window_s for c in chosen} >= {6, 30}


def test_it_repeats_and_never_measures_twice():
    rng = np.random.default_rng(1)
    known = observed([CANDIDATES[n] for n in (0, 7, 31, 40, 60)], rng)
    one = next_configuration(CANDIDATES, COSTS, known, seed=3)
    assert one == next_configuration(CANDIDATES, COSTS, known, seed=3)
    assert one not in {o.configuration for o in known}
    other = next_configuration(CANDIDATES, COSTS, known, pending=[one], seed=3)
    assert other not in {one, *(o.configuration for o in known)}
    assert next_configuration(CANDIDATES[:2], COSTS[:2], observed(CANDIDATES[:2], rng)) is None


def test_optuna_finds_the_best_of_an_enumerable_lattice():
    known = observed([CANDIDATES[n] for n in (0, 7, 31, 40, 60)], np.random.default_rng(2))
    gain = gains(CANDIDATES, known) / np.array(COSTS)
    gain[[0, 7, 31, 40, 60]] = 0
    assert next_configuration(CANDIDATES, COSTS, known) == CANDIDATES[int(gain.argmax())]


def test_measuring_again_where_much_is_known_teaches_less():
    rng = np.random.default_rng(3)
    short = [c for c in CANDIDATES if c.window_s <= 10 and c.model == "whisper-tiny.en"]
    gain = gains(CANDIDATES, observed(short, rng))
    far = [n for n, c in enumerate(CANDIDATES) if c.window_s >= 20 and c.model == "whisper-base"]
    near = [n for n, c in enumerate(CANDIDATES) if c in short]
    assert np.median(gain[far]) > 2 * np.median(gain[near])


def test_it_narrows_the_curves_sooner_than_chance_at_the_same_flops():
    """Spread of the fitted curves over all candidates, after the FLOPs of eight of them."""
    budget = 8 * float(np.mean(COSTS))
    adaptive, by_chance = [], []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        found = dict(zip(CANDIDATES, observed(CANDIDATES, rng), strict=True))
        chosen, spent = [], 0.0
        while spent < budget:
            known = [found[c] for c in chosen]
            chosen.append(next_configuration(CANDIDATES, COSTS, known, seed=seed))
            spent += COSTS[CANDIDATES.index(chosen[-1])]
        adaptive.append(spread(chosen, found))
        for _ in range(5):
            order = rng.permutation(len(CANDIDATES))
            count = int(np.searchsorted(np.cumsum(np.array(COSTS)[order]), budget)) + 1
            by_chance.append(spread([CANDIDATES[place] for place in order[:count]], found))
    assert np.median(adaptive) < 0.9 * np.median(by_chance)


def spread(chosen, found):
    axes = axes_of(Lattice.of([*CANDIDATES, *chosen]))
    first = len(CANDIDATES)
    model = fit(
        {name: column[first:] for name, column in axes.items()},
        [found[c].error for c in chosen],
        error_se=[found[c].error_se for c in chosen],
        groups={"model": [c.model for c in chosen]},
        group_sd=group_sd("asr"),
    )
    curves = model.curves(
        {name: column[:first] for name, column in axes.items()},
        groups={"model": [c.model for c in CANDIDATES]},
    )
    return float(np.sqrt(curves.var(axis=0).mean()))


def test_a_single_candidate_needs_no_search():
    assert next_configuration(CANDIDATES[:1], [1.0], []) == CANDIDATES[0]
