"""Runaway decoding is seen at once, and speech is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from models_registry import Configuration  # noqa: E402
from models_registry.loading.loops import (  # noqa: E402
    LEAST_REPEATS,
    LEAST_TOKENS,
    LONGEST_PERIOD,
    loop_period,
    went_wrong,
    without_loop,
)
from models_registry.loading.whisper import silence, with_random_weights  # noqa: E402


@pytest.mark.parametrize(
    ("tokens", "period"),
    [
        ([1, 2, 3], None),
        ([7] * 11, None),
        ([7] * 12, 1),
        ([5, *[1, 2] * 6], 2),
        ([5, *[1, 2] * 5], None),
        ([*range(10), *list(range(20, 30)) * 4], 10),
        (list(range(20, 30)) * 3, None),
        ([*[1, 2] * 6, 9], None),
        (list(range(33)) * 4, None),
        ([], None),
    ],
)
def test_what_is_a_loop(tokens, period):
    assert loop_period(tokens) == period


@given(
    st.lists(st.integers(0, 50), max_size=40),
    st.lists(st.integers(51, 99), min_size=1, max_size=LONGEST_PERIOD, unique=True),
    st.integers(0, 4),
)
def test_a_loop_is_said_once(speech, repeated, more):
    repeats = max(LEAST_REPEATS, -(-LEAST_TOKENS // len(repeated))) + more
    assert without_loop(speech + repeated * repeats) == speech + repeated


@given(st.lists(st.integers(0, 1000), unique=True, max_size=200))
def test_words_that_do_not_repeat_are_left_alone(tokens):
    assert loop_period(tokens) is None
    assert without_loop(tokens) == tokens


def test_what_can_t_have_been_said_is_noticed():
    said = [
        "answering",
        "said",
        "if",
        "thou",
        "vouchsafe",
        "my",
        "lord",
        "to",
        "hear",
        "i",
        "will",
        "tell",
        "the",
        "truth",
    ]
    tokens = list(range(len(said)))
    assert not went_wrong(" ".join(said), tokens, 5.0)
    assert went_wrong(" ".join(said), tokens, 15.0)
    assert went_wrong(" ".join(said + said[-6:]), tokens + tokens[-6:], 5.0)
    assert not went_wrong(" ".join(said + said[-3:]), tokens + tokens[-3:], 5.0)
    assert went_wrong("and so on " * 12, list(range(36)), 5.0)
    assert not went_wrong("", [], 0.0)


def test_a_decoder_that_says_one_thing_forever_is_stopped():
    """A random model does; every row of a batch ends on its own."""
    transcriber = with_random_weights(
        Configuration(model="whisper-tiny.en", window_s=30), torch.device("cpu")
    )
    results = transcriber.transcribe_batch([silence(20.0), silence(1.0)])
    for result in results:
        (tokens,) = result.tokens
        assert result.cut_short == 1
        assert len(tokens) < 224
    assert len(results[1].tokens[0]) <= 12 + 16
