"""Questions on a made-up world whose truth is known, and on published tables alone."""

import math
from dataclasses import replace

import numpy as np
import pytest

from models_registry import MODELS, Configuration, UnknownNameError
from planner.cost import utterance_flops
from planner.device import DeviceEvidence, DeviceRates
from planner.errors import InsufficientDataError, NoFeasibleConfigurationError
from planner.evidence import Evidence, Observation
from planner.lattice import Lattice
from planner.question import Budget, Question
from planner.recommend import Planner
from planner.workload import Workload

DEVICES = {"box": DeviceEvidence(DeviceRates(2e11, 2e10, 5e-4, "made up"))}


def true_error(c):
    size = c.architecture.parameters / 1e8
    inside = c.reduction_layer not in (None, 0, c.architecture.encoder_layers)
    cost_of_stride = {True: 0.001, False: 0.004}[inside] * (c.token_stride**3 - 1)
    return 0.02 + 0.05 * size**-0.5 + 0.15 / c.window_s + cost_of_stride


def observed(configurations, study="world", noise=0.02, source="measured"):
    rng = np.random.default_rng(0)
    return [
        Observation(
            key=f"{study}-{index}",
            study=study,
            configuration=c,
            error=true_error(c) * float(np.exp(noise * rng.standard_normal())),
            error_se=noise * true_error(c),
            source=source,
            provenance="made up",
        )
        for index, c in enumerate(configurations)
    ]


STAR = [
    *(Configuration(model=m) for m in ("tiny.en", "base", "small.en", "medium.en", "large-v3")),
    *(Configuration(model="base", window_s=w) for w in (6, 10, 15, 20)),
    *(Configuration(model="tiny.en", window_s=w) for w in (8, 20)),
    *(
        Configuration(model="base", window_s=20, token_stride=s, reduction_layer=k)
        for s in (1.5, 2, 3)
        for k in (0, 3, 6)
    ),
]


@pytest.fixture(scope="module")
def planner():
    evidence = Evidence(
        task="asr",
        study="world",
        observations=tuple(observed(STAR)),
        devices=DEVICES,
        runnable=frozenset({"whisper-tiny.en", "whisper-base"}),
    )
    return Planner(evidence)


@pytest.fixture(scope="module")
def unsure():
    """A planner that has seen few points, and noisy ones."""
    return Planner(
        Evidence(
            task="asr",
            study="world",
            observations=tuple(observed(STAR[:5], noise=0.1)),
            runnable=frozenset({"whisper-tiny.en", "whisper-base"}),
        )
    )


def ask(planner, **fields):
    budget = Budget(**{k: fields.pop(k) for k in list(fields) if k in Budget.model_fields})
    return planner.recommend(Question(budget=budget, **fields))


def test_the_answer_is_the_best_of_everything_within_the_budget(planner):
    """Against a plain loop over the same candidates: would catch a wrong mask or order."""
    from planner.costing import all_costs
    from planner.space import candidates

    question = Question(budget=Budget(gflops_per_utterance=150))
    answer = planner.recommend(question)
    rows = candidates(planner.evidence)
    costs = all_costs(rows, question, planner.evidence, None)
    surely = costs.quantile("gflops_per_utterance", 0.9)
    quality = planner.quality.predict(rows, level=0.9, draws=2)
    feasible = [i for i in range(len(rows)) if surely[i] <= 150]
    best = min(quality.mean[i] for i in feasible)
    good = [i for i in feasible if quality.mean[i] <= best * (1 + question.tolerance)]
    cheapest = min(costs.centre["gflops_per_utterance"][i] for i in good)
    assert best <= answer.predictions["wer"].mean <= best * (1 + question.tolerance)
    assert cheapest <= answer.costs.gflops_per_utterance <= cheapest * 1.005
    assert answer.costs.gflops_per_utterance <= 150
    parts = sum(part.flops for part in answer.costs.breakdown)
    assert parts / 1e9 == pytest.approx(answer.costs.gflops_per_utterance)


def test_the_truth_lies_in_the_interval(planner):
    for gflops in (20, 60, 150, 400, 1500):
        answer = ask(planner, gflops_per_utterance=gflops)
        estimate = answer.predictions["wer"]
        assert estimate.lower <= true_error(answer.configuration) <= estimate.upper


