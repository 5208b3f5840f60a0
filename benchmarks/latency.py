"""How well a device's latency is predicted for what was not timed on it.

``python -m benchmarks.latency``

For every device that the catalogue has timed runs of: each tenth of the configurations in
turn from the others, each architecture in turn from the others; for a GPU all of them from
its data sheet, by number format, as if it had never been timed. An error is that of the
seconds of one run, ``|predicted / measured - 1|``, the measured being the median of repeats.
"""

from __future__ import annotations

import hashlib

from benchmarks.tables import markdown
from measurements.catalogue import catalogue
from measurements.profiles import all_device_timings, device_evidence
from models_registry import Configuration
from planner.device.check import (
    HeldOutCheck,
    from_data_sheet,
    leave_one_architecture_out,
    leave_out,
)

FOLDS = 10
LEAST_RUNS = 30


def fold(configuration: Configuration) -> int:
    """A tenth of the configurations, the same ones always."""
    return int(hashlib.sha256(configuration.key.encode()).hexdigest(), 16) % FOLDS


def row(device: str, what: str, check: HeldOutCheck) -> dict[str, str]:
    """One line of the table."""
    return {
        "device": device,
        "left out": what,
        "runs predicted": str(check.configurations),
        "median error": f"{check.median_error:.1%}",
        f"inside the {check.level:.0%} interval": f"{check.coverage:.0%}",
    }


def main() -> None:
    """Prints the table."""
    rows = []
    devices = device_evidence([*catalogue(), *all_device_timings(None)])
    for name, known in devices.items():
        if len(known.runs) < LEAST_RUNS:
            continue
        for what, check in (
            (f"a tenth of the configurations, {FOLDS} times", leave_out(name, known, fold)),
            ("an architecture, each in turn", leave_one_architecture_out(name, known)),
        ):
            if check is not None:
                rows.append(row(name, what, check))
        if known.kind == "cuda":
            for precision, check in from_data_sheet(name, devices).items():
                rows.append(row(name, f"all of it, {precision}", check))
    print(markdown(rows) if rows else "no device has enough timed runs")


if __name__ == "__main__":
    main()
