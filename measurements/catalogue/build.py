"""Makes the measured part of the catalogue from a store, and fits its curves.

``python -m measurements.catalogue.build [--add] sqlite:////path/store.db ...``
"""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from measurements.catalogue import MEASURED, built_in_keys, catalogue
from measurements.fits import BUILT_IN, file_name, packed
from measurements.records import Measurement, Record
from measurements.store import Store
from measurements.studies import DEFAULT_STUDY, evidence_for
from planner.curves import ScalingModel
from planner.curves.stored import Fits
from planner.quality import curves_of


def build(urls: Sequence[str], *, add: bool = False) -> int:
    """Writes every measurement of some stores into the catalogue, transcripts left out.

    Args:
        urls: The stores.
        add: Whether to keep what the catalogue has measured already.

    Returns:
        How many there are.
    """
    found: dict[str, Measurement] = {}
    if add:
        found = {m.key: m for m in catalogue() if m.source == "measured"}
    for url in urls:
        store = Store.open(url)
        found |= {m.key: m for _, m in store.measurements()}
        store.close()
    ordered = sorted(found, key=lambda key: (found[key].study, key))
    write_lines(MEASURED, [found[key] for key in ordered])
    return len(found)


def fit_curves() -> int:
    """Fits the curves of what is built in, so that a first answer need not wait for them.

    Returns:
        How many there are.
    """
    catalogue.cache_clear()
    built_in_keys.cache_clear()
    BUILT_IN.mkdir(exist_ok=True)
    for old in BUILT_IN.glob("*.json.gz"):
        old.unlink()
    for task in DEFAULT_STUDY:
        evidence = evidence_for(task, None, None)
        curves_of(task, evidence.observations, fits=_Written())
    return len(DEFAULT_STUDY)


class _Written(Fits):
    def save(self, key: str, model: ScalingModel) -> None:
        (BUILT_IN / file_name(key)).write_bytes(packed(model))


def write_lines(file: Path, records: Iterable[Record]) -> None:
    """Writes records as compressed JSON lines; the same records make the same file."""
    # No time stamp in the header.
    with file.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as stream:
        for record in records:
            stream.write(record.model_dump_json().encode() + b"\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("urls", nargs="+", help="stores")
    parser.add_argument("--add", action="store_true", help="keep what there is")
    options = parser.parse_args()
    count = build(options.urls, add=options.add)
    sys.stdout.write(f"{count} measurements in {MEASURED}\n")
    sys.stdout.write(f"{fit_curves()} fits in {BUILT_IN}\n")
