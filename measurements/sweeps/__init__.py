"""Sweeps: many measurements by one plan, each exactly once however often it is stopped."""

from measurements.sweeps.runner import Sweep, SweepProgress
from measurements.sweeps.spec import Run, Speech, SweepError, SweepSpec

__all__ = ["Run", "Speech", "Sweep", "SweepError", "SweepProgress", "SweepSpec"]
