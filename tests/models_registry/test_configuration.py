"""Configurations: equal ones are equal, impossible ones are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models_registry import MODELS, Configuration, UnknownNameError
from models_registry.configuration import reduced_tokens


def test_configurations_that_run_alike_are_equal():
    plain = Configuration(model="whisper-base")
    assert plain == Configuration(model="base", token_stride=1, reduction_layer=3)
    assert plain == Configuration(model="openai/whisper-base", reduction="pick")
    strided = Configuration(model="base", token_stride=2)
    assert strided == Configuration(model="base", token_stride=2, reduction_layer=6)
    assert strided.reduction_layer == 6
    assert plain.key != strided.key


def test_the_key_does_not_depend_on_the_machine():
    """A changed key would orphan every stored measurement."""
    assert Configuration(model="tiny.en", window_s=20).key == (
        "3b0b5a536b6787ebaa8ed8544279ba992a30653e7b4f7f2778249fe08654102b"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_s": 30.5}, "can see"),
        ({"window_s": 0.013}, "multiple of 0.02"),
        ({"window_s": float("nan")}, "finite"),
        ({"window_s": -1}, "greater than 0"),
        ({"token_stride": 0.5}, "greater than or equal to 1"),
        ({"token_stride": 2, "reduction_layer": 7}, "above the last layer"),
        ({"exit_layer": 3}, "ser only"),
        ({"adapter": "lora"}, "needs a rank"),
        ({"rank": 8}, r"(?s)rank.*has no meaning"),
        ({"unfrozen_layers": 2}, r"(?s)unfrozen_layers.*has no meaning"),
        ({"window_s": 3, "tail_s": 3}, "no room for speech"),
        ({"tail_s": 1, "window_policy": "truncate"}, r"(?s)tail_s.*is for asr"),
        ({"task": "ser", "window_policy": "ladder"}, "ladder is for asr"),
        ({"adapter": "partial"}, "needs unfrozen_layers"),
        ({"adapter": "lora", "rank": 8, "unfrozen_layers": 7}, "above the 6"),
        ({"recipe": "supervised"}, r"(?s)recipe.*has no meaning"),
        (
            {"task": "ser", "adapter": "full", "recipe": "self-distilled"},
            "self-distilled is for asr",
        ),
        ({"readout": "attentive"}, r"(?s)readout.*is for ser"),
        ({"task": "sing"}, "asr"),
        ({"precision": "fp8"}, "fp32"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_contradictions_are_named(options, message):
    with pytest.raises(ValidationError, match=message):
        Configuration(model="base", **options)


@pytest.mark.parametrize("window_s", [30.02, 1e9, 1.7e308])
def test_a_window_of_any_length_is_too_long(window_s):
    """Its frames would be infinitely many at last, which no integer is."""
    with pytest.raises(ValidationError, match="above the 30 s"):
        Configuration(model="base", window_s=window_s)


def test_speech_encoders_do_not_transcribe():
    with pytest.raises(ValidationError, match="serves ser, not asr"):
        Configuration(model="hubert-base")


def test_an_unknown_model_keeps_its_suggestions():
    with pytest.raises(UnknownNameError, match="whisper-base"):
        Configuration(model="whisper-bas")


@given(
    model=st.sampled_from([m.name for m in MODELS if m.family == "whisper"]),
    frames=st.integers(50, 1500),
    stride=st.floats(1, 20),
    depth=st.floats(0, 1),
)
def test_round_trip(model, frames, stride, depth):
    layer = round(depth * MODELS.get(model).encoder_layers)
    configuration = Configuration(
        model=model, window_s=frames / 50, token_stride=stride, reduction_layer=layer
    )
    again = Configuration.model_validate_json(configuration.model_dump_json())
    assert again == configuration
    assert again.key == configuration.key
    assert configuration.frames == frames
    assert 0 < configuration.speech_s <= configuration.window_s


@pytest.mark.parametrize(
    ("given", "silence_s"),
    [
        ({"window_policy": "ladder"}, 0.5),
        ({"window_policy": "ladder", "window_s": 1}, 0.25),
        (
            {
                "window_policy": "ladder",
                "adapter": "lora",
                "rank": 8,
                "recipe": "self-distilled",
            },
            0,
        ),
        ({"window_s": 8}, 0),
    ],
)
def test_the_silence_behind_speech_is_left_out_of_a_key_where_it_is_the_usual(given, silence_s):
    usual = Configuration(model="base", **given)
    assert usual.silence_s == silence_s
    assert Configuration(model="base", **given, tail_s=silence_s) == usual
    assert Configuration(model="base", **given, tail_s=silence_s + 0.1) != usual


@given(st.integers(1, 3000), st.floats(1, 100))
def test_reduced_tokens_covers_every_token(tokens, stride):
    left = reduced_tokens(tokens, stride)
    assert 1 <= left <= tokens
    assert left * stride >= tokens - 1e-6


def test_reduced_tokens_is_not_fooled_by_rounding():
    assert reduced_tokens(300, 1.2) == 250


@given(st.floats(0.05, 30), st.sampled_from([5.0, 9.0, 20.0, 30.0]), st.floats(0, 4.5))
def test_a_rung_of_the_ladder_holds_the_speech_and_its_tail(speech_s, window_s, tail_s):
    configuration = Configuration(
        model="base", window_policy="ladder", window_s=window_s, tail_s=tail_s
    )
    speech_s = min(speech_s, configuration.speech_s)
    frames = configuration.frames_for(speech_s)
    assert frames <= configuration.frames
    assert frames / 50 >= min(speech_s + tail_s, window_s) - 1e-6
    assert Configuration(model="base", window_s=window_s).frames_for(speech_s) == window_s * 50
