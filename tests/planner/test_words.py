"""Figures in words: nothing rounded into a promise."""

from hypothesis import given
from hypothesis import strategies as st

from planner import words
from planner.workload import Workload


@given(st.floats(1e-4, 1e4))
def test_what_is_said_to_be_needed_is_enough(value):
    said = float(words.needed("rtf", value).removeprefix("RTF ").replace(",", ""))
    assert value * (1 - 1e-6) <= said <= value * 1.011


def test_small_budgets_and_small_risks_are_not_rounded_away():
    assert words.amount("rtf", 0.0005) == "RTF 0.0005"
    assert words.amount("parameters", 1000) == "0.001 M parameters"
    assert words.chance(0.999) == "99.9%"
    assert words.chance(0.9) == "90%"


def test_figures_at_the_ends_of_the_scale_are_said_as_they_are():
    assert words.chance(1 - 1e-4) == "99.99%"
    assert words.chance(1 - 1e-6) == "99.9999%"
    assert words.chance(1.0) == "100%"
    assert words.amount("parameters", 50) == "50 parameters"
    assert words.amount("usd_per_audio_hour", 5e-5) == "0.00005 USD/h of audio"
    assert words.workload(Workload.fixed(0.05), "asr").startswith("0.05 s of audio")


def test_no_tokens_are_spoken_of_where_emotions_are_read():
    assert "token" not in words.workload(Workload.fixed(4), "ser")
