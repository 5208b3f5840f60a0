"""Sweeps: many measurements by one plan, each exactly once however often it is stopped."""

from measurements.sweeps.spec import Run, Speech, SweepError, SweepSpec
from measurements.sweeps.states import RunState, SweepProgress

__all__ = ["Run", "RunState", "Speech", "SweepError", "SweepProgress", "SweepSpec"]
