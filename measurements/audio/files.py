"""Reading audio files: to the last sample, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from measurements.audio import containers, mpeg, ogg
from measurements.audio.endings import joined_au, short_by_notes
from measurements.audio.errors import AudioFileError
from measurements.audio.formats import (
    AU,
    FLAC,
    MPEG_AUDIO,
    OGG,
    START_BYTES,
    Format,
    format_of,
    id3_bytes,
    no_format,
)
from measurements.audio.parts import Part
from models_registry.samples import refuse_cancelling

MAX_SAMPLES = 2**27
"""Samples of a recording, over all channels: half a GiB, or 2.3 hours at 16 kHz."""

Block = NDArray[np.float32]
"""Samples, shape ``(samples, channels)``."""

_BLOCK_FRAMES = 2**16

_FLAC_START = b"fLaC\0\0\0\x22"
_UNKNOWN_FRAMES = 2**62

_MOST_HEADER_BYTES = 4096


def read(
    path: Path, start_s: float = 0.0, stop_s: float | None = None
) -> tuple[NDArray[np.float32], int]:
    """Samples, shape ``(samples,)`` or ``(samples, channels)``, and their rate.

    Args:
        path: The file; its format is told by its content.
        start_s: Where to begin.
        stop_s: Where to end; at the end of the file when left out.

    Raises:
        AudioFileError: The file is corrupt, cut short, of no format that is read, too long,
            holds no audio or ends before ``stop_s``, or its channels cancel out.
    """
    sound = _Sound()
    with _named(path), _opened(path) as source:
        for rate, block in source.blocks(start_s, stop_s):
            sound.add(rate, block)
        if stop_s is not None and sound.frames + 1 < round((stop_s - start_s) * sound.rate):
            raise ValueError(f"ends before {stop_s:g} s")
        samples = sound.samples()
        refuse_cancelling(samples, sound.rate)
    return (samples[:, 0] if samples.shape[1] == 1 else samples), sound.rate


def duration_s(path: Path) -> float:
    """Duration in seconds: the header's where it can be trusted, else of what is decoded.

    Raises:
        AudioFileError: The file is corrupt, cut short, of no format that is read, or holds no
            audio.
    """
    with _named(path):
        status = path.stat()
        return _duration_s(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=2**16)
def _duration_s(path: Path, size: int, changed_ns: int) -> float:
    with _opened(path) as source:
        found = source.stated_s()
        if found is None:
            rate, frames = 1, 0
            for rate, block in source.blocks():  # noqa: B007
                frames += len(block)
            found = frames / rate
    if not found:
        raise ValueError("holds no audio")
    return found


class _Sound:
    """Samples as they are decoded."""

    def __init__(self) -> None:
        self.rate = 0
        self._held: Block = np.empty((0, 1), dtype=np.float32)
        self.frames = 0

    def add(self, rate: int, block: Block) -> None:
        if not self.rate:
            self.rate, self._held = rate, np.empty((0, block.shape[1]), dtype=np.float32)
        if not np.isfinite(block).all():
            raise ValueError("holds samples that are not finite")
        channels = self._held.shape[1]
        behind = self.frames + len(block)
        if behind * channels > MAX_SAMPLES:
            hours = MAX_SAMPLES / channels / rate / 3600
            raise ValueError(
                f"more than the {hours:.1f} hours that are read at once at {rate} Hz and"
                f" {channels} channels: cut it into pieces"
            )
        if behind > len(self._held):
            self._held.resize((max(behind, len(self._held) * 3 // 2), channels), refcheck=False)
        self._held[self.frames : behind] = block
        self.frames = behind

    def samples(self) -> Block:
        """What was added.

        Raises:
            ValueError: That is nothing.
        """
        if not self.frames:
            raise ValueError("holds no audio")
        return self._held[: self.frames]


class _Source:
    """An open file of a format that libsndfile reads."""

    def __init__(self, stream: BinaryIO, parts: list[Part], kind: Format) -> None:
        self._stream = stream
        self._parts = parts
        self._kind = kind
        self._shape: tuple[int, int] | None = None

    def stated_s(self) -> float | None:
        """Duration by the headers, in seconds; none where they can't be trusted."""
        total = 0.0
        for part in self._parts:
            with self._file(part) as file:
                self._check_shape(file)
                if not part.exact or file.frames >= _UNKNOWN_FRAMES:
                    return None
                if self._kind is FLAC and file.frames:
                    # A file that was cut short states its length from before: this fails then.
                    file.seek(file.frames - 1)
                total += file.frames / file.samplerate
        return total

    def blocks(
        self, start_s: float = 0.0, stop_s: float | None = None
    ) -> Iterator[tuple[int, Block]]:
        """Rates and samples, to the end of the last part."""
        first = 0
        for part in self._parts:
            with self._file(part) as file:
                self._check_shape(file)
                start, stop = _frames(start_s, stop_s, file.samplerate)
                at = 0
                if len(self._parts) == 1 and 0 < start < file.frames < _UNKNOWN_FRAMES:
                    at = file.seek(start)
                while stop is None or first + at < stop:
                    block = file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)
                    if not len(block):
                        self._check_end(part, file, at)
                        break
                    wanted = slice(
                        max(0, start - first - at),
                        None if stop is None else max(0, stop - first - at),
                    )
                    at += len(block)
                    yield file.samplerate, block[wanted]
                first += at

    def _check_shape(self, file: Any) -> None:
        shape = file.samplerate, file.channels
        if self._shape not in (None, shape):
            rate, channels = self._shape or shape
            raise ValueError(
                f"made of parts at {rate} Hz with {channels} channels and {shape[0]} Hz with"
                f" {shape[1]}: convert it to one format"
            )
        self._shape = shape

    def _check_end(self, part: Part, file: Any, frames: int) -> None:
        known = file.frames < _UNKNOWN_FRAMES
        promised = part.least if self._kind is MPEG_AUDIO else file.frames if known else 0
        if frames < promised:
            raise ValueError(f"damaged or cut short: {frames} samples of {promised} can be read")

    @contextmanager
    def _file(self, part: Part) -> Iterator[Any]:
        from measurements.audio.libsndfile import ForwardFile, LibsndfileError

        try:
            if len(self._parts) == 1 and not part.head:
                # By its descriptor: a path's ending makes libsndfile read any bytes as sound.
                os.lseek(self._stream.fileno(), 0, os.SEEK_SET)
                opened = ForwardFile(self._stream.fileno(), closefd=False)
            else:
                self._stream.seek(part.start)
                held = self._stream.read(part.stop - part.start)
                opened = ForwardFile(BytesIO(part.head + held))
            with opened as file:
                missing = short_by_notes(file.extra_info)
                if missing is not None:
                    raise ValueError(f"cut short: {missing}")
                if not file.frames and part.stop - part.start > _MOST_HEADER_BYTES:
                    raise ValueError("holds no audio by its header: its recorder did not close it")
                yield file
        except LibsndfileError as error:
            raise ValueError(f"damaged or cut short: {error.error_string}") from None


