"""MPEG audio, frame by frame: what there is of it, and where files were joined.

libsndfile takes the length from the tag in the first frame, or guesses it from the first frames,
and reads no further: not the second of two files that were joined, nor what follows a loud
beginning at a variable bit rate. So frames are counted here (ISO/IEC 11172-3 section 2.4.1.3 and
13818-3), and a part without a true tag is given one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from mmap import mmap

from measurements.audio.formats import id3_bytes
from measurements.audio.parts import Part

_BITRATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""In kbit/s, by version and layer; layer 3 of version 2 has those of layer 2."""

_RATES = (44_100, 48_000, 32_000)
_TAG = re.compile(rb"(?:Xing|Info)\0\0\0([\0-\xff])([\0-\xff]{4})")

# What other programs leave between frames without a word: padding, a tag of their own.
_MOST_STRAY_BYTES = 4096

_SLIP_FRAMES = 2
"""Writers that count the tag's own frame wrongly are one out."""

_TRIMMED_FRAMES = 8
"""Frames that a tag may tell a decoder to leave out at both ends (two counts of 12 bits)."""

# Room for a tag: the longest side information, and 16 bytes.
_LEAST_TAG_BYTES = 4 + 32 + 16


class BrokenStreamError(ValueError):
    """A stream that is cut short or damaged."""


@dataclass(frozen=True)
class Frame:
    """What a frame's header says.

    Attributes:
        size: Bytes, the header's four included.
        samples: Samples of each channel.
        rate: Samples per second.
        channels: 1 or 2.
        layer: 1 to 3.
        tag_at: Place of a tag in it.
    """

    size: int
    samples: int
    rate: int
    channels: int
    layer: int
    tag_at: int

    @property
    def kind(self) -> tuple[int, int, int]:
        """What stays the same through a stream."""
        return self.rate, self.channels, self.layer


