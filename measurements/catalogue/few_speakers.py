"""Measures emotions on a few speakers of a corpus, each set of speakers by itself.

``python -m measurements.catalogue.few_speakers emodb:emodb-mini FOLDER``

Heads are trained on these speakers alone, so the runs tell what few training clips cost. Each set
goes into a store of its own in the folder; ``python -m measurements.catalogue.build --add`` takes
all of them.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from measurements.catalogue import catalogue
from measurements.datasets import open_dataset
from measurements.evaluation import evaluation_of
from measurements.store import Store
from planner.quality import on_the_axes

SETS = ((3, 0), (3, 1), (5, 2), (4, 3))
"""Speakers of each set, and the seed that draws them."""

COMMAND = "python -m measurements.catalogue.few_speakers emodb:emodb-mini FOLDER"
CONFIGURATIONS = 9
_SEED = 5


def measure(place: str, folder: Path) -> int:
    """Measures configurations of the catalogue on every set of speakers.

    Args:
        place: The corpus, as for ``measure``.
        folder: Where the stores go.

    Returns:
        How many measurements there are.
    """
    corpus = open_dataset(place)
    known = {
        m.configuration: None
        for m in catalogue()
        if m.study == corpus.study
        and m.configuration.adapter == "none"
        and on_the_axes(m.configuration)
    }
    order = np.random.default_rng(_SEED).permutation(len(known))[:CONFIGURATIONS]
    configurations = [list(known)[row] for row in order]
    people, count = sorted(corpus.speakers), 0
    for number, seed in SETS:
        drawn = set(np.random.default_rng(seed).choice(people, number, replace=False).tolist())
        spoken = tuple(u for u in corpus.utterances if u.speaker in drawn)
        store = Store.open(f"sqlite:///{folder / f'{number}-speakers-{seed}.db'}")
        for configuration in configurations:
            evaluation_of(
                configuration,
                replace(corpus, utterances=spoken),
                store,
                timing=False,
                command=COMMAND,
            ).run()
            count += 1
        store.close()
    return count


if __name__ == "__main__":
    sys.stdout.write(f"{measure(sys.argv[1], Path(sys.argv[2]))} measurements\n")
