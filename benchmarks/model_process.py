"""One process that loads a configuration and runs it on recordings, and the memory it took.

``python -m benchmarks.model_process REQUEST`` prints JSON; :mod:`benchmarks.memory` starts it.
It imports what a user's server would, and nothing of the planner or the measurements.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import soundfile

from models_registry import Configuration, load
from models_registry.weights import PathSource


def resident_bytes() -> dict[str, int]:
    """Resident memory of this process: its peak so far, now, and of that what is no file's."""
    names = {"VmHWM": "peak", "VmRSS": "now", "RssAnon": "anonymous_now"}
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {names[n[0][:-1]]: int(n[1]) * 1024 for n in lines if n and n[0][:-1] in names}


def huge_mapped_bytes() -> int:
    """Pages of files that the kernel has mapped 2 MiB at a time, whether all of it is used or not.

    Kernels with large folios do this to libraries; others map the pages that are used.
    """
    rollup = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(n.split()[1]) * 1024 for n in rollup if n.startswith("FilePmdMapped:"))


def main() -> None:
    """Serves what the request names and prints what it took."""
    request = json.loads(sys.argv[1])
    configuration = Configuration(**request["configuration"])
    model = load(
        configuration,
        device="cpu",
        weights=PathSource(Path(request["weights"])) if request["weights"] else None,
        readout=Path(request["readout"]) if request["readout"] else None,
    )
    loaded = resident_bytes()
    text_tokens, size = 0, configuration.batch_size
    files = request["recordings"]
    for first in range(0, len(files), size):
        waveforms = [soundfile.read(file, dtype="float32")[0] for file in files[first:][:size]]
        if configuration.task == "ser":
            model.probabilities(waveforms)
        else:
            text_tokens += sum(t.text_tokens for t in model.transcribe_batch(waveforms))
    served = resident_bytes() | {"huge_mapped": huge_mapped_bytes()}
    print(json.dumps({"loaded": loaded, "served": served, "text_tokens": text_tokens}))


if __name__ == "__main__":
    main()
