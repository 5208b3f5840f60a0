"""What cutting and stitching costs: utterances joined to 30 to 90 s, through short windows.

``python -m benchmarks.long_audio --dataset librispeech:FOLDER --subset test-other``
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.stats import bootstrap

from benchmarks.tables import markdown
from measurements.datasets import Utterance, open_dataset
from measurements.scoring import word_errors
from models_registry import Configuration, load
from models_registry.loading.audio import Waveform, speech_seconds, to_waveform

GAPS_S = {"with pauses": 0.4, "without a pause": None}
"""Silence put between utterances; none also cuts the quiet at their ends away."""


def joined(
    utterances: Sequence[Utterance], gap_s: float | None, rng: np.random.Generator
) -> Iterator[tuple[str, Waveform]]:
    """Successive utterances of a speaker, 30 to 90 s together, with their transcript."""
    texts: list[str] = []
    parts: list[Waveform] = []
    speaker, wanted_s = None, rng.uniform(30, 90)
    for utterance in sorted(utterances, key=lambda u: (u.speaker or "", u.id)):
        if utterance.speaker != speaker:
            texts, parts, speaker = [], [], utterance.speaker
        waveform = to_waveform(*utterance.audio())
        parts.append(waveform if gap_s is not None else without_pauses(waveform))
        if gap_s:
            parts.append(np.zeros(int(gap_s * 16_000), dtype=np.float32))
        texts.append(utterance.reference)
        if sum(map(len, parts)) > wanted_s * 16_000:
            yield " ".join(texts), np.concatenate(parts)
            texts, parts, wanted_s = [], [], rng.uniform(30, 90)
    if sum(map(len, parts)) > 30 * 16_000:
        yield " ".join(texts), np.concatenate(parts)


def without_pauses(waveform: Waveform) -> Waveform:
    """The recording with every span of 10 ms that is 30 dB below the louder ones cut out."""
    hops = waveform[: len(waveform) // 160 * 160].reshape(-1, 160)
    energy = np.square(hops, dtype=np.float64).mean(axis=1)
    kept: Waveform = hops[energy > 1e-3 * np.quantile(energy, 0.8)].ravel()
    return kept


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--subset")
    parser.add_argument("--model", default="whisper-tiny.en")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    speech = open_dataset(arguments.dataset, arguments.subset)
    configurations = [
        Configuration(model=arguments.model),
        *(Configuration(model=arguments.model, window_s=w) for w in (25, 20, 15, 10)),
        Configuration(model=arguments.model, window_s=20, window_policy="ladder"),
    ]
    rows = []
    for kind, gap_s in GAPS_S.items():
        rng = np.random.default_rng(arguments.seed)
        recordings = list(joined(speech.utterances, gap_s, rng))
        counts = []
        for configuration in configurations:
            model = load(configuration, device="cpu")
            results = [model.transcribe_batch([waveform])[0] for _, waveform in recordings]
            errors = [
                word_errors(text, result.text)
                for (text, _), result in zip(recordings, results, strict=True)
            ]
            counts.append([(e.total, e.reference_words) for e in errors])
            wrong, words = np.array(counts[-1], dtype=float).T
            first = np.array(counts[0], dtype=float)[:, 0]
            difference = (wrong.sum() - first.sum()) / words.sum()
            interval = "-"
            if len(counts) > 1:
                found = bootstrap(
                    (wrong - first, words),
                    lambda d, w, axis: d.sum(axis=axis) / w.sum(axis=axis),
                    paired=True,
                    vectorized=True,
                    method="percentile",
                    rng=np.random.default_rng(0),
                ).confidence_interval
                interval = f"{100 * found.low:+.2f} to {100 * found.high:+.2f}"
            rows.append(
                {
                    "recordings": kind,
                    "configuration": configuration.label(),
                    "WER %": f"{100 * wrong.sum() / words.sum():.2f}",
                    "minus 30 s, points": f"{100 * difference:+.2f}",
                    "95 % interval": interval,
                    "windows": str(sum(result.windows for result in results)),
                    "run again": str(sum(result.retried for result in results)),
                }
            )
        spoken = sum(speech_seconds(waveform) for _, waveform in recordings)
        total = sum(len(waveform) for _, waveform in recordings) / 16_000
        print(f"{kind}: {len(recordings)} recordings, {total:.0f} s, {spoken:.0f} s of it speech")
    print(markdown(rows))


if __name__ == "__main__":
    main()