def test_a_larger_budget_never_predicts_worse(planner):
    means = [
        ask(planner, gflops_per_utterance=g).predictions["wer"].mean
        for g in (10, 15, 25, 50, 100, 200, 400, 800, 1600, 3200)
    ]
    assert means == sorted(means, reverse=True)


def test_every_budget_is_held_at_once(planner):
    answer = ask(
        planner, gflops_per_utterance=200, memory_gib=1.5, parameters=1e8, rtf=0.5, device="box"
    )
    costs = answer.costs
    assert costs.gflops_per_utterance <= 200
    assert costs.memory_gib <= 1.5
    assert costs.parameters <= 1e8
    assert costs.rtf.upper > costs.rtf.mean > costs.rtf.lower > 0
    assert answer.confidence.probability_within["rtf"] >= 0.9
    assert set(costs.rtf_by_phase) == {"features", "encoder", "prefill", "decode"}


def test_a_target_is_reached_as_cheaply_as_the_risk_allows(planner):
    careful = ask(planner, target_wer=0.09, risk=0.02)
    bold = ask(planner, target_wer=0.09, risk=0.4)
    assert true_error(careful.configuration) <= 0.09
    assert bold.costs.gflops_per_utterance <= careful.costs.gflops_per_utterance
    assert careful.confidence.probability_within["target"] >= 0.98


def test_nothing_feasible_names_the_nearest_and_the_price(planner):
    with pytest.raises(NoFeasibleConfigurationError) as caught:
        ask(planner, gflops_per_utterance=1)
    details = caught.value.details
    assert details["binding"] == "gflops_per_utterance"
    needed = details["needed"]["gflops_per_utterance"]
    assert details["nearest"]["gflops_per_utterance"] <= needed
    # Exactly what it says is enough is enough.
    ask(planner, gflops_per_utterance=needed)
    with pytest.raises(NoFeasibleConfigurationError):
        ask(planner, gflops_per_utterance=0.99 * needed)


def test_an_unreachable_target_names_the_best_there_is(planner):
    with pytest.raises(NoFeasibleConfigurationError, match=r"reaches WER 0\.10 %") as caught:
        ask(planner, target_wer=0.001)
    assert caught.value.details["binding"] == "target"
    assert caught.value.details["reachable"]["wer"]["mean"] > 0.001


def test_measured_configurations_are_answered_with_what_was_measured(planner):
    """Catches a figure that is moved further from its measurement than its noise goes."""
    one = planner.evidence.observations[0]
    (predictions,) = planner.predict([one.configuration])
    assert predictions["wer"].observed == pytest.approx(one.error)
    assert abs(math.log(predictions["wer"].mean / one.error)) < one.own_log_se
    assert predictions["wer"].basis == predictions["wer"].source == "measured"


def test_predictions_say_what_they_rest_on(planner):
    inside, outside = planner.predict(
        [Configuration(model="base", window_s=12), Configuration(model="base", window_s=2)]
    )
    assert inside["wer"].basis == "interpolated"
    assert outside["wer"].basis == "extrapolated"
    width = [p["wer"].upper / p["wer"].lower for p in (inside, outside)]
    assert width[1] > width[0]


def test_alternatives_name_other_models_and_what_they_trade(planner):
    answer = ask(planner, gflops_per_utterance=400, alternatives=3)
    assert 1 <= len(answer.alternatives) <= 3
    assert answer.configuration not in [a.configuration for a in answer.alternatives]
    assert all("points of WER" in a.trade or "same WER" in a.trade for a in answer.alternatives)


def test_the_front_only_gets_better_as_it_gets_dearer(planner):
    points = ask(planner, gflops_per_utterance=100).pareto_front.points
    costs, means = [p.x.mean for p in points], [p.y.mean for p in points]
    assert costs == sorted(costs)
    assert means == sorted(means, reverse=True)


def test_only_asked_for_models(planner):
    answer = ask(planner, gflops_per_utterance=1e6, models=("base", "tiny.en"))
    assert answer.configuration.model == "whisper-base"
    with pytest.raises(UnknownNameError):
        ask(planner, gflops_per_utterance=100, models=("bass",))


