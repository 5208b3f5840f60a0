"""Transcripts of overlapping pieces: nothing said twice, nothing lost."""

from hypothesis import given
from hypothesis import strategies as st

from models_registry.loading.stitching import stitch


def test_shared_words_are_said_once():
    assert (
        stitch(["The quick brown fox", "brown fox, jumps"], [2.0]) == "The quick brown fox, jumps"
    )


def test_pieces_that_share_no_audio_are_joined_as_they_are():
    """A speaker who says a thing twice is not corrected."""
    assert stitch(["no no", "no no never"], [0.0]) == "no no no no never"


def test_a_word_cut_in_two_is_taken_from_the_piece_that_holds_it_whole():
    assert stitch(["we went to the stat", "to the station at noon"], [2.0]) == (
        "we went to the station at noon"
    )
    assert stitch(["he bought an apple pie", "pull apple pie today"], [2.0]) == (
        "he bought an apple pie today"
    )


def test_nothing_and_nothing():
    assert stitch([], []) == ""
    assert stitch(["", "", "word"], [1.0, 1.0]) == "word"


@given(st.integers(12, 40), st.integers(2, 6), st.data())
def test_any_cut_of_distinct_words_is_mended(count, shared, data):
    words = [f"w{index}" for index in range(count)]
    cut = data.draw(st.integers(shared, count - 1))
    texts = [" ".join(words[:cut]), " ".join(words[cut - shared :])]
    assert stitch(texts, [2.0]) == " ".join(words)
