"""How fast the evaluator transcribes, against pipeline() and faster-whisper.

``pip install -e '.[bench]' && python -m benchmarks.throughput`` in the environment of
``make install``; LibriSpeech with ``--dataset librispeech:FOLDER --subset test-other``. The extra
brings faster-whisper, which runs on CTranslate2 and takes no torch with it; without it, its row
is left out.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.recommend import timed
from benchmarks.tables import markdown
from measurements.datasets import open_dataset
from measurements.scoring import WordErrors, word_error_rate, word_errors
from models_registry import Configuration, load
from models_registry.known_models import MODELS
from models_registry.loading.audio import Waveform, to_waveform
from models_registry.loading.clock import PhaseClock
from models_registry.weights import WHEELS, default_source, fetch
from planner.cost import pass_flops

Transcriber = Callable[[Sequence[Waveform]], list[str]]

BATCH = 16
_MATRIX = 4096
REPEATS = 3


def ours(configuration: Configuration, batch: int) -> Transcriber:
    """The evaluator's own transcriber, recordings of similar length together."""
    model = load(configuration, device="cpu")

    def run(waveforms: Sequence[Waveform]) -> list[str]:
        order = sorted(range(len(waveforms)), key=lambda i: -len(waveforms[i]))
        texts = [""] * len(waveforms)
        for start in range(0, len(order), batch):
            places = order[start : start + batch]
            results = model.transcribe_batch([waveforms[i] for i in places])
            for place, result in zip(places, results, strict=True):
                texts[place] = result.text
        return texts

    return run


def pipeline(name: str, beams: int) -> Transcriber:
    """``transformers``' pipeline: one recording at a time, 30 s windows; its own are 5 beams."""
    import torch
    from transformers import (
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizerFast,
    )
    from transformers import pipeline as make_pipeline

    folder = fetch(default_source(name), MODELS.get(name))
    model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    tokenizer = WhisperTokenizerFast.from_pretrained(folder)
    token, options = tokenizer.convert_tokens_to_ids, model.generation_config
    options.decoder_start_token_id = token("<|startoftranscript|>")
    options.eos_token_id = options.pad_token_id = token("<|endoftext|>")
    options.no_timestamps_token_id = token("<|notimestamps|>")
    options.max_length = 448
    options.is_multilingual = MODELS.get(name).multilingual
    generate: dict[str, object] = {"num_beams": beams}
    if options.is_multilingual:
        options.lang_to_id = {"<|en|>": token("<|en|>")}
        options.task_to_id = {"transcribe": token("<|transcribe|>")}
        generate |= {"language": "en", "task": "transcribe"}
    run = make_pipeline(
        "automatic-speech-recognition",
        model=model,
        tokenizer=tokenizer,
        feature_extractor=WhisperFeatureExtractor(feature_size=MODELS.get(name).mel_bins),
    )
    return lambda waveforms: [
        run(w.copy(), generate_kwargs=generate)["text"].strip() for w in waveforms
    ]


def faster_whisper(name: str, threads: int, folder: Path) -> Transcriber:
    """faster-whisper in 32-bit floats, beam 1, without timestamps or fallback."""
    from importlib.metadata import distribution

    from faster_whisper import WhisperModel

    wheel = WHEELS.get(MODELS.canonical(name))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "model.bin").open("wb") as joined:
        for package, file in wheel.parts:
            joined.write(Path(str(distribution(package).locate_file(file))).read_bytes())
    package, inside = wheel.folder
    source = Path(str(distribution(package).locate_file(inside)))
    for file in source.iterdir():
        if file.suffix in (".json", ".txt"):
            (folder / file.name).write_bytes(file.read_bytes())
    model = WhisperModel(str(folder), device="cpu", compute_type="float32", cpu_threads=threads)

    def transcribe(waveform: Waveform) -> str:
        segments, _ = model.transcribe(
            waveform,
            language="en",
            beam_size=1,
            temperature=0.0,
            without_timestamps=True,
            condition_on_previous_text=False,
        )
        return " ".join(segment.text.strip() for segment in segments)

    return lambda waveforms: [transcribe(waveform) for waveform in waveforms]


