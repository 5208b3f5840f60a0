"""Every timing of the catalogue is found under its own configuration and under no other."""

import pytest

from measurements.catalogue import catalogue, device_timings
from planner.lattice import Lattice

TIMED = [
    (record.device.id, record.configuration)
    for record in (*catalogue(), *device_timings())
    if record.device is not None
]


@pytest.mark.parametrize("device", sorted({device for device, _ in TIMED}))
@pytest.mark.parametrize("task", ["asr", "ser"])
def test_each_timed_row_is_found_under_its_own_configuration_only(device, task):
    timed = list(dict.fromkeys(c for name, c in TIMED if name == device))
    of_task = [c for c in timed if c.task == task]
    lattice = Lattice.of(of_task, task)
    rows = lattice.rows_of(timed)
    found = {c: int(row) for c, row in zip(timed, rows, strict=True) if row >= 0}
    assert found == {c: row for row, c in enumerate(of_task)}
    assert len({c.key for c in timed}) == len(timed)
