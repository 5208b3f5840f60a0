"""Numbers that a question may have: so that every cost stays finite and above zero.

The ends are far beyond what anybody serves, and far within what a float can hold.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Bound = Annotated[float, Field(ge=1e-9, le=1e18, allow_inf_nan=False)]
"""A budget, in any unit."""

Price = Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)]
"""USD for an hour of a device."""

Watts = Annotated[float, Field(ge=1e-3, le=1e6, allow_inf_nan=False)]

Utilisation = Annotated[float, Field(ge=0.01, le=1, allow_inf_nan=False)]
"""Share of its time that a device is busy."""

Chance = Annotated[float, Field(ge=1e-6, le=0.999_999, allow_inf_nan=False)]
"""A probability that a quantile is taken of, at 1 it would be infinite; or an error."""

LEAST_S, MOST_S = 0.02, 1e6
"""Of a recording: one encoder frame, and twelve days."""

DurationS = Annotated[float, Field(ge=LEAST_S, le=MOST_S, allow_inf_nan=False)]

Weight = Annotated[float, Field(ge=1e-9, le=1e12, allow_inf_nan=False)]
"""How often something occurs, as a share or as a count."""

LEAST_TOKENS, MOST_TOKENS = 1e-3, 1e3
"""Per second of audio."""

TokenRate = Annotated[float, Field(ge=LEAST_TOKENS, le=MOST_TOKENS, allow_inf_nan=False)]

ArrivalRate = Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)]
"""Recordings in a second."""

Seed = Annotated[int, Field(ge=0, lt=2**32)]
