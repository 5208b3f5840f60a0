"""Audio files that end before their recording does, as after a broken download.

libsndfile reads what there is of one and makes no error of it. What a file itself says of
its length tells: the sizes in a header, the tag in an MP3's first frame, the size of an Ogg
page. An MP3 without such a tag, or an Ogg file that ends with a page, may be whole or not: the
mark of the last page is no sign, as recorders of voice messages leave it out.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO

# libsndfile's note on a chunk that is longer by its header than the file has room for.
_SHORT = re.compile(r": (\d+) \(should be (\d+)\)")

# Writers of a stream put at least this where they can't know the length (sox; others more).
_UNKNOWN_BYTES = 0x7FFFF000

# Writers that count a header wrongly are that far out.
_SLIP_BYTES = 64

# An Ogg page: 27 bytes, the last of them the number of segments; their sizes, and they.
_PAGE_BYTES = 27
_LONGEST_PAGE_BYTES = _PAGE_BYTES + 255 + 255 * 255

# The tag of an MP3 lies in its first frame.
_LONGEST_FRAME_BYTES = 1441

# Writers that count the tag's own frame wrongly are one out.
_SLIP_FRAMES = 2


def short_by_notes(notes: str) -> str | None:
    """What is missing by the sizes in a header, from libsndfile's notes on it."""
    for promised, there in _SHORT.findall(notes):
        if int(there) + _SLIP_BYTES < int(promised) < _UNKNOWN_BYTES:
            return _promised(int(there), int(promised))
    return None


def short_by_container(path: Path) -> str | None:
    """What is missing of an MP3 or Ogg file, where it can be told.

    Raises:
        OSError: The file can't be read.
    """
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        start = stream.read(10)
        if start.startswith(b"OggS"):
            return _short_ogg(stream, size)
        if start.startswith(b"ID3"):
            # The tag's size has seven bits a byte and leaves this header out.
            tag_bytes = sum(byte << 7 * place for place, byte in enumerate(start[:5:-1]))
            return _short_mp3(stream, len(start) + tag_bytes, size)
        if start[:1] == b"\xff":
            return _short_mp3(stream, 0, size)
    return None


def _short_ogg(stream: BinaryIO, size: int) -> str | None:
    stream.seek(max(0, size - _LONGEST_PAGE_BYTES))
    tail = stream.read()
    start = tail.rfind(b"OggS")
    if start < 0:
        return None
    page = tail[start:]
    if len(page) >= _PAGE_BYTES:
        segments = page[_PAGE_BYTES - 1]
        sizes = page[_PAGE_BYTES : _PAGE_BYTES + segments]
        if len(page) >= _PAGE_BYTES + segments + sum(sizes):
            return None
    return "its last Ogg page is not whole"


def _short_mp3(stream: BinaryIO, begin: int, size: int) -> str | None:
    stream.seek(begin)
    frame = stream.read(_LONGEST_FRAME_BYTES)
    tag = re.search(rb"(?:Xing|Info)\0\0\0(.)(.{4})(.{4})", frame, re.DOTALL)
    if tag is None or tag[1][0] & 3 != 3:
        return None
    frames, promised = (int.from_bytes(field) for field in tag.groups()[1:])
    there = size - begin
    if not frames or there + _SLIP_FRAMES * promised / frames >= promised:
        return None
    return _promised(there, promised)


def _promised(there: int, promised: int) -> str:
    return f"{there} bytes of the {promised} that its header promises"