def test_optuna_finds_at_least_what_the_lattice_holds(planner):
    lattice = ask(planner, gflops_per_utterance=130)
    refined = ask(planner, gflops_per_utterance=130, trials=64, seed=1)
    again = ask(planner, gflops_per_utterance=130, trials=64, seed=1)
    as_good = lattice.predictions["wer"].mean * (1 + Question.model_fields["tolerance"].default)
    assert refined.predictions["wer"].mean <= as_good
    assert refined.costs.gflops_per_utterance <= 130
    assert refined == again


def own_space(trial):
    return Configuration(
        model=trial.suggest_categorical("model", ["whisper-base", "whisper-small.en"]),
        window_s=round(trial.suggest_float("window_s", 7, 19, step=0.1), 2),
        token_stride=round(trial.suggest_float("token_stride", 1.0, 2.0), 2),
        reduction_layer=3,
    )


def test_a_space_of_one_s_own_is_searched(planner):
    """Catches a space that is left for the lattice, or whose best is not found."""
    question = Question(study="world", budget=Budget(gflops_per_utterance=60), seed=1)
    found = planner.search(question, own_space, trials=96, only=True)
    assert found == planner.search(question, own_space, trials=96, only=True)
    assert found.configuration.model in ("whisper-base", "whisper-small.en")
    assert 7 <= found.configuration.window_s <= 19
    assert found.costs.gflops_per_utterance <= 60
    # All of a grid through the same space is hardly better.
    grid = Lattice.of(
        [
            Configuration(model=m, window_s=float(w), token_stride=float(s), reduction_layer=3)
            for m in ("base", "small.en")
            for w in np.arange(7, 19.01, 0.5)
            for s in np.arange(1, 2.01, 0.05).round(2)
        ]
    )
    table = planner.table(grid, question)
    best = table.objective[table.violation <= 0].min()
    assert found.predictions["wer"].mean <= best * 1.02
    both = planner.search(question, own_space, trials=32)
    assert both.predictions["wer"].mean <= planner.recommend(question).predictions["wer"].mean


def test_a_space_without_an_answer_says_what_is_nearest(planner):
    question = Question(study="world", budget=Budget(gflops_per_utterance=1))
    with pytest.raises(NoFeasibleConfigurationError, match="window"):
        planner.search(question, own_space, trials=16, only=True)


def test_answers_repeat(planner):
    assert ask(planner, gflops_per_utterance=90) == ask(planner, gflops_per_utterance=90)


def test_devices_nobody_knows_are_too_little_data(planner):
    with pytest.raises(InsufficientDataError, match="known: box"):
        ask(planner, rtf=0.1, device="abacus")


def test_nothing_known_is_too_little_data():
    with pytest.raises(InsufficientDataError):
        ask(Planner(Evidence(task="asr", study="s", observations=())), gflops_per_utterance=10)


def test_verification_is_asked_for_by_the_risk_of_the_decision(unsure):
    """A choice that rests on few, noisy points is to be verified; a sure one is not."""
    plan = ask(unsure, gflops_per_utterance=60).verification
    assert plan.needed
    assert plan.candidates
    assert plan.candidates[0].runnable
    known = [
        Configuration(
            model="tiny.en", window_s=w, window_policy=policy, token_stride=s, reduction_layer=2
        )
        for policy, windows in (("chunk", (6, 8, 10, 12, 15, 20, 25, 30)), ("ladder", (30,)))
        for w in windows
        for s in (1.0, 1.5)
    ]
    sure = Planner(
        Evidence(
            task="asr",
            study="world",
            observations=tuple(observed([*STAR, *known], noise=0.001)),
            runnable=frozenset({"whisper-tiny.en"}),
        )
    )
    answer = ask(sure, gflops_per_utterance=60, models=("tiny.en",), tolerance=0.05)
    assert not answer.verification.needed
    assert answer.verification.candidates == ()


