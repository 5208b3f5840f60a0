"""Audio files: what is in them, read whole or refused."""

from measurements.audio.errors import AudioFileError
from measurements.audio.files import MAX_SAMPLES, duration_s, read
from measurements.audio.formats import AUDIO_ENDINGS, START_BYTES, looks_like_audio

__all__ = [
    "AUDIO_ENDINGS",
    "MAX_SAMPLES",
    "START_BYTES",
    "AudioFileError",
    "duration_s",
    "looks_like_audio",
    "read",
]
