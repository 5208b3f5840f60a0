"""Real weights on real and synthesised speech."""

import shutil
from importlib.metadata import distribution
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from benchmarks.long_audio import joined  # noqa: E402
from measurements.datasets import open_dataset  # noqa: E402
from measurements.scoring import word_error_rate, word_errors  # noqa: E402
from models_registry import Configuration, load  # noqa: E402
from models_registry.loading.audio import to_waveform  # noqa: E402
from models_registry.loading.clock import PHASES, PhaseClock  # noqa: E402
from models_registry.weights import WHEELS  # noqa: E402
from tests.conftest import needs_base_weights, needs_weights  # noqa: E402

pytestmark = [pytest.mark.real, needs_weights]


@pytest.fixture(scope="module")
def speech():
    utterances = open_dataset("demo").utterances[:8]
    return [(u.reference, to_waveform(*u.audio())) for u in utterances]


def wer(transcriber, speech):
    return word_error_rate(
        [word_errors(text, transcriber.transcribe(audio, 16_000)) for text, audio in speech]
    ).value


@pytest.mark.parametrize(
    "options",
    [
        {"window_s": 15},
        {"window_s": 20, "token_stride": 1.5, "reduction_layer": 2},
        {"window_s": 20, "token_stride": 2, "reduction_layer": 4, "reduction": "pick"},
        {"precision": "int8", "window_s": 20},
        {"precision": "bf16", "window_s": 15},
    ],
)
def test_every_configuration_understands_speech(speech, options):
    """A window cut wrongly, tokens out of order or a broken kernel give nonsense."""
    transcriber = load(Configuration(model="tiny.en", **options))
    assert wer(transcriber, speech) < 0.35


def test_the_encoder_really_runs_the_window_and_the_stride(speech):
    configuration = Configuration(model="tiny.en", window_s=10, token_stride=2, reduction_layer=1)
    transcriber = load(configuration)
    seen = []
    for layer in transcriber.model.model.encoder.layers:
        layer.register_forward_hook(lambda _, args, __: seen.append(args[0].shape[1]))
    clock = PhaseClock(transcriber.device)
    states = transcriber.encode(transcriber.features([speech[0][1]], 500, clock), clock)
    assert seen == [500, 250, 250, 250]
    assert states.shape == (1, 250, 384)


def test_a_ladder_gives_each_recording_the_window_it_needs(speech):
    configuration = Configuration(model="tiny.en", window_policy="ladder", tail_s=4)
    transcriber = load(configuration)
    results = transcriber.transcribe_batch([audio for _, audio in speech])
    for (_, audio), result in zip(speech, results, strict=True):
        duration_s = len(audio) / 16_000
        frames, _ = result.passes[0]
        assert duration_s + 4 <= frames / 50 <= duration_s + 4 + 5
    errors = [word_errors(text, r.text) for (text, _), r in zip(speech, results, strict=True)]
    assert word_error_rate(errors).value < 0.35


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"window_s": 15}, 8),
        ({"precision": "int8", "window_s": 15}, 8),
        ({"precision": "bf16", "window_s": 15}, 2),
        ({"window_s": 20, "token_stride": 1.5, "reduction_layer": 2}, 3),
        ({"window_policy": "ladder", "tail_s": 4}, 6),
        ({"window_policy": "ladder", "tail_s": 4, "precision": "int8"}, 6),
        # So short a tail that most windows run away and are decoded again.
        ({"window_policy": "ladder", "tail_s": 0}, 5),
        pytest.param({"model": "base", "window_s": 15}, 2, marks=needs_base_weights),
    ],
    ids=str,
)
def test_batching_changes_no_transcript(speech, options, count):
    """Catches padding that is heard, a stride or a retry that mixes up a batch's rows."""
    transcriber = load(Configuration(**{"model": "tiny.en", **options}))
    waveforms = [audio for _, audio in speech[:count]]
    together = transcriber.transcribe_batch(waveforms)
    if options.get("tail_s") == 0:
        assert 0 < sum(result.retried for result in together) < count
    if "window_policy" in options:
        assert len({result.passes[0][0] for result in together}) > 2
    for audio, batched in zip(waveforms, together, strict=True):
        assert transcriber.transcribe(audio, 16_000) == batched.text