def test_with_a_target_what_may_reach_it_more_cheaply_is_to_be_run(unsure):
    """Not what is better and dearer: that can't change the decision."""
    question = Question(target_wer=0.1)
    answer = unsure.recommend(question)
    plan, cost = answer.verification, answer.costs.gflops_per_utterance
    assert plan.needed
    rivals = [c for c in plan.candidates if c.configuration != answer.configuration]
    assert rivals
    for candidate in rivals:
        own = utterance_flops(candidate.configuration, unsure.evidence.workload).total
        assert own < 1e9 * cost
        (predicted,) = unsure.predict([candidate.configuration], 0.9)
        assert predicted["wer"].lower < 0.1
        # At most what the candidate would save.
        assert 0 < candidate.expected_gain <= 1 - own / (1e9 * cost) + 1e-6
    assert 0 <= answer.confidence.expected_regret < 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "at least one budget"),
        ({"budget": Budget(rtf=0.1)}, "name one, for example local"),
        ({"budget": Budget(usd_per_audio_hour=1), "device": "box"}, "usd_per_device_hour"),
        ({"target_ua": 0.5}, "for asr name target_wer"),
        ({"task": "ser", "target_wer": 0.5}, "for ser name target_ua"),
        ({"task": "ser", "target_ua": 0.5, "trials": 9}, "ser is searched whole"),
        ({"target_wer": 0.1, "minimise": "rtf"}, "belongs to a device"),
        ({"target_wer": 1.5}, "less than"),
        ({"budget": {"gflops_per_utterance": -1}}, "greater than"),
        ({"budget": {"gflops_per_utterance": float("nan")}}, "finite"),
        ({"budget": {"watts": 3}}, "Extra inputs"),
    ],
)
def test_contradictory_questions_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Question(**fields)


def test_every_model_of_the_lattice_is_in_the_registry(planner):
    from planner.space import candidates

    models = {c.model for c in candidates(planner.evidence)}
    assert models == {m.name for m in MODELS if m.family == "whisper"}


def test_what_a_study_s_speech_shares_widens_levels_but_not_differences():
    """Sampling error of 10 % that all figures share, 1 % that is their own."""
    shared = [replace(o, error_se=0.1 * o.error, paired_se=0.01 * o.error) for o in observed(STAR)]
    rows = [Configuration(model="base", window_s=12), Configuration(model="base", window_s=25)]
    evidence = Evidence(task="asr", study="world", observations=tuple(shared))
    quality = Planner(evidence).quality.predict(Lattice.of(rows), level=0.9, draws=4000)
    draws = quality.draws_of(np.arange(2)).T
    assert (np.log(quality.upper / quality.lower) > 2 * 1.6 * 0.09).all()
    levels = np.log(draws).std(axis=0)
    difference = np.log(draws[:, 0] / draws[:, 1]).std()
    assert levels.min() > 0.09
    assert difference < 0.5 * levels.min()


def test_the_ser_lattice_fills_in_between_what_was_observed():
    """Layers and windows in between, inner reductions; none at the exit or above it."""
    from planner.space import candidates

    def seen(**options):
        chosen = Configuration(task="ser", model="whisper-base", **options)
        return Observation(chosen.key, "ser-x", chosen, 0.2, 0.02, "measured", "a test")

    observed = (
        seen(window_s=1, exit_layer=2),
        seen(window_s=3, exit_layer=4),
        seen(window_s=3, exit_layer=4, token_stride=2, reduction_layer=2),
        seen(window_s=3, exit_layer=4, token_stride=8),
    )
    found = candidates(Evidence("ser", "ser-x", observed))
    assert {c.window_s for c in found} == {1.0, 1.5, 2.0, 2.5, 3.0}
    assert {c.exit_layer for c in found} == {2, 3, 4}
    assert {o.configuration for o in observed} <= set(found)
    reduced = {(c.token_stride, c.reduction_layer, c.exit_layer) for c in found}
    assert reduced == {(1, None, 2), (1, None, 3), (1, None, 4), (2, 2, 3), (2, 2, 4), (8, 4, 4)}


