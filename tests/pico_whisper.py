"""A Whisper small enough to train within a test: random weights, a toy tokenizer, noise."""

import csv
from dataclasses import replace

import numpy as np

from models_registry import MODELS
from models_registry.conversion import hub_config

SPECIAL = ["endoftext", "startoftranscript", "en", "transcribe", "notimestamps"]
WORDS = [f"w{index}" for index in range(40)]


def architecture():
    return replace(
        MODELS.get("tiny"),
        name="whisper-pico",
        hub_id="test/whisper-pico",
        d_model=32,
        heads=2,
        ffn=48,
        encoder_layers=6,
        decoder_layers=5,
        vocab_size=len(SPECIAL) + len(WORDS),
    )


def random_model(attention="sdpa"):
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(0)
    ids = {"eos_token_id": 0, "bos_token_id": 0, "pad_token_id": 0, "decoder_start_token_id": 1}
    config = WhisperConfig(
        **hub_config(MODELS.get("whisper-pico")) | ids | {"begin_suppress_tokens": [2]},
        attn_implementation=attention,
    )
    return WhisperForConditionalGeneration(config).eval()


def save_checkpoint(folder):
    """Weights and tokenizer in the hub's layout."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    random_model().save_pretrained(folder)
    names = [*(f"<|{name}|>" for name in SPECIAL), *WORDS]
    tokenizer = Tokenizer(WordLevel({n: i for i, n in enumerate(names)}, unk_token="w39"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_special_tokens(names[: len(SPECIAL)])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def save_speech(folder, utterances=9, speakers=4):
    """A manifest of noise, half a second to a second each, with made-up words."""
    import soundfile

    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    with (folder / "speech.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["audio", "text", "speaker"])
        for index in range(utterances):
            samples = 0.1 * draw.standard_normal(int(draw.uniform(8_000, 16_000)))
            soundfile.write(folder / f"{index}.wav", samples, 16_000)
            words = " ".join(draw.choice(WORDS, 4))
            rows.writerow([f"{index}.wav", words, f"speaker {index % speakers}"])
    return folder / "speech.csv"