def test_long_audio_is_cut_and_no_sentence_is_lost(speech):
    """Six sentences with pauses, 30 s or so, through a window of 15 s."""
    pause = np.zeros(8000, dtype=np.float32)
    audio = np.concatenate([part for _, sound in speech[:6] for part in (sound, pause)])
    reference = " ".join(text for text, _ in speech[:6])
    transcriber = load(Configuration(model="tiny.en", window_s=15))
    (result,) = transcriber.transcribe_batch([audio])
    assert result.windows == -(-len(audio) // int(transcriber.configuration.speech_s * 16_000))
    assert result.windows >= 2
    errors = word_errors(reference, result.text)
    assert errors.total / errors.reference_words < 0.3
    truncated = load(Configuration(model="tiny.en", window_s=15, window_policy="truncate"))
    (short,) = truncated.transcribe_batch([audio])
    assert short.windows == 1
    assert len(short.text) < 0.7 * len(result.text)


def test_cutting_and_stitching_costs_no_more_than_a_point_of_wer(librispeech):
    """Utterances joined to 30 to 90 s; catches words lost or said twice at the cuts.

    Four recordings can't settle a point of WER: a few words are that much. So the excess
    over the 30 s window may be a point and what chance allows, two standard errors of
    the paired differences; and no recording may lose a sentence.
    """
    speech = open_dataset(f"librispeech:{librispeech}", "test-other")
    recordings = list(islice(joined(speech.utterances, 0.4, np.random.default_rng(0)), 4))
    wrong = []
    for window_s in (30, 20):
        transcriber = load(Configuration(model="tiny.en", window_s=window_s))
        results = transcriber.transcribe_batch([waveform for _, waveform in recordings])
        assert all(result.windows >= 2 for result in results)
        errors = [
            word_errors(text, result.text)
            for (text, _), result in zip(recordings, results, strict=True)
        ]
        wrong.append([e.total for e in errors])
    words = sum(e.reference_words for e in errors)
    excess = np.subtract(wrong[1], wrong[0])
    print(f"{words} words; wrong at 30 s {wrong[0]}, at 20 s {wrong[1]}")
    # Of what both windows lose, the difference says nothing.
    assert sum(wrong[0]) < 0.15 * words
    by_chance = 2 * np.sqrt(len(excess)) * excess.std(ddof=1)
    assert excess.sum() <= 0.01 * words + by_chance
    assert excess.max() <= 8


def test_a_runaway_is_stopped_and_decoded_again_in_the_full_window(librispeech):
    """A recording that tiny.en repeats itself on when little silence follows."""
    speech = open_dataset(f"librispeech:{librispeech}", "test-other")
    (recording,) = (u for u in speech.utterances if u.id == "533-1066-0002")
    transcriber = load(Configuration(model="tiny.en", window_s=10, tail_s=2.5))
    audio = to_waveform(*recording.audio())
    (result,) = transcriber.transcribe_batch([audio])
    assert (result.windows, result.retried, result.cut_short) == (2, 1, 0)
    frames, stopped = result.passes[0]
    assert (frames, result.passes[1][0]) == (500, 1500)
    assert stopped < 60
    full = load(Configuration(model="tiny.en")).transcribe(audio, 16_000)
    errors = [word_errors(recording.reference, text).total for text in (result.text, full)]
    assert errors[0] <= errors[1] + 3


def test_phases_are_timed(speech):
    transcriber = load(Configuration(model="tiny.en", window_s=10))
    clock = PhaseClock(transcriber.device)
    transcriber.transcribe_batch([speech[0][1]], clock)
    assert set(clock.seconds) == set(PHASES)
    assert all(seconds > 0 for seconds in clock.seconds.values())


@pytest.mark.parametrize("name", ["whisper-tiny.en", "whisper-base"])
def test_greedy_transcripts_equal_ctranslate2_s(name, librispeech, tmp_path):
    """The oracle: the same file, read by CTranslate2 itself, on the same features."""
    ctranslate2 = pytest.importorskip("ctranslate2")
    source = WHEELS.get(name)
    with (tmp_path / "model.bin").open("wb") as joined:
        for package, file in source.parts:
            joined.write(Path(str(distribution(package).locate_file(file))).read_bytes())
    package, folder = source.folder
    for file in Path(str(distribution(package).locate_file(folder))).iterdir():
        if file.suffix in (".json", ".txt"):
            shutil.copy(file, tmp_path)
    oracle = ctranslate2.models.Whisper(str(tmp_path), device="cpu", compute_type="float32")
    transcriber = load(Configuration(model=name))
    clock = PhaseClock(transcriber.device)
    utterances = open_dataset(f"librispeech:{librispeech}", "test-other").limited(8).utterances
    for utterance in utterances:
        waveform = to_waveform(*utterance.audio())
        features = ctranslate2.StorageView.from_array(
            transcriber.features([waveform], 1500, clock).numpy()
        )
        prompt = list(transcriber.rules.prompt)
        (expected,) = oracle.generate(features, [prompt], beam_size=1, max_length=448)
        (found,) = transcriber.transcribe_batch([waveform])
        tokens = [t for t in found.tokens[0] if t != transcriber.rules.end_of_text]
        assert tokens == expected.sequences_ids[0], utterance.id
