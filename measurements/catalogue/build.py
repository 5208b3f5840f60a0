"""Makes the measured part of the catalogue from a store.

``python -m measurements.catalogue.build sqlite:////path/store.db``
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable
from pathlib import Path

from measurements.catalogue import MEASURED
from measurements.records import Record
from measurements.store import Store


def build(url: str) -> int:
    """Writes every measurement of a store into the catalogue, transcripts left out.

    Returns:
        How many there are.
    """
    store = Store.open(url)
    found = [measurement for _, measurement in store.measurements()]
    store.close()
    found.sort(key=lambda m: (m.study, m.key))
    write_lines(MEASURED, found)
    return len(found)


def write_lines(file: Path, records: Iterable[Record]) -> None:
    """Writes records as compressed JSON lines; the same records make the same file."""
    # No time stamp in the header.
    with file.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as stream:
        for record in records:
            stream.write(record.model_dump_json().encode() + b"\n")


if __name__ == "__main__":
    sys.stdout.write(f"{build(sys.argv[1])} measurements in {MEASURED}\n")
