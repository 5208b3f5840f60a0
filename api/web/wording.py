"""Numbers and names as the page says them."""

from __future__ import annotations

import math
from datetime import datetime

from planner.question import UNITS

NONE = "\N{EN DASH}"
"""What is not known."""

SPACE = "\N{NARROW NO-BREAK SPACE}"

NAMES = {
    "wer": "WER",
    "ua": "UA",
    "gflops_per_utterance": "Compute per utterance",
    "gflops_per_audio_second": "Compute per second of audio",
    "rtf": "RTF",
    "latency_p50_s": "Latency p50",
    "latency_p95_s": "Latency p95",
    "memory_gib": "Memory",
    "parameters": "Parameters",
    "usd_per_audio_hour": "Price",
    "joules_per_audio_second": "Energy",
    "target": "Target",
}

EXPLAINED = {
    "wer": "Word error rate; lower is better",
    "ua": "Unweighted accuracy; higher is better",
    "rtf": "Real-time factor: computing seconds per second of audio",
    "xN": "model",
    "xT": "window",
    "xV": "encoder tokens",
    "exit": "layer read out",
    "measured": "Measured here, by a real run",
    "published": "Published elsewhere",
    "predicted": "Predicted by the fitted curves",
    "interpolated": "Predicted, within what was observed",
    "extrapolated": "Predicted, outside of what was observed",
}


def name_of(cost: str) -> str:
    """A cost or metric in words."""
    return NAMES.get(cost, cost)


def number(value: float | None, digits: int = 3) -> str:
    """A number to so many significant digits, without an exponent where it can be read."""
    if value is None:
        return NONE
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{digits}g}"


def percent(share: float | None, digits: int = 2) -> str:
    """A fraction in percent."""
    return NONE if share is None else f"{100 * share:.{digits}f}{SPACE}%"


def chance(share: float) -> str:
    """A probability; what is not certain is not said to be."""
    if 0 < share < 0.005:
        return f"<{SPACE}1{SPACE}%"
    if 0.995 <= share < 1:
        return f">{SPACE}99{SPACE}%"
    return f"{100 * share:.0f}{SPACE}%"


def quantity(value: float | None, cost: str) -> str:
    """A cost with its unit."""
    if value is None:
        return NONE
    if cost == "parameters":
        return f"{value / 1e6:,.1f}{SPACE}M"
    if cost in ("wer", "ua"):
        return percent(value)
    unit = "" if cost == "rtf" else UNITS.get(cost, "")
    return f"{number(value)}{SPACE}{unit}".rstrip(SPACE)


def size(count: float) -> str:
    """Bytes."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{number(count)}{SPACE}{unit}"
        count /= 1024
    return f"{number(count)}{SPACE}GiB"


def flops(count: float | None) -> str:
    """FLOPs."""
    return NONE if count is None else f"{number(count / 1e9)}{SPACE}GFLOPs"


def when(moment: datetime | None) -> str:
    """A moment, to the minute."""
    return NONE if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


def seconds(duration: float | None) -> str:
    """A duration."""
    if duration is None:
        return NONE
    if duration < 120:
        return f"{number(duration)}{SPACE}s"
    return f"{duration / 60:.0f}{SPACE}min"


def sentence(text: str) -> str:
    """What an error says, as a sentence."""
    ended = text if text.endswith((".", "!", "?")) else text + "."
    return ended[:1].upper() + ended[1:]


FILTERS = {
    "name": name_of,
    "number": number,
    "percent": percent,
    "chance": chance,
    "quantity": quantity,
    "size": size,
    "flops": flops,
    "when": when,
    "seconds": seconds,
    "sentence": sentence,
}
