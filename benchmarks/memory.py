"""Memory of the process that serves a configuration: predicted and measured.

``python -m benchmarks.memory [--only TEXT] [--runs FILE] [--store]``

Every configuration is loaded and run on real speech in a process of its own, as many
recordings together as its batch says; its peak of resident memory from start to end is
compared with what an answer without a device predicts. ``whisper-small``, ``-medium`` and
``wav2vec2-base`` have random weights, whose windows always run away: batches of them have the full
one. The runtime's figures come from the configurations of
:data:`FITTED` alone: ``--store`` writes them to the catalogue. The others were left out.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables import markdown
from measurements.datasets import Dataset, open_dataset
from measurements.devices import local_device
from measurements.runtime_memory import FILE as RUNTIMES
from measurements.runtime_memory import runtime_memory
from measurements.studies import evidence_for
from models_registry import Configuration
from planner.cost_groups import memory_of
from planner.costing import GIB, all_costs
from planner.device.memory import ENGINE, fit_own
from planner.lattice import Lattice
from planner.question import Setting
from planner.retries import retry_rates
from planner.workload import Workload

SHARED = Path(__file__).parents[2] / "shared" / "data" / "librispeech-mini"

FITTED = (
    "tiny.en fp32 5 1",
    "tiny.en fp32 10 1",
    "tiny.en fp32 30 8",
    "tiny.en bf16 30 1",
    "tiny.en int8 30 1",
    "base fp32 10 1",
    "base fp32 30 4",
    "base bf16 20 1",
    "base bf16 30 8",
    "base int8 20 1",
    "base int8 30 8",
)
"""Model, precision, window, batch; then maybe what else is set."""

LEFT_OUT = (
    "tiny.en fp32 20 4",
    "tiny.en fp32 30 1 threads=2",
    "tiny.en bf16 5 4",
    "tiny.en int8 10 8",
    "base fp32 5 8",
    "base fp32 20 1",
    "base fp32 30 8",
    "base fp32 30 1 token_stride=2 reduction_layer=3",
    "base bf16 30 1 threads=2",
    "base int8 5 1",
    "base int8 30 1 threads=2",
    "small fp32 10 1",
    "small fp32 30 4",
    "small bf16 30 8",
    "small int8 30 1",
    "medium fp32 20 1",
    "medium bf16 30 4",
    "medium int8 10 1",
    "whisper-base fp32 5 1 task=ser exit_layer=3",
    "whisper-base fp32 30 8 task=ser exit_layer=3",
    "whisper-base int8 10 4 task=ser",
    "wav2vec2-base fp32 5 1 task=ser",
    "wav2vec2-base fp32 20 4 task=ser",
    "wav2vec2-base bf16 10 1 task=ser exit_layer=6",
)

LEVEL = 0.90
MIB = 2**20
UNUSED = 0.75
"""Share of pages of 2 MiB that nothing uses: with torch's library on a file system without such
pages a process took 126 MiB less, of 168 MiB mapped so."""

VERSIONS_SD = 0.05
"""Spread of the log of a runtime over versions of its libraries, a guess."""

RANDOM = ("small", "medium", "wav2vec2-base")
BATCHES = 2


def parsed(line: str) -> tuple[Configuration, int]:
    """A configuration and the threads that it runs on."""
    model, precision, window, batch, *others = line.split()
    fields: dict[str, Any] = dict(other.split("=") for other in others)
    threads = int(fields.pop("threads", 1))
    configuration = Configuration(
        model=model, precision=precision, window_s=float(window), batch_size=int(batch), **fields
    )
    return configuration, threads


def speech() -> Dataset:
    """Real recordings where they lie beside the checkout, and the project's own elsewhere."""
    if SHARED.exists():
        return open_dataset(f"librispeech:{SHARED}", "test-other")
    return open_dataset("demo")


