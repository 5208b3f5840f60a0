"""Paired standard errors against a bootstrap with common draws."""

import numpy as np
import pytest

from measurements.catalogue import catalogue
from measurements.pairing import paired_spreads


def made(key, counts, words, fingerprint="f"):
    base = catalogue()[0]
    return base.model_copy(
        update={
            "key": key,
            "study": "s",
            "dataset": base.dataset.model_copy(update={"fingerprint": fingerprint}),
            "utterance_errors": tuple(zip(map(int, counts), map(int, words), strict=True)),
        }
    )


def test_equals_the_paired_bootstrap_and_is_much_smaller_than_the_unpaired():
    rng = np.random.default_rng(0)
    words = rng.integers(8, 30, 300)
    hard = rng.gamma(1.0, 0.12, 300)
    counts = np.array([rng.binomial(words, np.clip(f * hard, 0, 1)) for f in (0.8, 1.0, 1.3)])
    found = paired_spreads([made(str(k), counts[k], words) for k in range(3)])

    draws = rng.multinomial(300, np.full(300, 1 / 300), size=4000)
    logs = np.log(draws @ counts.T)
    paired = (logs - logs.mean(axis=1, keepdims=True)).std(axis=0)
    own = np.array([found[str(k)].log_se for k in range(3)])
    # The mean over three holds a third of each one's own error.
    np.testing.assert_allclose(own * np.sqrt(2 / 3), paired, rtol=0.15)
    assert all(own[k] < 0.8 * logs[:, k].std() for k in range(3))


def test_the_difference_of_deviations_is_the_spread_of_a_paired_difference():
    """Catches deviations that are scaled as the standard errors are, or not by S / (S - 1)."""
    rng = np.random.default_rng(2)
    words = rng.integers(8, 30, 60)
    speakers = np.repeat(np.arange(6), 10)
    easy = rng.gamma(1.0, 0.12, 60) * rng.lognormal(0, 0.5, 6)[speakers]
    counts = [rng.binomial(words, np.clip(f * easy, 0, 1)) for f in (0.8, 1.2)]
    rows = [
        made(name, errors, words).model_copy(update={"speakers": tuple(map(str, speakers))})
        for name, errors in zip("ab", counts, strict=True)
    ]
    found = paired_spreads(rows)
    shares = [np.bincount(speakers, errors) / errors.sum() for errors in counts]
    expected = np.sqrt(6 / 5) * (shares[0] - shares[1])
    np.testing.assert_allclose(found["a"].deviations - found["b"].deviations, expected, atol=1e-12)


def test_only_the_same_speech_is_compared():
    one = made("a", [1, 2], [9, 9])
    assert paired_spreads([one]) == {}
    assert paired_spreads([one, made("b", [1, 2], [9, 9], "other speech")]) == {}
    assert paired_spreads([one, made("b", [0, 0], [9, 9])]) == {}
    same = paired_spreads([one, made("b", [2, 4], [9, 9])])
    # Half an error of three, and of six: proportional errors are no proof of equal ones.
    assert same["a"].log_se == pytest.approx(1 / 6)
    assert same["b"].log_se == pytest.approx(1 / 12)


def test_accuracies_are_paired_by_speaker_with_every_class_weighing_the_same():
    """Against a bootstrap over speakers with the same draws for every configuration."""
    rng = np.random.default_rng(1)
    speakers = np.repeat(np.arange(40), 15)
    labels = rng.choice(["calm", "glad", "sad"], 600, p=[0.2, 0.3, 0.5])
    hard = rng.beta(2, 4, 40)[speakers]
    wrong = np.array([rng.binomial(1, np.clip(f * hard, 0, 1)) for f in (0.8, 1.0, 1.3)])
    rows = [
        made(str(k), wrong[k], np.ones(600, int)).model_copy(
            update={
                "metric": catalogue()[0].metric.model_copy(update={"name": "ua"}),
                "labels": tuple(labels),
                "speakers": tuple(map(str, speakers)),
            }
        )
        for k in range(3)
    ]
    found = paired_spreads(rows)

    draws = rng.multinomial(40, np.full(40, 1 / 40), size=3000)[:, speakers]
    error = np.zeros((3000, 3))
    for label in ("calm", "glad", "sad"):
        own = labels == label
        error += draws[:, own] @ wrong[:, own].T / draws[:, own].sum(axis=1, keepdims=True) / 3
    logs = np.log(error)
    paired = (logs - logs.mean(axis=1, keepdims=True)).std(axis=0)
    own = np.array([found[str(k)].log_se for k in range(3)])
    np.testing.assert_allclose(own * np.sqrt(2 / 3), paired, rtol=0.15)
    assert all(own[k] < 0.9 * logs[:, k].std() for k in range(3))