@lru_cache(maxsize=1024)
def frame_of(header: bytes) -> Frame | None:
    """What four bytes say as a frame's header; none where they are not one."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bitrate, rate = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    first = 1 if version == 3 else 2
    kbits = _BITRATES[first, 2 if first == 2 and layer == 3 else layer][bitrate - 1]
    hertz = _RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    samples = 384 if layer == 1 else 576 if layer == 3 and first == 2 else 1152
    padding = header[2] >> 1 & 1
    if layer == 1:
        size = (12_000 * kbits // hertz + padding) * 4
    else:
        size = samples // 8 * 1000 * kbits // hertz + padding
    mono = header[3] >> 6 == 3
    side = {(1, True): 17, (1, False): 32, (2, True): 9, (2, False): 17}[first, mono]
    return Frame(size, samples, hertz, 1 if mono else 2, layer, 4 + side)


def parts_of(data: mmap) -> list[Part]:
    """The files that a stream is made of, one in the ordinary case.

    Raises:
        BrokenStreamError: It is cut short, or bytes in it are no frames.
    """
    parts: list[Part] = []
    run = _Run()
    at, stray, end = 0, 0, len(data)
    while at < end:
        frame = frame_of(data[at : at + 4])
        if frame is not None and (stray == 0 or _goes_on(data, at, frame)):
            if at + frame.size > end:
                raise BrokenStreamError("its last frame is not whole")
            tag = _tag_in(data, at, frame)
            if run.frames and (tag is not None or stray or frame.kind != run.kind):
                parts.append(run.part(data))
                run = _Run()
            stray = 0
            run.add(data, at, frame, tag)
            at += frame.size
            continue
        skipped = _tag_bytes(data, at)
        if skipped and run.frames:
            parts.append(run.part(data))
            run = _Run()
        if not skipped:
            skipped = _to_next_sync(data, at)
            stray += skipped
            behind = at + skipped
            if stray > _MOST_STRAY_BYTES and behind < end:
                raise BrokenStreamError(f"{stray} bytes before byte {behind} are no frames of it")
        at += skipped
    if run.frames:
        parts.append(run.part(data))
    if not parts:
        raise BrokenStreamError("holds no frame of it")
    return parts


class _Run:
    """Frames that follow each other, the first perhaps a tag."""

    def __init__(self) -> None:
        self.frames = 0
        self.start = self.stop = self.first = 0
        self.kind: tuple[int, int, int] | None = None
        self.tag: int | None = None
        self._samples = 0

    def add(self, data: mmap, at: int, frame: Frame, tag: int | None) -> None:
        if self.kind is None:
            self.start, self.kind, self.tag = at, frame.kind, tag
            self.first = at + frame.size if tag is not None else at
            self._samples = frame.samples
        self.frames += 1
        self.stop = at + frame.size

    def part(self, data: mmap) -> Part:
        """The part that they are.

        Raises:
            BrokenStreamError: Its tag promises more of them.
        """
        heard = self.frames - (self.tag is not None)
        if self.tag is not None and self.tag > heard + _SLIP_FRAMES:
            raise BrokenStreamError(f"{heard} frames of the {self.tag} that its tag promises")
        least = max(0, heard - _TRIMMED_FRAMES) * self._samples
        if self.tag is not None and self.tag >= heard:
            return Part(self.start, self.stop, least=least)
        if not heard:
            raise BrokenStreamError("holds no sound behind its tag")
        head = _tag_frame(data[self.first : self.first + 4], heard, self.stop - self.first)
        return Part(self.first, self.stop, head, least, exact=bool(head))


def _tag_in(data: mmap, at: int, frame: Frame) -> int | None:
    """Frames that the tag in a frame promises; 0 where it does not say, none without a tag."""
    if frame.layer != 3:
        return None
    for place in (at + frame.tag_at, at + frame.tag_at + 2):
        if found := _TAG.match(data[place : place + 12]):
            return int.from_bytes(found[2]) if found[1][0] & 1 else 0
    vbri = data[at + 36 : at + 40] == b"VBRI"
    return 0 if vbri else None


def _tag_frame(header: bytes, frames: int, size: int) -> bytes:
    """A frame without sound whose tag tells the number of those behind it."""
    frame = frame_of(header)
    if frame is None or frame.layer != 3:
        return b""
    for bitrate in range(1, 15):
        # Without checksum and padding, at the lowest bit rate that has room.
        plain = bytes([header[0], header[1] | 1, bitrate << 4 | header[2] & 0x0C, header[3]])
        made = frame_of(plain)
        if made is not None and made.size >= _LEAST_TAG_BYTES:
            counts = frames.to_bytes(4) + min(size + made.size, 0xFFFFFFFF).to_bytes(4)
            body = plain.ljust(made.tag_at, b"\0") + b"Xing\0\0\0\3" + counts
            return body.ljust(made.size, b"\0")
    return b""


def _tag_bytes(data: mmap, at: int) -> int:
    """Bytes of a tag that other programs put in front of or behind the frames; 0 if none."""
    start = data[at : at + 32]
    if start[:3] == b"TAG":
        return min(128, len(data) - at)
    if start[:8] == b"APETAGEX":
        return min(32 + int.from_bytes(start[12:16], "little"), len(data) - at)
    return min(id3_bytes(start), len(data) - at)


def _goes_on(data: mmap, at: int, frame: Frame) -> bool:
    """Whether another frame of the kind follows, or the end: a header may be there by chance."""
    behind = at + frame.size
    if behind >= len(data):
        return behind == len(data)
    after = frame_of(data[behind : behind + 4])
    return after is not None and after.kind == frame.kind


def _to_next_sync(data: mmap, at: int) -> int:
    """Bytes to the next place where a frame or a tag may begin, at least one."""
    places = [data.find(mark, at + 1) for mark in (b"\xff", b"ID3", b"TAG", b"APETAGEX")]
    return min([place for place in places if place >= 0], default=len(data)) - at
