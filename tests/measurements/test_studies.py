"""How a measurement becomes an observation: its spread is what was said, or what was counted."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from measurements.catalogue import catalogue
from measurements.exchange import take_in
from measurements.fits import FITS
from measurements.records import DatasetInfo, Measurement, Metric
from measurements.scoring import normaliser_of
from measurements.store import Store
from measurements.studies import evidence_for
from models_registry import Configuration
from planner.evidence import UNKNOWN_SE
from planner.question import Budget, Question
from planner.recommend import Planner

ROW = {"study": "asr-mine", "dataset": "m", "provenance": "x", "model": "whisper-base"}
EMOTION = {**ROW, "study": "ser-mine", "task": "ser", "window_s": 3}


@pytest.fixture
def store(tmp_path):
    opened = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


def imported(store, *rows):
    take_in(rows, store)
    task = rows[0].get("task", "asr")
    return evidence_for(task, rows[0]["study"], store)


def answer(store, *rows, level=0.95):
    """The prediction of the configuration that the rows are of."""
    evidence = imported(store, *rows)
    (first, *_) = evidence.in_study
    (found,) = Planner(evidence, fits=FITS).predict([first.configuration], level)
    return next(iter(found.values()))


def test_an_imported_interval_is_answered_at_its_level_and_at_others(store):
    row = {**ROW, "wer": 0.174, "lower": 0.10, "upper": 0.25, "level": 0.95}
    found = answer(store, row)
    assert (found.lower, found.mean, found.upper) == pytest.approx((0.10, 0.174, 0.25), rel=1e-4)
    narrower = answer(store, row, level=0.5)
    assert found.lower < narrower.lower < narrower.upper < found.upper


def test_of_an_accuracy_the_interval_is_turned_round(store):
    found = answer(store, {**EMOTION, "ua": 0.80, "lower": 0.60, "upper": 0.85, "level": 0.95})
    assert (found.lower, found.mean, found.upper) == pytest.approx((0.60, 0.80, 0.85), rel=1e-4)


def test_an_imported_standard_error_is_answered(store):
    found = answer(store, {**ROW, "wer": 0.20, "se": 0.02}, level=0.90)
    reach = 1.6449 * 0.02 / 0.20
    assert (found.lower, found.upper) == pytest.approx(
        (0.20 * math.exp(-reach), 0.20 * math.exp(reach)), rel=0.05
    )


@pytest.mark.parametrize(
    ("told", "least", "most"),
    [
        ({"wer": 0.10, "reference_words": 1000}, 0.10, 0.16),
        ({"wer": 0.10, "reference_words": 100_000}, 0.010, 0.016),
        ({"wer": 0.10, "utterances": 100}, 0.10, 0.16),
        ({"wer": 0.10}, 0.07, 0.12),
        ({"wer": 1.40, "reference_words": 1000}, 0.02, 0.06),
        ({"wer": 0.0, "reference_words": 100}, 1.0, 3.0),
        ({"ua": 0.60, "utterances": 100}, 0.12, 0.25),
        ({"ua": 0.60}, 0.12, 0.25),
        ({"ua": 1.0, "utterances": 50}, 1.0, 3.0),
        ({"ua": 0.0, "utterances": 50}, 0.01, 0.1),
        ({"wer": 0.10, "se": 0.0, "reference_words": 1000}, 0.10, 0.16),
        ({"wer": 0.10, "lower": 0.10, "upper": 0.10, "reference_words": 1000}, 0.10, 0.16),
        ({"wer": 0.10, "lower": 0.08, "level": 0.95}, 0.10, 0.13),
    ],
    ids=str,
)
def test_what_is_not_said_comes_of_counts_or_of_a_wide_default(store, told, least, most):
    """Standard errors of the log error."""
    task, name = ("ser", "ua") if "ua" in told else ("asr", "wer")
    sizes = {k: v for k, v in told.items() if k in ("utterances", "reference_words")}
    stated = {k: v for k, v in told.items() if k in ("se", "lower", "upper", "level")}
    store.add_measurement(
        Measurement(
            key="0" * 64,
            study=f"{task}-mine",
            configuration=Configuration(task=task, model="base", window_s=3),
            source="measured",
            provenance="x",
            dataset=DatasetInfo(name="m", **sizes),
            metric=Metric(name=name, value=told[name], **stated),
        )
    )
    (found,) = evidence_for(task, f"{task}-mine", store).in_study
    assert least < found.log_se < most


def test_a_published_figure_without_a_size_keeps_its_default(store):
    (found,) = imported(store, {**ROW, "wer": 0.10, "source": "published"}).in_study
    assert found.log_se == UNKNOWN_SE


ends = st.one_of(st.none(), st.floats(0, 1))


@example("wer", 5e-324, None, None, None, None, "measured")
@example("wer", 1e-200, 0.0, 1.0, 1e-210, 1, "published")
@given(
    st.sampled_from(["wer", "ua"]),
    st.floats(0, 1),
    ends,
    ends,
    st.one_of(st.none(), st.floats(0, 2)),
    st.one_of(st.none(), st.integers(1, 10**7)),
    st.sampled_from(["measured", "published"]),
)
def test_any_metric_makes_an_observation_with_a_width(name, value, low, high, se, size, source):
    from measurements.studies import _observation

    low = None if low is None else min(low, value)
    high = None if high is None else max(high, value)
    found = _observation(
        Measurement(
            key="0" * 64,
            study="s",
            configuration=Configuration(model="base"),
            source=source,
            provenance="x",
            dataset=DatasetInfo(name="m", utterances=size, reference_words=size),
            metric=Metric(name=name, value=value, lower=low, upper=high, level=0.9, se=se),
        ),
        None,
        "s",
    )
    assert 0 < found.error < math.inf
    assert 1e-7 < found.log_se < math.inf
    if found.log_sds is not None:
        assert all(0 < side < math.inf for side in found.log_sds)


def test_repeats_are_pooled_by_their_words_and_equal_rows_are_one(store):
    few = {
        **ROW,
        "provenance": "100 calls",
        "wer": 0.05,
        "utterances": 100,
        "reference_words": 2000,
    }
    many = {
        **ROW,
        "provenance": "400 calls",
        "wer": 0.30,
        "utterances": 400,
        "reference_words": 8000,
    }
    found = answer(store, few, many, dict(many))
    assert found.mean == pytest.approx(0.25)
    assert found.upper > 0.45
    assert "2 runs pooled, 10,000 words" in found.provenance
    planner = Planner(evidence_for("asr", "asr-mine", store), fits=FITS)
    assert len(planner.evidence.in_study) == 1
    assert planner.evidence.in_study[0].runs == 2
    # What lies beside it is as unsure of the study's level, and the answer says why.
    found = planner.recommend(Question(models=("base",), budget=Budget(gflops_per_utterance=2000)))
    assert found.predictions["wer"].mean == pytest.approx(0.25, rel=0.15)
    assert found.predictions["wer"].upper > 0.45
    assert any("disagree" in reason for reason in found.reasons)


def test_accuracies_are_pooled_by_their_clips(store):
    rows = [
        {**EMOTION, "provenance": str(n), "ua": ua, "utterances": clips}
        for n, (ua, clips) in enumerate([(0.9, 100), (0.5, 300)])
    ]
    assert answer(store, *rows).mean == pytest.approx(0.6)


def test_a_run_that_was_scored_again_takes_the_place_of_the_old_score(store):
    old = next(m for m in catalogue() if m.study == "asr-librispeech-mini-test-other")
    metric = old.metric.model_copy(
        update={"value": 2 * old.metric.value, "upper": 1.0, "method": normaliser_of("en")}
    )
    store.add_measurement(old.model_copy(update={"key": "f" * 64, "metric": metric}))

    def seen():
        return [
            o
            for o in evidence_for("asr", old.study, store).in_study
            if o.configuration == old.configuration
        ]

    (found,) = seen()
    assert found.error == pytest.approx(metric.value)
    assert found.runs == 1


def test_the_catalogue_s_observations_are_all_of_some_width():
    for task in ("asr", "ser"):
        for observation in evidence_for(task, None, None).observations:
            assert np.isfinite(observation.own_log_se)
            assert observation.own_log_se > 0


def few(m, keep, **fields):
    """A measurement of the utterances of some speakers, on speech of its own."""
    rows = [row for row, who in enumerate(m.speakers) if who in keep]
    picked = {
        name: tuple(getattr(m, name)[row] for row in rows)
        for name in ("utterance_errors", "speakers", "labels")
    }
    dataset = m.dataset.model_copy(update={"fingerprint": "e" * 64, "utterances": len(rows)})
    return m.model_copy(update={**picked, "dataset": dataset, "key": "e" * 64, **fields})


def test_other_speech_of_the_same_name_is_another_study(store):
    """Catches a catalogue's figure that is answered for speech that was measured here."""
    built_in = next(
        m
        for m in catalogue()
        if m.study == "ser-emodb-de" and m.configuration.adapter == "none" and m.speakers
    )
    who = set(sorted(set(built_in.speakers))[:3])
    own = few(built_in, who, metric=Metric(name="ua", value=0.55, se=0.05))
    store.add_measurement(own)
    evidence = evidence_for("ser", "ser-emodb-de", store)
    (found,) = evidence.in_study
    assert (found.error, found.speech) == (pytest.approx(0.45), "e" * 64)
    others = [o for o in evidence.observations if o.corpus == "ser-emodb-de" and o is not found]
    assert others
    assert all(o.study.startswith("ser-emodb-de, other speech") for o in others)
    (answered,) = Planner(evidence, fits=FITS).predict([built_in.configuration])
    assert answered["ua"].observed == pytest.approx(0.55)
    assert answered["ua"].mean == pytest.approx(0.55, abs=0.1)
    # Of a third of the clips two thirds train a head.
    assert found.training_clips == pytest.approx(len(own.speakers) * 2 / 3)
    assert evidence.speech.training_clips == found.training_clips


def test_the_catalogue_s_own_few_speakers_are_not_the_study(store):
    evidence = evidence_for("ser", "ser-emodb-de", None)
    assert {o.trials for o in evidence.in_study} == {372}
    assert len({o.study for o in evidence.observations if o.corpus == "ser-emodb-de"}) == 5


def test_what_is_of_the_same_speech_stays_together(store):
    """Catches a store that measures the catalogue's speech and loses what is known of it."""
    before = evidence_for("asr", "asr-librispeech-mini-test-other", None)
    m = next(m for m in catalogue() if m.study == before.study)
    configuration = m.configuration.model_copy(update={"window_s": 17.0})
    store.add_measurement(m.model_copy(update={"key": "a" * 64, "configuration": configuration}))
    after = evidence_for("asr", before.study, store)
    assert len(after.in_study) == len(before.in_study) + 1
