"""Languages of speech: Whisper's own, by code and by name.

The codes are those of the tokens in Whisper's prompt, in the order of its vocabulary
(openai/whisper, ``whisper/tokenizer.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

from models_registry.architectures import Architecture, WhisperArchitecture
from models_registry.known_models import MODELS
from models_registry.registry import Registry, UnknownNameError

ENGLISH = "en"

_FIRST_V3_VOCABULARY = 51_866
"""Cantonese came with large-v3, whose vocabulary is one token longer for it."""

_WITHOUT_SPACES = frozenset({"bo", "ja", "km", "lo", "my", "th", "yue", "zh"})

_NAMES = """
en=english zh=chinese de=german es=spanish ru=russian ko=korean fr=french ja=japanese
pt=portuguese tr=turkish pl=polish ca=catalan nl=dutch ar=arabic sv=swedish it=italian
id=indonesian hi=hindi fi=finnish vi=vietnamese he=hebrew uk=ukrainian el=greek ms=malay
cs=czech ro=romanian da=danish hu=hungarian ta=tamil no=norwegian th=thai ur=urdu
hr=croatian bg=bulgarian lt=lithuanian la=latin mi=maori ml=malayalam cy=welsh sk=slovak
te=telugu fa=persian lv=latvian bn=bengali sr=serbian az=azerbaijani sl=slovenian kn=kannada
et=estonian mk=macedonian br=breton eu=basque is=icelandic hy=armenian ne=nepali
mn=mongolian bs=bosnian kk=kazakh sq=albanian sw=swahili gl=galician mr=marathi pa=punjabi
si=sinhala km=khmer sn=shona yo=yoruba so=somali af=afrikaans oc=occitan ka=georgian
be=belarusian tg=tajik sd=sindhi gu=gujarati am=amharic yi=yiddish lo=lao uz=uzbek
fo=faroese ht=haitian_creole ps=pashto tk=turkmen nn=nynorsk mt=maltese sa=sanskrit
lb=luxembourgish my=myanmar bo=tibetan tl=tagalog mg=malagasy as=assamese tt=tatar
haw=hawaiian ln=lingala ha=hausa ba=bashkir jw=javanese su=sundanese yue=cantonese
"""

_OTHER_NAMES = {
    "my": ("burmese",),
    "ca": ("valencian",),
    "nl": ("flemish",),
    "ht": ("haitian",),
    "lb": ("letzeburgesch",),
    "ps": ("pushto",),
    "pa": ("panjabi",),
    "ro": ("moldavian", "moldovan"),
    "si": ("sinhalese",),
    "es": ("castilian",),
    "zh": ("mandarin",),
}


@dataclass(frozen=True)
class Language:
    """A language that Whisper's vocabulary names.

    Attributes:
        code: Its code: ISO 639-1 where there is one.
        name: Its English name, capitalised.
    """

    code: str
    name: str

    @property
    def has_spaces(self) -> bool:
        """Whether its words are written apart, so that a word error rate counts words."""
        return self.code not in _WITHOUT_SPACES

    def __str__(self) -> str:
        return f"{self.name} ({self.code})"


LANGUAGES: Registry[Language] = Registry("language")
"""Languages by code; their names are aliases."""

for _pair in _NAMES.split():
    _code, _name = _pair.replace("_", " ").split("=")
    LANGUAGES.add(
        _code, Language(_code, _name.title()), aliases=(_name, *_OTHER_NAMES.get(_code, ()))
    )


def language_code(text: str) -> str:
    """The code of a language that is named by code, by name or by a tag such as ``de-DE``.

    Raises:
        UnknownNameError: Whisper has no such language; the message names similar ones.
    """
    try:
        return LANGUAGES.canonical(text)
    except UnknownNameError:
        language, *region = text.strip().replace("_", "-").split("-")
        if region and language in LANGUAGES:
            return LANGUAGES.canonical(language)
        raise


def known_language(text: str) -> str:
    """The same as :func:`language_code`, for fields of documents.

    Raises:
        ValueError: Whisper has no such language.
    """
    try:
        return language_code(text)
    except UnknownNameError as error:
        raise ValueError(str(error)) from None


def described(code: str) -> str:
    """A language as ``German (de)``; a code that is none of Whisper's stays as it is."""
    return str(LANGUAGES.get(code)) if code in LANGUAGES else code


def assumed_text(code: str) -> str:
    """What to tell a user who named no language."""
    return f"language not stated: assumed {described(code)}; name another with --language de"


def speaks(architecture: Architecture, language: str) -> bool:
    """Whether a model's own weights transcribe a language."""
    if not isinstance(architecture, WhisperArchitecture) or language == ENGLISH:
        return True
    if architecture.english_only or not architecture.multilingual:
        return False
    return language != "yue" or architecture.vocab_size >= _FIRST_V3_VOCABULARY


def language_refusal(
    architecture: Architecture, language: str, *, own_weights: bool = False
) -> str | None:
    """Why a model can't transcribe a language; None if it can.

    Args:
        architecture: The model.
        language: Code of the language.
        own_weights: Whether the weights are others than the model's: those of an architecture
            whose vocabulary names the language may have been trained on it.
    """
    if speaks(architecture, language):
        return None
    assert isinstance(architecture, WhisperArchitecture)
    if own_weights and architecture.multilingual:
        return None
    name, spoken = architecture.name, described(language)
    if architecture.english_only or not architecture.multilingual:
        said = f"{name} transcribes English only, the speech is {spoken}"
    else:
        said = f"{name} has no token for {spoken}"
    able = [one.name for one in MODELS if one.family == "whisper" and speaks(one, language)]
    return f"{said}: choose a multilingual model: {', '.join(able)}"
