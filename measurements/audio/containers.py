"""Audio that FFmpeg reads, through PyAV: containers of video, and codecs of phones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from measurements.audio.formats import Format

if TYPE_CHECKING:
    from measurements.audio.files import Block

EXTRA = "speechplan[containers]"

_STATED = ("asf", "avi", "flv", "matroska", "mov")
"""Formats whose header states how long they are; of others FFmpeg guesses it."""

_TICKS_PER_SECOND = 1_000_000

_SLIP_S = 0.25
"""Seconds that a header may state beyond the last of all packets."""


class Source:
    """An open file of a format that FFmpeg reads.

    Args:
        stream: The file.
        kind: Its format; no other is tried.
    """

    def __init__(self, stream: BinaryIO, kind: Format) -> None:
        self._stream = stream
        self._kind = kind

    def stated_s(self) -> None:
        """None: headers say how long a stream is, with what is not to be heard."""

    def blocks(
        self, start_s: float = 0.0, stop_s: float | None = None
    ) -> Iterator[tuple[int, Block]]:
        """Rates and samples, to the end of the only audio stream.

        Raises:
            ValueError: PyAV is not installed, or the file is damaged, cut short, or has no
                or several audio streams.
        """
        try:
            import av
        except ModuleNotFoundError:
            raise ValueError(f"{self._kind.name}, which pip install '{EXTRA}' reads") from None
        try:
            self._stream.seek(0)
            with av.open(self._stream, format=self._kind.demuxer) as container:
                yield from self._decoded(container, start_s, stop_s)
        except av.error.FFmpegError as error:
            raise ValueError(f"damaged or cut short: {error.strerror}") from None

    def _decoded(
        self, container: Any, start_s: float, stop_s: float | None
    ) -> Iterator[tuple[int, Block]]:
        from av import AudioResampler

        streams = container.streams.audio
        if len(streams) != 1:
            raise ValueError(f"holds {len(streams)} audio streams: one is read")
        resampler = AudioResampler(format="fltp")
        rate, at, shape, end_s = 0, 0, None, 0.0
        for packet in container.demux():
            if packet.pts is not None:
                end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream is not streams[0]:
                continue
            for frame in packet.decode():
                if shape not in (None, (frame.sample_rate, frame.layout.name)):
                    raise ValueError("changes its rate or channels: convert it to one format")
                rate, shape = frame.sample_rate, (frame.sample_rate, frame.layout.name)
                start = round(start_s * rate)
                stop = None if stop_s is None else round(stop_s * rate)
                for plain in resampler.resample(frame):
                    block: Block = np.ascontiguousarray(plain.to_ndarray().T, dtype=np.float32)
                    last = None if stop is None else max(0, stop - at)
                    yield rate, block[max(0, start - at) : last]
                    at += len(block)
                if stop is not None and at >= stop:
                    return
        stated = container.duration if self._kind.demuxer in _STATED else None
        stated_s = ((stated or 0) + (container.start_time or 0)) / _TICKS_PER_SECOND
        if end_s < stated_s - _SLIP_S:
            raise ValueError(f"cut short: {end_s:.1f} s of the {stated_s:.1f} s that it states")
