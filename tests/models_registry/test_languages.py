"""Languages: Whisper's own, by code and name, and which models know them."""

import pytest

from models_registry import MODELS, Configuration, PathSource, Plan, UnknownNameError
from models_registry.languages import LANGUAGES, language_code, language_refusal, speaks


def test_languages_are_those_of_whisper_s_tokens():
    pytest.importorskip("transformers")
    from transformers.models.whisper import tokenization_whisper as whisper

    assert {one.code: one.name.lower() for one in LANGUAGES} == whisper.LANGUAGES
    for name, code in whisper.TO_LANGUAGE_CODE.items():
        assert language_code(name) == code


@pytest.mark.parametrize("text", ["de", "DE", " German ", "german", "de-DE", "de_AT"])
def test_a_language_is_named_by_code_name_or_tag(text):
    assert language_code(text) == "de"


@pytest.mark.parametrize("text", ["germann", "xx", "", "xx-DE", "-"])
def test_what_is_no_language_is_refused(text):
    with pytest.raises(UnknownNameError) as unknown:
        language_code(text)
    assert unknown.value.kind == "language"
    assert text != "germann" or unknown.value.suggestions[0] == "de"


def test_who_speaks_german():
    """Distil-Whisper has the tokens of other languages, and was never taught them."""
    whisper = [one for one in MODELS if one.family == "whisper"]
    german = {one.name for one in whisper if speaks(one, "de")}
    assert german == {
        "whisper-tiny",
        "whisper-base",
        "whisper-small",
        "whisper-medium",
        "whisper-large",
        "whisper-large-v2",
        "whisper-large-v3",
        "whisper-large-v3-turbo",
    }
    assert all(speaks(one, "en") for one in whisper)
    assert {one.name for one in whisper if speaks(one, "yue")} == {
        "whisper-large-v3",
        "whisper-large-v3-turbo",
    }


def test_a_refusal_names_models_that_can():
    said = language_refusal(MODELS.get("tiny.en"), "de")
    assert "English only" in said and "whisper-base" in said and "distil" not in said
    assert language_refusal(MODELS.get("tiny"), "de") is None
    cantonese = language_refusal(MODELS.get("tiny"), "yue")
    assert "Cantonese" in cantonese and "whisper-large-v3" in cantonese


def test_weights_of_one_s_own_may_know_more_where_the_vocabulary_names_it():
    assert language_refusal(MODELS.get("distil-large-v3"), "de", own_weights=True) is None
    assert language_refusal(MODELS.get("tiny.en"), "de", own_weights=True) is not None


@pytest.mark.parametrize("model", ["tiny.en", "distil-large-v3"])
def test_an_english_model_is_refused_before_weights_are_looked_for(model, monkeypatch):
    pytest.importorskip("torch")
    from models_registry import loading

    monkeypatch.setattr(loading, "fetch", lambda *_: pytest.fail("weights were looked for"))
    with pytest.raises(loading.UnsupportedConfigurationError, match="English only"):
        loading.load(Configuration(model=model), language="German")


def test_an_unknown_language_is_not_looked_for_in_a_tokenizer(tmp_path):
    pytest.importorskip("torch")
    from models_registry import load

    with pytest.raises(UnknownNameError):
        load(Configuration(model="tiny"), language="xx", weights=PathSource(tmp_path))


def test_a_plan_takes_a_language_by_its_name():
    configuration = Configuration(model="tiny")
    assert Plan(configuration=configuration, language="german").language == "de"
    with pytest.raises(ValueError, match="unknown language"):
        Plan(configuration=configuration, language="xx")
