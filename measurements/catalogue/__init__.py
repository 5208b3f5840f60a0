"""The built-in catalogue: published figures, and the project's own measurements."""

from __future__ import annotations

import csv
import gzip
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from measurements.records import DatasetInfo, DeviceTiming, Measurement, Metric
from models_registry import Configuration

HERE = Path(__file__).parent
MEASURED = HERE / "measured.jsonl.gz"
DEVICES = HERE / "devices"

STAR_SWEEP_MODELS = {
    "Tiny": "whisper-tiny",
    "Small": "whisper-small",
    "Medium": "whisper-medium",
    "Large-v3": "whisper-large-v3",
}

# Utterances and words of LibriSpeech's test sets (Panayotov et al. 2015, as released).
TEST_CLEAN = {"utterances": 2620, "reference_words": 52_576}
TEST_OTHER = {"utterances": 2939, "reference_words": 52_343}


@lru_cache(maxsize=1)
def catalogue() -> tuple[Measurement, ...]:
    """Every built-in measurement, the same objects at every call."""
    return (*_star_sweep(), *_open_asr(), *_ser_sweep(), *_measured())


@lru_cache(maxsize=1)
def built_in_keys() -> frozenset[str]:
    """Keys of every built-in measurement."""
    return frozenset(m.key for m in catalogue())


@lru_cache(maxsize=1)
def device_timings() -> tuple[DeviceTiming, ...]:
    """Every built-in timing of a device, the same objects at every call."""
    return tuple(
        DeviceTiming.model_validate_json(line)
        for file in sorted(DEVICES.glob("*.jsonl.gz"))
        for line in gzip.decompress(file.read_bytes()).splitlines()
    )


def _measured() -> Iterator[Measurement]:
    if MEASURED.exists():
        with gzip.open(MEASURED, "rt", encoding="utf-8") as stream:
            for line in stream:
                yield Measurement.model_validate_json(line)


def _star_sweep() -> Iterator[Measurement]:
    for row in _rows("asr_star_sweep.csv"):
        frames = int(row["encoder_frames"])
        yield _published(
            study="asr-librispeech-test-other-lora32",
            configuration=Configuration(
                model=STAR_SWEEP_MODELS[row["model"]],
                window_s=frames / 50,
                window_policy="truncate",
                token_stride=float(row["token_stride"]),
                adapter="lora",
                rank=int(row["lora_rank"]),
            ),
            metric="wer",
            percent=float(row["wer_percent"]),
            dataset=DatasetInfo(name="librispeech-test-other", **TEST_OTHER),
            provenance="arXiv 2606.22790, star sweep (vyomya/SAME NSGA-3/eval_cache.json)",
            gflops=float(row["gflops_seed_convention"]),
        )


def _open_asr() -> Iterator[Measurement]:
    for row in _rows("open_asr_whisper.csv"):
        for subset, sizes in (("clean", TEST_CLEAN), ("other", TEST_OTHER)):
            yield _published(
                study=f"asr-librispeech-test-{subset}",
                configuration=Configuration(model=row["model"]),
                metric="wer",
                percent=float(row[f"librispeech_{subset}_wer_percent"]),
                dataset=DatasetInfo(name=f"librispeech-test-{subset}", **sizes),
                provenance="Open ASR leaderboard, en_shortform.csv, 2026-03",
            )


def _ser_sweep() -> Iterator[Measurement]:
    for row in _rows("ser_sweep.csv"):
        gflops = row["gflops_seed_convention"]
        yield _published(
            study="ser-crema-d",
            configuration=Configuration(
                task="ser",
                model=row["model"],
                window_s=float(row["audio_s"]),
                adapter="full" if row["mode"] == "full" else "lora",
                rank=int(row["lora_rank"]) if row["lora_rank"] else None,
                unfrozen_layers=int(row["unfrozen_top_layers"]),
            ),
            metric="ua",
            percent=float(row["ua_percent"]),
            dataset=DatasetInfo(name="crema-d"),
            provenance="arXiv 2606.22790, SER (vyomya/SAME Emotion/run_inference.py)",
            gflops=float(gflops) if gflops else None,
        )


def _published(
    *,
    study: str,
    configuration: Configuration,
    metric: str,
    percent: float,
    dataset: DatasetInfo,
    provenance: str,
    gflops: float | None = None,
) -> Measurement:
    content = f"published\0{study}\0{configuration.key}"
    return Measurement(
        key=hashlib.sha256(content.encode()).hexdigest(),
        study=study,
        configuration=configuration,
        source="published",
        provenance=provenance,
        dataset=dataset,
        metric=Metric(name=metric, value=round(percent / 100, 6)),
        published_gflops=None if gflops is None else (gflops, "seed-2606.22790"),
    )


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (HERE / "published" / name).open(encoding="utf-8", newline="") as stream:
        yield from csv.DictReader(stream)
