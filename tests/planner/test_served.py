"""Answers for recordings that are not those that errors were measured on."""

from dataclasses import replace

import numpy as np
import pytest

from models_registry import Configuration
from planner.errors import InsufficientDataError
from planner.evidence import Evidence, Observation
from planner.lattice import Lattice
from planner.question import Budget, Question
from planner.recommend import Planner
from planner.served import (
    ERRORS_PER_CUT,
    TOKENS_PER_WORD,
    UNLIKE_SD,
    cuts_per_word,
    on_recordings,
)
from planner.verification import plan_verification
from planner.workload import Workload
from tests.planner.test_recommend import DEVICES, STAR, observed

STUDIED = Workload(durations_s=(4.0, 12.0), tokens_per_audio_s=3.0)
SHORT = Configuration(model="tiny.en", window_s=8, window_policy="truncate")
CUT_OFF = replace(observed([SHORT])[0], key="cut-off", error=0.01, error_se=0.001)


@pytest.fixture(scope="module")
def planner():
    evidence = Evidence(
        task="asr",
        study="world",
        observations=(*observed(STAR), CUT_OFF),
        workload=STUDIED,
        devices=DEVICES,
        runnable=frozenset({"whisper-tiny.en", "whisper-base"}),
    )
    return Planner(evidence)


def asked(workload=None, **fields):
    budget = Budget(**{k: fields.pop(k) for k in list(fields) if k in Budget.model_fields})
    return Question(budget=budget, workload=workload, **fields)


def test_what_drops_audio_is_offered_for_the_recordings_that_it_was_measured_on_only(planner):
    """Catches 1 % measured on 12 s that is promised for 300 s, of which 8 s are heard."""
    own = asked(gflops_per_utterance=1e4)
    assert planner.recommend(own).configuration == SHORT
    batched = asked(STUDIED.model_copy(update={"max_batch_size": 2}), gflops_per_utterance=1e4)
    assert planner.recommend(batched).configuration.window_policy == "truncate"
    others = asked(STUDIED.only(300.0), gflops_per_utterance=1e4)
    assert planner.recommend(others).configuration.window_policy != "truncate"
    assert "truncate" not in {c.window_policy for c in planner.lattice(others)}
    assert planner.allowed(own, [SHORT]) == [True]
    assert planner.allowed(others, [SHORT]) == [False]


def test_a_window_of_an_emotion_is_offered_for_any_recording():
    """Catches a rule for transcripts that is held against what hears a window by design."""
    cut = Configuration(task="ser", model="whisper-base", window_s=3, window_policy="truncate")
    seen = tuple(
        Observation(c.key, "ser-x", c, error, 0.02, "measured", "a test")
        for c, error in ((cut, 0.1), (cut.model_copy(update={"window_s": 1.0}), 0.3))
    )
    long = asked(STUDIED.only(300.0), task="ser", target_ua=0.8)
    assert cut in set(Planner(Evidence("ser", "ser-x", seen)).lattice(long))


@pytest.mark.parametrize("audio_s", [1.0, 290.0])
def test_an_error_is_extrapolated_where_recordings_are_unlike_the_study_s(
    planner, audio_s, monkeypatch
):
    """Catches one interval for two seconds and for five minutes, and no run called for."""
    monkeypatch.setattr("planner.served.ERRORS_PER_CUT", 0.0)
    (like, unlike) = (
        planner.table(
            planner.lattice(asked(workload, gflops_per_utterance=1e4)),
            asked(workload, gflops_per_utterance=1e4),
        ).quality
        for workload in (STUDIED.only(8.0), STUDIED.only(audio_s))
    )
    np.testing.assert_array_equal(like.mean, unlike.mean)
    assert {unlike.basis_of(row) for row in range(len(unlike.mean))} == {"extrapolated"}
    wider = np.hypot(np.log(like.upper / like.mean), 1.645 * UNLIKE_SD)
    np.testing.assert_allclose(np.log(unlike.upper / unlike.mean), wider, rtol=1e-3)
    spread = np.hypot(np.log(like.draws).std(axis=1), UNLIKE_SD)
    np.testing.assert_allclose(np.log(unlike.draws).std(axis=1), spread, rtol=0.15)
    # What they share tells nothing of which is better.
    first = [np.log(q.draws[0] / q.draws[1]).std() for q in (like, unlike)]
    assert first[0] == pytest.approx(first[1], rel=1e-3)
    answer = planner.recommend(asked(STUDIED.only(audio_s), gflops_per_utterance=1e4))
    assert answer.predictions["wer"].basis == "extrapolated"
    assert answer.verification.needed
    assert any("outside of what was observed" in r for r in answer.verification.reasons)
    assert any("any of the study's" in reason for reason in answer.reasons)


def test_cuts_are_counted_by_the_words_between_them():
    """Catches pieces that are counted for cuts, and a truncated rest that is."""
    of = {
        Configuration(model="tiny.en", window_s=6): 1,
        Configuration(model="tiny.en", window_s=5): 2,
        Configuration(model="tiny.en", window_s=12): 0,
        Configuration(model="tiny.en"): 0,
        Configuration(model="tiny.en", window_policy="ladder"): 0,
        Configuration(model="tiny.en", window_s=6, window_policy="truncate"): 0,
        # Half a second of each of its windows is left silent.
        Configuration(model="tiny.en", window_s=6, tail_s=0.5): 2,
    }
    words = 12 * 3 / TOKENS_PER_WORD
    cuts = cuts_per_word(Lattice.of(list(of)), STUDIED.only(12.0))
    np.testing.assert_allclose(cuts, np.array(list(of.values())) / words)
    # Half of the recordings, with a quarter of the words.
    mixed = cuts_per_word(Lattice.of(list(of)), STUDIED)
    np.testing.assert_allclose(mixed, cuts * 12 / (12 + 4))


