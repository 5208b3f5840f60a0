"""Ogg, page by page (RFC 3533): whether its length is told, and where streams were chained.

libsndfile reads the first of the streams that are chained, without a word of the others.
"""

from __future__ import annotations

from mmap import mmap

from measurements.audio.parts import Part

_HEADER_BYTES = 27
_FIRST, _CONTINUED = 2, 1

# Samples of the longest packet: of Vorbis 8192, of Opus 120 ms at 48 kHz.
_MOST_SAMPLES = 8192


class BrokenPagesError(ValueError):
    """Pages that are cut short, or missing."""


def parts_of(data: mmap) -> list[Part]:
    """The streams that are chained, one in the ordinary case.

    Raises:
        BrokenPagesError: The last page is not whole, or pages are missing.
    """
    starts: list[int] = []
    exact = True
    sequence: dict[bytes, int] = {}
    opening, at, stop = False, 0, 0
    heard: dict[bytes, bool] = {}
    while at >= 0 and at + 4 <= len(data):
        page = data[at : at + _HEADER_BYTES]
        sizes = data[at + _HEADER_BYTES : at + _HEADER_BYTES + page[26]] if len(page) > 26 else b""
        size = _HEADER_BYTES + len(sizes) + sum(sizes)
        if len(page) < _HEADER_BYTES or len(sizes) < page[26] or at + size > len(data):
            raise BrokenPagesError("its last Ogg page is not whole")
        serial, number = page[14:18], int.from_bytes(page[18:22], "little")
        granule = int.from_bytes(page[6:14], "little", signed=True)
        if page[5] & _FIRST:
            if not opening:
                starts.append(at)
                sequence, heard = {}, {}
            opening = True
        else:
            opening = False
            if number != sequence.get(serial, -1) + 1:
                if heard.get(serial):
                    raise BrokenPagesError(
                        f"Ogg pages {sequence[serial] + 1} to {number - 1} are missing"
                    )
                # A stream that was recorded from its middle on.
                exact = False
            if granule > 0 and not heard.get(serial):
                heard[serial] = True
                exact &= granule <= _MOST_SAMPLES * len(sizes)
        sequence[serial] = number
        stop = at + size
        at = data.find(b"OggS", stop)
    if not starts:
        raise BrokenPagesError("does not begin with the first page of a stream")
    ends = [*starts[1:], stop]
    return [Part(start, end, exact=exact) for start, end in zip(starts, ends, strict=True)]
