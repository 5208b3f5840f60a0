"""Where recordings are cut: by their energy, or by a voice activity detector.

``python -m benchmarks.pauses --dataset librispeech:FOLDER --subset test-other``

Utterances of a speaker are joined to recordings of up to 60 s. What is quiet between their words
is made digital silence, and gaps of it are put between them; then a room is added to all of it,
or an offset, as cheap sound cards have. Windows are short, so that every recording is cut.
``silero-vad`` has to be installed (MIT; its wheel holds its weights).
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from benchmarks.tables import markdown
from measurements.datasets import Utterance, open_dataset
from measurements.scoring import word_errors
from models_registry import Configuration, load
from models_registry.architectures import WAVEFORM_HZ
from models_registry.loading import whisper
from models_registry.loading.audio import (
    Loudness,
    Piece,
    Waveform,
    cut_at_quiet_places,
    to_waveform,
)

GAPS_S = (0.3, 3.0)
HOP = WAVEFORM_HZ // 100

Change = Callable[[Waveform, np.random.Generator], Waveform]


def noise(level_db: float) -> Change:
    """White noise at a level below full scale."""

    def add(waveform: Waveform, rng: np.random.Generator) -> Waveform:
        return waveform + rng.normal(0, 10 ** (level_db / 20), len(waveform)).astype(np.float32)

    return add


def offset(share: float) -> Change:
    """An offset, as a share of full scale."""
    return lambda waveform, _: waveform + np.float32(share)


def drift(share: float) -> Change:
    """An offset that comes and goes in four seconds."""

    def add(waveform: Waveform, _: np.random.Generator) -> Waveform:
        seconds = np.arange(len(waveform)) / WAVEFORM_HZ
        return waveform + (share * np.sin(np.pi / 2 * seconds)).astype(np.float32)

    return add


CHANGES: dict[str, Change] = {
    "digital silence": lambda waveform, _: waveform,
    "room at -80 dB": noise(-80),
    "room at -60 dB": noise(-60),
    "offset of 2 %": offset(0.02),
    "drift of 2 %": drift(0.02),
}


def by_silero(waveform: Waveform, model: Any) -> Loudness:
    """The mean probability of speech in the 0.2 s that begin at each 10 ms."""
    import torch

    with torch.inference_mode():
        chunks = model.audio_forward(torch.from_numpy(waveform), sr=WAVEFORM_HZ)[0].numpy()
    hops = np.repeat(chunks, 512)[: len(waveform) : HOP][: len(waveform) // HOP]
    sums = np.concatenate([[0.0], np.pad(hops, (0, 20), mode="edge").cumsum(dtype=np.float64)])
    return Loudness((sums[20:] - sums[:-20]) / 20, 0.5)


def gated(waveform: Waveform) -> Waveform:
    """The recording with spans of 0.1 s that are 35 dB below the louder ones made zero."""
    spans = waveform[: len(waveform) // 1600 * 1600].reshape(-1, 1600).copy()
    energy = np.square(spans, dtype=np.float64).mean(axis=1)
    spans[energy < 10**-3.5 * np.quantile(energy, 0.8)] = 0
    return spans.ravel()


def joined(
    utterances: Sequence[Utterance], rng: np.random.Generator, *, as_recorded: bool = False
) -> Iterator[tuple[str, Waveform]]:
    """Utterances of a speaker with silence between them, and their transcript."""
    ordered = sorted(utterances, key=lambda u: (u.speaker or "", u.id))
    for _, spoken in itertools.groupby(ordered, key=lambda u: u.speaker):
        texts: list[str] = []
        parts: list[Waveform] = []
        wanted_s = rng.uniform(30, 60)
        for utterance in spoken:
            waveform = to_waveform(*utterance.audio())
            silence = np.zeros(int(rng.uniform(*GAPS_S) * WAVEFORM_HZ), dtype=np.float32)
            parts += [waveform if as_recorded else gated(waveform - waveform.mean()), silence]
            texts.append(utterance.reference)
            if sum(map(len, parts)) > wanted_s * WAVEFORM_HZ:
                yield " ".join(texts), np.concatenate(parts)
                texts, parts, wanted_s = [], [], rng.uniform(30, 60)
        if parts:
            yield " ".join(texts), np.concatenate(parts)


def difference(errors: NDArray[np.float64], words: NDArray[np.float64]) -> str:
    """Points of WER more, with a 95 % interval of recordings drawn anew."""
    if not errors.any():
        return "0"
    found = bootstrap(
        (errors, words),
        lambda e, w, axis: 100 * e.sum(axis=axis) / w.sum(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    mean = 100 * errors.sum() / words.sum()
    return f"{mean:+.2f} ({found.low:+.2f} to {found.high:+.2f})"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--subset")
    parser.add_argument("--model", default="whisper-tiny.en")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--window-s", type=float, nargs="+", default=(10.0, 20.0))
    parser.add_argument("--changes", nargs="+", choices=CHANGES, default=tuple(CHANGES))
    parser.add_argument(
        "--as-recorded", action="store_true", help="Leave what is quiet between words as it is."
    )
    arguments = parser.parse_args()
    from silero_vad import load_silero_vad

    silero = load_silero_vad()
    finders: dict[str, Callable[[Waveform], Loudness]] = {
        "energy": Loudness.of,
        "silero-vad": lambda waveform: by_silero(waveform, silero),
    }
    speech = open_dataset(arguments.dataset, arguments.subset)
    rng = np.random.default_rng(arguments.seed)
    recordings = list(joined(speech.utterances, rng, as_recorded=arguments.as_recorded))
    words = np.array([word_errors(t, t).reference_words for t, _ in recordings], dtype=float)
    seconds = sum(len(waveform) for _, waveform in recordings) / WAVEFORM_HZ
    print(f"{len(recordings)} recordings, {seconds:.0f} s, {words.sum():.0f} words")
    rows = []
    for window_s in arguments.window_s:
        model = load(Configuration(model=arguments.model, window_s=window_s), device="cpu")
        for kind in arguments.changes:
            change = CHANGES[kind]
            rng = np.random.default_rng(arguments.seed)
            heard = [change(waveform, rng) for _, waveform in recordings]
            wrong: dict[str, NDArray[np.float64]] = {}
            for name, find in finders.items():

                def cut(
                    waveform: Waveform,
                    longest_s: float,
                    find: Callable[[Waveform], Loudness] = find,
                ) -> list[Piece]:
                    return cut_at_quiet_places(waveform, longest_s, find(waveform))

                with patch.object(whisper, "cut_at_quiet_places", cut):
                    results = model.transcribe_batch(heard)
                errors = [
                    word_errors(text, result.text)
                    for (text, _), result in zip(recordings, results, strict=True)
                ]
                pieces = [p for w in heard for p in cut(w, model.configuration.speech_s)]
                wrong[name] = np.array([e.total for e in errors], dtype=float)
                rows.append(
                    {
                        "window": f"{window_s:g} s",
                        "recordings": kind,
                        "pauses by": name,
                        "WER %": f"{100 * wrong[name].sum() / words.sum():.2f}",
                        "words lost": str(sum(e.deletions for e in errors)),
                        "windows": str(len(pieces)),
                        "cut in speech": str(sum(p.overlap_s > 0 for p in pieces)),
                        "run again": str(sum(r.retried for r in results)),
                        "minus energy, points": difference(wrong[name] - wrong["energy"], words),
                    }
                )
                print(rows[-1], file=sys.stderr)
    print(markdown(rows))


if __name__ == "__main__":
    main()
