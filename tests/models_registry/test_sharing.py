"""What configurations of a sweep compute once for all of them."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from models_registry import MODELS, Configuration  # noqa: E402
from models_registry.conversion import hub_config  # noqa: E402
from models_registry.loading.decoding import DecodingRules  # noqa: E402
from models_registry.loading.encoder import PrefixCache  # noqa: E402
from models_registry.loading.whisper import WhisperTranscriber  # noqa: E402

CPU = torch.device("cpu")
SPEECH = [
    0.1 * np.random.default_rng(seed).standard_normal(16_000 + 2_000 * seed).astype(np.float32)
    for seed in range(3)
]


@pytest.fixture(params=[1, 3])
def extracted(request, monkeypatch, nano_models):
    """Windows whose features were extracted; run alone, as on a CPU, or as one batch."""
    monkeypatch.setattr(WhisperTranscriber, "_at_once", lambda *_: request.param)
    windows, extract = [], WhisperTranscriber._extract

    def counting(self, batch, frames):
        windows.extend(batch)
        return extract(self, batch, frames)

    monkeypatch.setattr(WhisperTranscriber, "_extract", counting)
    return windows


def transcriber(shared=None, **fields):
    configuration = Configuration(**{"model": "nano-whisper", "window_s": 4} | fields)
    ids = {"eos_token_id": 0, "bos_token_id": 0, "pad_token_id": 0, "decoder_start_token_id": 1}
    torch.manual_seed(0)
    config = transformers.WhisperConfig(**hub_config(configuration.architecture) | ids)
    model = transformers.WhisperForConditionalGeneration(config)
    rules = DecodingRules((1, 2), 0, (), (), max_new_tokens=5, fixed_length=True)
    made = WhisperTranscriber(model, None, rules, configuration, CPU)
    made.share(shared)
    made.runs = [0] * len(made.model.model.encoder.layers)
    for place, layer in enumerate(made.model.model.encoder.layers):

        def count(_, args, __, place=place):
            made.runs[place] += len(args[0])

        layer.register_forward_hook(count)
    return made


def tokens(transcriber):
    return [result.tokens for result in transcriber.transcribe_batch(SPEECH)]


def test_layers_below_the_reduction_run_once_and_features_only_for_them(extracted):
    shared = PrefixCache(max_feature_bytes=0)
    for fields, runs, features in (
        ({}, [3, 3, 3], 3),
        ({"token_stride": 2, "reduction_layer": 3}, [0, 0, 0], 0),
        ({"token_stride": 2, "reduction_layer": 1}, [3, 3, 3], 3),
        ({"token_stride": 1.5, "reduction_layer": 1}, [0, 3, 3], 0),
        ({"token_stride": 1.5, "reduction_layer": 2}, [0, 3, 3], 0),
    ):
        extracted.clear()
        sharing = transcriber(shared, **fields)
        found = tokens(sharing)
        assert (sharing.runs, len(extracted)) == (runs, features)
        assert found == tokens(transcriber(**fields))


def test_features_are_shared_by_what_differs_in_all_else(extracted):
    """By precisions and by models of as many mel bins; not by windows or other bins."""
    MODELS.add("other", replace(MODELS.get("nano-whisper"), name="other", d_model=48))
    MODELS.add("finer", replace(MODELS.get("nano-whisper"), name="finer", mel_bins=128))
    shared = PrefixCache()
    for fields, features in (
        ({}, 3),
        ({"precision": "bf16"}, 0),
        ({"precision": "int8"}, 0),
        ({"model": "other"}, 0),
        ({"model": "finer"}, 3),
        ({"window_s": 5}, 3),
        ({"adapter": "lora", "rank": 2}, 0),
    ):
        extracted.clear()
        sharing = transcriber(shared, **fields)
        found = tokens(sharing)
        assert (sharing.runs, len(extracted)) == ([3, 3, 3], features), fields
        assert found == tokens(transcriber(**fields)), fields


def test_nothing_is_taken_from_others_once_sharing_ends(extracted):
    """Else a timed run would be timed without the work that others have done for it."""
    shared = PrefixCache()
    tokens(transcriber(shared))
    timed = transcriber(shared)
    timed.share(None)
    extracted.clear()
    tokens(timed)
    assert (timed.runs, len(extracted)) == ([3, 3, 3], 3)