def test_a_budget_says_what_more_of_it_would_buy(planner):
    answer = ask(
        planner,
        gflops_per_utterance=150,
        parameters=1e9,
        relax={"gflops_per_utterance": 3},
    )
    flops, parameters = answer.budgets
    assert flops.binds
    assert not parameters.binds
    assert (flops.factor, parameters.factor) == (3, 1.2)
    relaxed = ask(planner, gflops_per_utterance=450, parameters=1e9)
    assert flops.relaxed.configuration == relaxed.configuration
    before, after = (a.predictions["wer"].mean for a in (answer, relaxed))
    assert flops.relaxed.gain == pytest.approx(before - after)
    assert flops.relaxed.price == pytest.approx((before - after) / 300)

    step = flops.next_step
    assert step.bound > 150
    at_it = ask(planner, gflops_per_utterance=step.bound, parameters=1e9)
    short_of_it = ask(planner, gflops_per_utterance=0.999 * step.bound, parameters=1e9)
    assert at_it.configuration == step.configuration
    gained = before - short_of_it.predictions["wer"].mean
    assert gained < 0.006 * before
    assert any("GFLOPs per utterance binds: 200% more" in reason for reason in answer.reasons)


def test_only_budgets_that_were_named_are_relaxed():
    with pytest.raises(ValueError, match="relax names rtf"):
        Question(budget=Budget(gflops_per_utterance=1), relax={"rtf": 2})


def test_latency_is_a_recording_s_and_more_for_a_longer_one(planner):
    workload = Workload(durations_s=(2, 2, 2, 29), tokens_per_audio_s=3)
    answer = ask(planner, latency_p95_s=20, device="box", workload=workload)
    p50, p95 = (answer.predictions[f"latency_p{share}_s"] for share in (50, 95))
    assert answer.confidence.probability_within["latency_p95_s"] >= 0.9
    assert p50.mean < p95.mean <= 20
    short = ask(planner, rtf=9, device="box", workload=workload.only(2)).predictions
    assert short["latency_p50_s"].mean == pytest.approx(2 * short["rtf"].mean)


def test_batches_buy_throughput_with_latency(planner):
    one = {"durations_s": (10,), "tokens_per_audio_s": 3}
    alone = ask(planner, rtf=0.15, device="box", workload=Workload(**one))
    many = Workload(**one, max_batch_size=16)
    together = ask(planner, rtf=0.15, device="box", workload=many)
    assert together.configuration.batch_size > 1
    assert together.predictions["wer"].mean <= alone.predictions["wer"].mean
    bound = together.predictions["latency_p95_s"].mean
    bounded = ask(planner, rtf=0.15, latency_p95_s=bound, device="box", workload=many)
    assert bounded.configuration.batch_size < together.configuration.batch_size


def test_devices_needed_keep_up_with_what_comes_in(planner):
    workload = Workload(durations_s=(10,), tokens_per_audio_s=3, arrivals_per_s=20)
    answer = ask(planner, rtf=0.1, device="box", workload=workload, usd_per_device_hour=2)
    plan = answer.deployment
    assert plan.busy_devices == pytest.approx(200 * answer.predictions["rtf"].mean)
    assert plan.busy_devices <= plan.devices * 0.7
    assert plan.usd_per_hour == 2 * plan.devices
    assert ask(planner, gflops_per_utterance=100, workload=workload).deployment is None


def test_energy_needs_power(planner):
    with pytest.raises(InsufficientDataError, match="device_watts"):
        ask(planner, joules_per_audio_second=5, device="box")
    answer = ask(planner, joules_per_audio_second=5, device="box", device_watts=60)
    energy, rtf = answer.predictions["joules_per_audio_second"], answer.predictions["rtf"]
    assert energy.mean == pytest.approx(60 * rtf.mean)
    assert "60 W" in energy.provenance


def test_recordings_unlike_the_study_s_are_pointed_out(planner):
    """Catches an error measured on short utterances that is promised for hour-long talks."""
    studied = planner.evidence.workload

    def said(workload):
        reasons = ask(planner, gflops_per_utterance=1e4, workload=workload).reasons
        return [reason for reason in reasons if "than any of the study's" in reason]

    assert said(studied) == []
    assert "100% of the audio is in recordings longer" in said(studied.only(300.0))[0]
    assert "recordings shorter" in said(studied.only(0.3))[0]


def test_a_long_workload_is_costed_in_few_groups(planner):
    """500 durations: the mean is kept, and costs stay within a few percent."""
    durations = tuple(np.random.default_rng(0).gamma(2, 4, 500) + 0.5)
    whole = Workload(durations_s=durations, tokens_per_audio_s=3)
    few = whole.binned()
    assert len(few.durations_s) <= 20
    assert few.mean_audio_s == pytest.approx(whole.mean_audio_s)
    c = Configuration(model="base", window_s=10)
    assert utterance_flops(c, few).total == pytest.approx(utterance_flops(c, whole).total, rel=0.03)