@contextmanager
def _opened(path: Path) -> Iterator[_Source | containers.Source]:
    with path.open("rb") as stream:
        start = stream.read(START_BYTES)
        if not start:
            raise ValueError("is empty")
        stream.seek(id3_bytes(start))
        kind = format_of(stream.read(START_BYTES) if start[:3] == b"ID3" else start)
        if kind is None:
            raise ValueError(no_format(start))
        if kind.demuxer is not None:
            yield containers.Source(stream, kind)
        else:
            yield _Source(stream, _parts(stream, kind), kind)


def _parts(stream: BinaryIO, kind: Format) -> list[Part]:
    size = os.fstat(stream.fileno()).st_size
    if kind is AU:
        stream.seek(0)
        if joined_au(stream.read(START_BYTES), size):
            raise ValueError(
                "goes on behind the end that its header states: are there two files in it?"
            )
    if kind not in (MPEG_AUDIO, OGG, FLAC):
        return [Part(0, size)]
    with mmap(stream.fileno(), 0, access=ACCESS_READ) as data:
        try:
            if kind is MPEG_AUDIO:
                return mpeg.parts_of(data)
            if kind is OGG:
                return ogg.parts_of(data)
        except (mpeg.BrokenStreamError, ogg.BrokenPagesError) as error:
            raise ValueError(f"damaged or cut short: {error}") from None
        starts = [0]
        while (found := data.find(_FLAC_START, starts[-1] + len(_FLAC_START))) > 0:
            starts.append(found)
    return [Part(a, b) for a, b in zip(starts, [*starts[1:], size], strict=True)]


def _frames(start_s: float, stop_s: float | None, rate: int) -> tuple[int, int | None]:
    return round(start_s * rate), None if stop_s is None else round(stop_s * rate)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Puts a file's path in front of what is wrong with it."""
    try:
        yield
    except OSError as error:
        raise AudioFileError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise AudioFileError(f"{path}: {error}") from None