def encoder_share(name: str, waveforms: Sequence[Waveform], base_s: float) -> str:
    """How much of ``pipeline()``'s time the encoder alone takes, and how fast it computes.

    In full windows it has to run for the same transcripts, so no decoder can make more of a
    gain than what it leaves; what can be had of the processor is a large matrix product's rate.
    """
    import torch

    configuration = Configuration(model=name)
    model, clock = load(configuration, device="cpu"), PhaseClock(torch.device("cpu"))
    for waveform in waveforms:
        model.encode(model.features([waveform], configuration.frames, clock), clock)
    seconds = clock.seconds["encoder"]
    parts = pass_flops(configuration).components
    flops = len(waveforms) * float(parts["stem"] + parts["encoder"])
    matrix = torch.ones(_MATRIX, _MATRIX)
    rate = max(2 * _MATRIX**3 / timed(lambda: matrix @ matrix) for _ in range(REPEATS))
    return (
        f"{name}: the encoder takes {seconds / base_s:.0%} of pipeline()'s time at"
        f" {flops / seconds / 1e9:.0f} GFLOP/s; a matrix product of {_MATRIX} runs at"
        f" {rate / 1e9:.0f}, so that {base_s * rate / flops:.1f} times is the most in 30 s windows"
    )


def main() -> None:
    """Prints the table."""
    import tempfile

    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="demo")
    parser.add_argument("--subset")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--model", action="append")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    speech = open_dataset(arguments.dataset, arguments.subset).limited(arguments.limit)
    waveforms = [to_waveform(*utterance.audio()) for utterance in speech.utterances]
    audio_s = sum(map(len, waveforms)) / 16_000
    rows, shares = [], []
    for name in arguments.model or ["whisper-tiny.en", "whisper-base"]:
        full = Configuration(model=name)
        ladder = Configuration(model=name, window_policy="ladder")
        with tempfile.TemporaryDirectory() as folder:
            systems: dict[str, Transcriber] = {
                "pipeline(), greedy": pipeline(name, 1),
                "pipeline(), its 5 beams": pipeline(name, 5),
                "speechplan, 30 s, batch 1": ours(full, 1),
                f"speechplan, 30 s, batch {BATCH}": ours(full, BATCH),
                f"speechplan, ladder, batch {BATCH}": ours(ladder, BATCH),
            }
            try:
                systems["faster-whisper"] = faster_whisper(
                    name, torch.get_num_threads(), Path(folder) / "model"
                )
            except ImportError:
                print("faster-whisper is not installed: left out (pip install -e '.[bench]')")
            seconds: dict[str, list[float]] = {system: [] for system in systems}
            texts: dict[str, list[str]] = {}
            for run in systems.values():
                run(waveforms[:1])
            # In turn, so that a slow minute of the machine hits all of them.
            for _ in range(arguments.repeats):
                for system, run in systems.items():
                    start = time.perf_counter()
                    texts[system] = run(waveforms)
                    seconds[system].append(time.perf_counter() - start)
        base = np.array(seconds["pipeline(), greedy"])
        shares.append(encoder_share(name, waveforms, float(np.median(base))))
        for system, times in seconds.items():
            errors: list[WordErrors] = [
                word_errors(u.reference, text)
                for u, text in zip(speech.utterances, texts[system], strict=True)
            ]
            same = sum(
                a == b for a, b in zip(texts[system], texts["pipeline(), greedy"], strict=True)
            )
            rows.append(
                {
                    "model": name,
                    "system": system,
                    "audio s per s": f"{audio_s / np.median(times):.1f}",
                    "x pipeline()": f"{np.median(base / np.array(times)):.2f}",
                    "WER %": f"{100 * word_error_rate(errors).value:.2f}",
                    "same text": f"{same} of {len(waveforms)}",
                }
            )
    print(f"{len(waveforms)} recordings of {speech.name}, {audio_s:.0f} s, "
          f"{torch.get_num_threads()} threads, median of {arguments.repeats}")  # fmt: skip
    print(markdown(rows))
    print("\n" + "\n".join(shares))


if __name__ == "__main__":
    main()
