"""Formats of audio files, told by how a file begins, never by its name."""

from __future__ import annotations

from dataclasses import dataclass

from models_registry.files import POINTER_TEXT, is_pointer

START_BYTES = 400
"""Bytes of a file that tell its format."""


@dataclass(frozen=True)
class Format:
    """A format that files are read in.

    Attributes:
        name: As users know it.
        demuxer: FFmpeg's name of it, where PyAV reads it; libsndfile does where there is none.
    """

    name: str
    demuxer: str | None = None


MPEG_AUDIO = Format("MPEG audio (MP3)")
OGG = Format("Ogg")
FLAC = Format("FLAC")
AU = Format("AU")

# What a file begins with: a place, the bytes there.
_MAGIC: tuple[tuple[Format, tuple[tuple[int, bytes], ...]], ...] = (
    (FLAC, ((0, b"fLaC"),)),
    (OGG, ((0, b"OggS"),)),
    (Format("WAV"), ((0, b"RIFF"), (8, b"WAVE"))),
    (Format("WAV"), ((0, b"RIFX"), (8, b"WAVE"))),
    (Format("RF64"), ((0, b"RF64"), (8, b"WAVE"))),
    (Format("Wave64"), ((0, b"riff\x2e\x91\xcf\x11"),)),
    (Format("AIFF"), ((0, b"FORM"), (8, b"AIFF"))),
    (Format("AIFF"), ((0, b"FORM"), (8, b"AIFC"))),
    (AU, ((0, b".snd"),)),
    (AU, ((0, b"dns."),)),
    (Format("CAF"), ((0, b"caff"),)),
    (Format("NIST Sphere"), ((0, b"NIST_1A"),)),
    (Format("VOC"), ((0, b"Creative Voice File\x1a"),)),
    (Format("MPEG-4 (m4a, mp4, mov, 3gp)", "mov"), ((4, b"ftyp"),)),
    (Format("QuickTime (mov)", "mov"), ((4, b"moov"),)),
    (Format("QuickTime (mov)", "mov"), ((4, b"wide"),)),
    (Format("Matroska (mkv, webm)", "matroska"), ((0, b"\x1a\x45\xdf\xa3"),)),
    (Format("ASF (wma, wmv)", "asf"), ((0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),)),
    (Format("AMR", "amr"), ((0, b"#!AMR"),)),
    (Format("AVI", "avi"), ((0, b"RIFF"), (8, b"AVI "))),
    (Format("FLV", "flv"), ((0, b"FLV\x01"),)),
    (Format("MPEG program stream (mpg, vob)", "mpeg"), ((0, b"\0\0\1\xba"),)),
    (Format("MPEG transport stream (ts)", "mpegts"), ((0, b"G"), (188, b"G"), (376, b"G"))),
    (Format("MPEG transport stream (m2ts)", "mpegts"), ((4, b"G"), (196, b"G"), (388, b"G"))),
)

_ADTS = Format("AAC", "aac")
_AC3 = Format("AC-3", "ac3")

_ENDINGS = """
    3gp 8svx aac ac3 aif aifc aiff al alaw amr ape au avi caf dss flac flv g722 g729 gsm m2ts m4a
    m4b mka mkv mov mp2 mp3 mp4 mpeg mpga mpg mts oga ogg ogv opus pcm qcp ra raw rf64 rm sln snd
    sph spx tta ul ulaw voc vox w64 wav wave weba webm wma wmv wv
"""

AUDIO_ENDINGS = frozenset(f".{ending}" for ending in _ENDINGS.split())
"""Endings of files that hold audio by their name, whether they are read or not."""


def format_of(start: bytes) -> Format | None:
    """The format of a file that begins so, behind any ID3 tag; none if it is not known.

    Args:
        start: Its first :data:`START_BYTES`.
    """
    for known, marks in _MAGIC:
        if all(start[place : place + len(mark)] == mark for place, mark in marks):
            return known
    if len(start) < 4 or start[0] != 0xFF:
        return _AC3 if start[:2] == b"\x0b\x77" else None
    # Eleven bits of synchronisation; two of the layer, which are 0 in AAC alone.
    if start[1] & 0xF6 == 0xF0:
        return _ADTS
    return MPEG_AUDIO if start[1] & 0xE0 == 0xE0 and start[1] & 0x06 else None


def id3_bytes(start: bytes) -> int:
    """Bytes of the ID3 tag that a file begins with; 0 if with none."""
    if start[:3] != b"ID3" or len(start) < 10:
        return 0
    # Its size has seven bits a byte and leaves this header out, and a footer.
    size = sum(byte << 7 * place for place, byte in enumerate(start[9:5:-1]))
    return 10 + size + (10 if start[5] & 0x10 else 0)


def looks_like_audio(start: bytes) -> bool:
    """Whether a file that begins so is to be heard, by its content alone."""
    if start[:3] == b"ID3":
        return True
    found = format_of(start)
    # Two bytes are a mark that other files have by chance.
    return found is not None and found not in (MPEG_AUDIO, _ADTS, _AC3)


def no_format(start: bytes) -> str:
    """Why a file that begins so has no format that is read."""
    if is_pointer(start):
        return POINTER_TEXT
    if start.startswith(b"\0\5\x16\7"):
        return "what macOS keeps beside a file (AppleDouble), not the audio itself"
    return (
        "no audio format that is known; samples without a header say neither their rate nor"
        " their type: write them as WAV"
    )
