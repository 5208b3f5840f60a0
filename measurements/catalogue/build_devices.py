"""Makes the device profiles of the catalogue from a store.

``python -m measurements.catalogue.build_devices sqlite:////path/store.db``
"""

from __future__ import annotations

import sys
from pathlib import Path

from measurements.catalogue import DEVICES
from measurements.catalogue.build import write_lines
from measurements.records import DeviceTiming
from measurements.store import Store


def build(url: str, folder: Path = DEVICES) -> dict[Path, int]:
    """Writes the timings of every device of a store into a file each, failures left out.

    Returns:
        How many there are, by file.
    """
    store = Store.open(url)
    found: dict[str, list[DeviceTiming]] = {}
    for timing in store.device_timings():
        if timing.samples:
            found.setdefault(timing.device.id, []).append(timing)
    store.close()
    folder.mkdir(exist_ok=True)
    written = {}
    for device, timings in found.items():
        file = folder / f"{device}.jsonl.gz"
        ordered = sorted(timings, key=lambda t: t.key)
        write_lines(file, ordered)
        written[file] = len(timings)
    return written


if __name__ == "__main__":
    for path, count in build(sys.argv[1]).items():
        sys.stdout.write(f"{count} timings in {path}\n")
