"""Segments of recordings, as manifests of NeMo, Kaldi and Lhotse name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

from measurements.cells import number_of
from measurements.datasets.base import Utterance

COLUMNS = ("offset", "duration", "start", "end")
"""Seconds: where a segment begins (``offset`` or ``start``), ends, and how long it is."""

ROUNDING_S = 0.05
"""By so much a segment may end behind its recording, and ``start`` and ``duration`` beside
``end``: manifests round."""


class SegmentError(ValueError):
    """A segment that is none of its recording.

    Attributes:
        column: What says it.
    """

    def __init__(self, message: str, column: str) -> None:
        super().__init__(message)
        self.column = column


def segment_of(whole: Utterance, cells: Mapping[str, Any], *, identifier: str | None) -> Utterance:
    """The part of a recording that a row is about.

    Args:
        whole: The recording.
        cells: The row, with any of :data:`COLUMNS`.
        identifier: Id of the row. Left out, that of the recording is taken, with the part's
            seconds behind it in the form of W3C media fragments.

    Raises:
        SegmentError: It is none of the recording.
        DatasetError: The recording can't be read.
    """
    said = {c: s for c in COLUMNS if (s := _seconds(cells.get(c), c)) is not None}
    if not said:
        return whole
    if "offset" in said and "start" in said:
        raise SegmentError("is another name of offset, which is there too", "start")
    begin = "start" if "start" in said else "offset"
    start_s = said.get(begin, 0.0)
    end_s, last = _end(said, start_s)
    recorded_s = whole.duration_s()
    if end_s is None:
        end_s, last = recorded_s, begin
    if start_s >= min(end_s, recorded_s):
        raise SegmentError(
            f"no audio is between {start_s:g} s and {end_s:g} s of {recorded_s:g} s", last
        )
    if end_s > recorded_s + ROUNDING_S:
        raise SegmentError(
            f"the segment ends at {end_s:g} s, its recording {whole.path.name} at {recorded_s:g} s",
            last,
        )
    if start_s == 0 and end_s >= recorded_s - ROUNDING_S:
        return whole
    end_s = min(end_s, recorded_s)
    return replace(
        whole,
        id=identifier or f"{whole.id}#t={_written(start_s)},{_written(end_s)}",
        start_s=start_s,
        end_s=end_s,
    )


def _end(said: Mapping[str, float], start_s: float) -> tuple[float | None, str]:
    """Where a segment ends, and which column says it."""
    if "duration" not in said:
        return said.get("end"), "end"
    end_s = start_s + said["duration"]
    if "end" in said and abs(said["end"] - end_s) > ROUNDING_S:
        raise SegmentError(
            f"{said['duration']:g} s, but it ends {said['end'] - start_s:g} s behind its start",
            "duration",
        )
    return said.get("end", end_s), "end" if "end" in said else "duration"


def _seconds(cell: object, column: str) -> float | None:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    try:
        number = number_of(cell) if isinstance(cell, str) else cell
    except ValueError as error:
        raise SegmentError(str(error), column) from None
    if isinstance(number, bool) or not isinstance(number, int | float) or not isfinite(number):
        raise SegmentError(f"{cell!r} is no number of seconds", column)
    if number < 0 or (number == 0 and column in ("duration", "end")):
        raise SegmentError(f"{number:g} s", column)
    return float(number)


def _written(seconds: float) -> str:
    return f"{seconds:.6f}".rstrip("0").rstrip(".")