def test_what_is_cut_more_often_than_the_study_s_recordings_is_misheard_more(planner):
    """Catches an error of seconds that is promised for minutes in the same windows."""
    question = asked(STUDIED.only(11.5), gflops_per_utterance=1e4)
    lattice = planner.lattice(question)
    before = planner.quality.predict(lattice, level=0.9, draws=2000)
    after = on_recordings(before, lattice, STUDIED.only(11.5), STUDIED, seed=0)
    more = cuts_per_word(lattice, STUDIED.only(11.5)) - cuts_per_word(lattice, STUDIED)
    assert more.max() > 0.005
    np.testing.assert_allclose(after.mean, before.mean + ERRORS_PER_CUT * more)
    same = more == 0
    assert 0 < same.sum() < len(more)
    np.testing.assert_array_equal(after.draws[after.place[same]], before.draws[before.place[same]])
    np.testing.assert_allclose(after.upper[same], before.upper[same])
    assert (np.log(after.upper / after.lower) > 0).all()
    # Draws are of the same numbers as means and intervals.
    rows = np.flatnonzero(more == more.max())[:20]
    means = after.draws_of(rows).mean(axis=1)
    np.testing.assert_allclose(means, after.mean[rows], rtol=0.05)
    inside = (after.lower[rows, None] <= after.draws_of(rows)) & (
        after.draws_of(rows) <= after.upper[rows, None]
    )
    assert inside.mean() == pytest.approx(0.9, abs=0.05)
    # A measurement that is moved is none of these recordings.
    for row in np.flatnonzero(before.measured).tolist():
        moved = abs(after.mean[row] / before.mean[row] - 1) > 0.01
        assert after.basis_of(row) == ("interpolated" if moved else "measured")
        assert ("for each cut more" in after.provenance(row)) == moved


def test_an_answer_says_how_often_its_windows_cut(planner):
    """Catches a figure that moves with the recordings, and no word of why."""
    long = planner.recommend(asked(STUDIED.only(60.0), gflops_per_utterance=1e4))
    assert any("once in 150 words, the study's never: +0.5 points" in r for r in long.reasons)
    own = STUDIED.model_copy(update={"max_batch_size": 2})
    usual = planner.recommend(asked(own, gflops_per_utterance=1e4))
    assert not any("windows cut" in reason for reason in usual.reasons)


def test_a_few_unlike_recordings_change_nothing(planner):
    """Catches an answer that gives up its measurement over one recording in a hundred."""
    few = Workload(durations_s=(8.0, 13.0), weights=(0.95, 0.05), tokens_per_audio_s=3)
    many = few.model_copy(update={"weights": (0.9, 0.1)})
    lattice = planner.lattice(asked(few, gflops_per_utterance=1e4))
    studied = planner.quality.predict(lattice, level=0.9, draws=200)
    usual, unlike = (
        planner.table(lattice, asked(w, gflops_per_utterance=1e4)).quality for w in (few, many)
    )
    known = [row for row in range(len(lattice)) if studied.basis_of(row) != "extrapolated"]
    assert "extrapolated" not in {usual.basis_of(row) for row in known}
    assert {unlike.basis_of(row) for row in known} == {"extrapolated"}
    assert (unlike.upper > usual.upper).all()


def test_what_was_measured_is_not_run_again_for_recordings_that_the_study_has_not(planner):
    """Catches a verification that repeats a measurement, which can't tell of other recordings."""
    question = asked(STUDIED.only(300.0), gflops_per_utterance=1e5)
    table = planner.table(planner.lattice(question), question)
    (row,) = table.lattice.rows_of([STAR[4]])
    plan = plan_verification(
        table, int(row), probability_best=1.0, probability_within={}, evidence=planner.evidence
    )
    assert plan.needed
    assert plan.reasons[0] == "the choice lies outside of what was observed"
    assert plan.candidates
    assert not set(STAR) & {candidate.configuration for candidate in plan.candidates}


def test_devices_that_hear_a_window_need_no_time_for_the_rest():
    """Catches a minute of audio that is paid for where two seconds of it are heard."""
    heard = Configuration(task="ser", model="whisper-base", window_s=2, exit_layer=2)
    others = [heard.model_copy(update={"exit_layer": layer}) for layer in (3, 4, 5)]
    seen = tuple(
        Observation(c.key, "ser-x", c, 0.1, 0.01, "measured", "a test") for c in (heard, *others)
    )
    evidence = Evidence("ser", "ser-x", seen, devices=DEVICES)
    workload = Workload(durations_s=(60.0,), arrivals_per_s=10)
    answer = Planner(evidence).recommend(asked(workload, task="ser", target_ua=0.5, device="box"))
    assert answer.configuration.window_s == 2
    rtf = answer.predictions["rtf"].mean
    assert answer.deployment.busy_devices == pytest.approx(10 * 2 * rtf)
    assert answer.deployment.audio_s_per_s == 600


def test_models_that_a_study_has_not_observed_are_too_little_data():
    """Catches an answer over no candidates at all."""
    seen = Configuration(task="ser", model="whisper-base", window_s=2, exit_layer=2)
    planner = Planner(
        Evidence("ser", "ser-x", (Observation(seen.key, "ser-x", seen, 0.1, 0.01, "measured", ""),))
    )
    with pytest.raises(InsufficientDataError, match="no measurement of whisper-large-v3"):
        planner.recommend(asked(task="ser", target_ua=0.5, models=("whisper-large-v3",)))