def random_checkpoint(name: str, folder: Path) -> Path:
    """A folder in the hub's layout with random weights, made once."""
    import torch
    from transformers import Wav2Vec2Model, WhisperConfig, WhisperForConditionalGeneration

    from models_registry import MODELS, conversion
    from models_registry.architectures import WhisperArchitecture
    from models_registry.loading.encoders import speech_encoder_config
    from models_registry.loading.random_weights import random_module
    from models_registry.weights import default_source, fetch

    architecture = MODELS.get(name)
    target = folder / architecture.name
    if (target / "config.json").exists():
        return target
    cpu, size = torch.device("cpu"), torch.float16
    if isinstance(architecture, WhisperArchitecture):
        config = WhisperConfig(**conversion.hub_config(architecture))
        model = random_module(lambda: WhisperForConditionalGeneration(config), size, cpu)
        base = fetch(default_source("base"), MODELS.get("base"))
        target.mkdir(parents=True)
        shutil.copyfile(base / "tokenizer.json", target / "tokenizer.json")
    else:
        size = torch.float32
        waveform = speech_encoder_config(architecture)
        model = random_module(lambda: Wav2Vec2Model(waveform), size, cpu)
    model.save_pretrained(target)
    return target


def random_readout(configuration: Configuration, weights: Path, folder: Path) -> Path:
    """A read-out of zeros, which takes as much memory as a trained one."""
    from models_registry.adapters import weights_sha256
    from models_registry.architectures import WhisperArchitecture
    from models_registry.loading.readouts import Readout, save_readout
    from models_registry.readouts import ReadoutInfo

    architecture = configuration.architecture
    whisper = isinstance(architecture, WhisperArchitecture)
    width = architecture.d_model if whisper else architecture.hidden  # type: ignore[union-attr]
    labels = ("angry", "happy", "neutral", "sad")
    info = ReadoutInfo("linear", width, labels, "none", "none", weights_sha256(weights), "zeros")
    save_readout(Readout(width, len(labels)), info, folder)
    return folder