def test_more_of_each_axis_is_weighed(planner):
    answer = ask(planner, gflops_per_utterance=60)
    own, steps = answer.configuration, answer.elasticities
    assert [s.elasticity.mean for s in steps] == sorted(s.elasticity.mean for s in steps)
    by_axis = {step.axis: step for step in steps}
    larger = by_axis["xN"].configuration
    assert larger.architecture.parameters > own.architecture.parameters
    same = {"window_s", "token_stride", "window_policy", "precision"}
    assert larger.model_dump(include=same) == own.model_dump(include=same)
    for step in steps:
        assert step.cost_ratio > 1
        assert step.gain.lower <= step.gain.mean <= step.gain.upper
        error = answer.predictions["wer"].mean
        grown = np.log(1 - step.gain.mean / error) / np.log(step.cost_ratio)
        assert step.elasticity.mean == pytest.approx(grown)
    assert any("best spent on" in reason for reason in answer.reasons)


def test_what_is_kept_between_questions_changes_no_answer(planner):
    """Catches steps along an axis, or costs, that are those of another question's budget."""
    a_second = 90 / planner.evidence.workload.mean_audio_s
    budgets = [{"gflops_per_utterance": 90}, {"gflops_per_audio_second": a_second}]
    kept = [ask(planner, **budget) for budget in budgets]
    assert kept[0].configuration == kept[1].configuration
    assert all(answer.elasticities for answer in kept)
    assert kept == [ask(Planner(planner.evidence), **budget) for budget in budgets]


def test_a_ratio_is_of_errors_on_the_same_speech(planner):
    """Catches a ratio that holds what moves both errors, and one of other draws."""
    known = [o.configuration for o in planner.evidence.in_study[:2]]
    errors = [o.error for o in planner.evidence.in_study[:2]]
    own, other = planner.ratios(known, known[0])
    assert (own.mean, own.lower, own.upper, own.unit) == (1, 1, 1, "ratio")
    assert other.mean == pytest.approx(errors[1] / errors[0], rel=0.02)
    assert other.lower < other.mean < other.upper
    unknown = Configuration(model="base", window_s=23)
    (predicted,) = planner.ratios([unknown], known[0])
    (level,) = planner.predict([unknown])
    assert predicted.basis in ("interpolated", "extrapolated")
    assert predicted.mean == pytest.approx(level["wer"].mean / errors[0], rel=0.1)


def test_the_study_that_moved_an_answer_is_named():
    """Catches an influence of the wrong sign, or of a study that says what is known anyway."""
    few = [Configuration(model=m) for m in ("tiny.en", "base", "large-v3")]
    windows = [Configuration(model="base", window_s=w) for w in (6, 10, 15, 20)]
    steep = [
        replace(o, study="steep", error=o.error * (30 / o.configuration.window_s) ** 0.5)
        for o in observed([*few, *windows], study="steep")
    ]
    like = observed([*few, Configuration(model="small.en")], study="like")
    known = (*observed(few), *steep, *like)
    planner = Planner(Evidence("asr", "world", known))
    without = Planner(Evidence("asr", "world", tuple(o for o in known if o.study != "steep")))
    asked = Configuration(model="base", window_s=10)
    changes = dict(planner.quality.influences(asked))
    assert changes.keys() == {"steep", "like"}
    assert abs(changes["steep"]) > 3 * abs(changes["like"])
    (before,), (after,) = planner.predict([asked]), without.predict([asked])
    actual = math.log(after["wer"].mean / before["wer"].mean)
    assert changes["steep"] < 0
    assert actual < 0

    answer = ask(planner, gflops_per_utterance=60, models=("base",))
    moved = dict(planner.quality.influences(answer.configuration))
    told = {one.study: one.change for one in answer.influences}
    assert told == {s: pytest.approx(math.expm1(c)) for s, c in moved.items() if abs(c) >= 0.01}
    assert any("Other studies" in reason for reason in answer.reasons) == bool(told)
