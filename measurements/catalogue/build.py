"""Makes the measured part of the catalogue from a store.

``python -m measurements.catalogue.build sqlite:////path/store.db``
"""

from __future__ import annotations

import gzip
import sys

from measurements.catalogue import MEASURED
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
    # No time stamp in the header: the same measurements make the same file.
    with MEASURED.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as stream:
        for measurement in found:
            stream.write(measurement.model_dump_json().encode() + b"\n")
    return len(found)


if __name__ == "__main__":
    sys.stdout.write(f"{build(sys.argv[1])} measurements in {MEASURED}\n")