def measured(line: str, files: Sequence[str], folder: Path) -> dict[str, Any]:
    """What a process of its own reports."""
    from models_registry.weights import default_source, fetch

    configuration, threads = parsed(line)
    model = line.split()[0]
    weights = random_checkpoint(model, folder) if model in RANDOM else None
    readout = None
    if configuration.task == "ser":
        architecture = configuration.architecture
        place = weights or fetch(default_source(configuration.model), architecture)
        readout = random_readout(configuration, place, folder / f"{architecture.name}-readout")
    request = {
        "configuration": configuration.model_dump(mode="json"),
        "weights": weights and str(weights),
        "readout": readout and str(readout),
        "recordings": files,
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.model_process", json.dumps(request)],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def all_measured(lines: Iterable[str], runs: Path) -> dict[str, dict[str, Any]]:
    """What was measured by line, from the file of earlier runs where it is there."""
    found = json.loads(runs.read_text()) if runs.exists() else {}
    utterances = speech().utterances
    for line in lines:
        if line in found:
            continue
        configuration, _ = parsed(line)
        count = configuration.batch_size * BATCHES if configuration.batch_size > 1 else 4
        chosen = utterances[:: max(1, len(utterances) // count)][:count]
        result = measured(line, [str(u.path) for u in chosen], runs.parent / "memory-models")
        result["durations_s"] = [u.duration_s() for u in chosen]
        found[line] = result
        print(line, f"{result['served']['peak'] / 2**20:.0f} MiB", file=sys.stderr)
        runs.write_text(json.dumps(found))
    return found


def workload_of(found: dict[str, Any]) -> Workload:
    """The recordings of a run, and how much was said in them."""
    durations_s = found["durations_s"]
    said = max(found["text_tokens"], 1) / sum(durations_s)
    return Workload(durations_s=tuple(durations_s), tokens_per_audio_s=said)


def predicted(line: str, found: dict[str, Any]) -> tuple[float, float, float]:
    """Median and ends of the 90 % interval of what an answer without a device says, in bytes."""
    configuration, _ = parsed(line)
    question = Setting(task=configuration.task, workload=workload_of(found))
    evidence = evidence_for(configuration.task, None, None)
    costs = all_costs(Lattice.of([configuration]), question, evidence, None)
    lower, upper = costs.interval("memory_gib", LEVEL, 0)
    return float(costs.centre["memory_gib"][0]) * GIB, lower * GIB, upper * GIB


def fitted(runs: dict[str, dict[str, Any]]) -> list[dict[str, str]]:
    """Rows of the catalogue: what the closed form leaves of the peaks, by precision.

    Pages that the kernel maps 2 MiB at a time are counted between all of them and those that are
    used: which it is depends on the kernel and on how the files came into its cache. The spread
    is that between the two, of the peaks, and of versions.
    """
    left: dict[str, list[tuple[float, float]]] = {}
    evidence = evidence_for("asr", None, None)
    for line in FITTED:
        configuration, _ = parsed(line)
        found = runs[line]
        (rate,) = retry_rates(Lattice.of([configuration]), evidence.observations).mean
        own = sum(memory_of(configuration, workload_of(found), "cpu", float(rate)).values())
        scaled = own * float(np.exp(fit_own((), "cpu").log[0]))
        served = found["served"]
        left.setdefault(configuration.precision, []).append(
            (served["peak"] - scaled, served["huge_mapped"])
        )
    rows = []
    for precision, pairs in left.items():
        rest, huge = (np.array(column) for column in zip(*pairs, strict=True))
        unused = UNUSED * float(np.median(huge))
        runtime = float(np.median(rest)) - unused / 2
        kernels = unused / 12**0.5 / runtime
        spread = float(np.hypot(np.hypot(kernels, np.std(rest, ddof=1) / runtime), VERSIONS_SD))
        rows.append(
            {
                "engine": ENGINE,
                "kind": "cpu",
                "precision": precision,
                "bytes": f"{runtime:.4g}",
                "log_sd": f"{spread:.3f}",
                "basis": "measured",
                "source": (
                    f"{len(rest)} processes measured with torch {version('torch')},"
                    f" transformers {version('transformers')} and Python"
                    f" {platform.python_version()} on {local_device().name},"
                    f" Linux {platform.release().split('-')[0]}"
                ),
            }
        )
    return rows


def store(rows: Sequence[dict[str, str]]) -> None:
    """Writes the rows to the catalogue in place of those of the same engine and kind."""
    with RUNTIMES.open(encoding="utf-8", newline="") as stream:
        table = csv.DictReader(stream)
        columns = list(table.fieldnames or ())
        kept = [row for row in table if (row["engine"], row["kind"]) != (ENGINE, "cpu")]
    with RUNTIMES.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*rows, *kept])
    runtime_memory.cache_clear()


def main() -> None:
    """Measures what is not measured yet and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="", help="lines that begin like this")
    parser.add_argument("--runs", type=Path, help="JSON of earlier runs, which are not repeated")
    parser.add_argument("--store", action="store_true", help="write the runtime to the catalogue")
    arguments = parser.parse_args()
    lines = [line for line in (*FITTED, *LEFT_OUT) if line.startswith(arguments.only)]
    with tempfile.TemporaryDirectory() as temporary:
        runs = all_measured(lines, arguments.runs or Path(temporary) / "runs.json")
    if arguments.store:
        store(fitted(runs))
    rows, errors, inside = [], [], []
    for line in lines:
        centre, lower, upper = predicted(line, runs[line])
        peak = runs[line]["served"]["peak"]
        if line in LEFT_OUT:
            errors.append(abs(centre / peak - 1))
            inside.append(lower <= peak <= upper)
        rows.append(
            {
                "model, precision, window, batch": line,
                "": "fitted" if line in FITTED else "left out",
                "predicted MiB": f"{centre / MIB:.0f} ({lower / MIB:.0f} to {upper / MIB:.0f})",
                "measured MiB": f"{peak / MIB:.0f}",
                "at the end MiB": f"{runs[line]['served']['now'] / MIB:.0f}",
                "error": f"{centre / peak - 1:+.0%}",
            }
        )
    print(markdown(rows))
    if errors:
        print(
            f"\nleft out: {len(errors)} configurations, median error {np.median(errors):.1%},"
            f" largest {max(errors):.0%}, inside the {LEVEL:.0%} interval {np.mean(inside):.0%}"
        )


if __name__ == "__main__":
    main()
