"""How long a configuration will take to time, so that none eats a calibration's budget."""

from __future__ import annotations

import numpy as np

from measurements.calibration_plan import work_flops
from measurements.records import DeviceTiming
from models_registry import Configuration


class Pace:
    """How long configurations take, judged by the nearest that was timed."""

    def __init__(self) -> None:
        self._seen: list[DeviceTiming] = []

    def learn(self, timing: DeviceTiming) -> None:
        """Takes a timing in, unless it failed."""
        if timing.samples:
            self._seen.append(timing)

    def expected_s(self, configuration: Configuration) -> float:
        """Seconds to load and run once; 0 with nothing to judge by.

        From fewer FLOPs to more, time grows no faster than they do; the other way it
        shrinks more slowly, taken here as their root.
        """
        c = configuration
        alike = [t for t in self._seen if t.configuration.precision == c.precision] or self._seen
        alike = [t for t in alike if t.configuration.task == c.task] or alike
        if not alike:
            return 0.0
        flops = work_flops(c)
        nearest = min(alike, key=lambda t: abs(np.log(work_flops(t.configuration) / flops)))
        pass_s = float(np.median([s.total_s for s in nearest.samples]))
        load = max(alike, key=lambda t: t.configuration.architecture.parameters)
        larger = c.architecture.parameters / load.configuration.architecture.parameters
        ratio = flops / work_flops(nearest.configuration)
        shrunk: float = min(ratio, 1.0) ** 0.5
        return pass_s * max(ratio, 1.0) * shrunk + (load.load_s or 0.0) * larger
