"""libsndfile's files, read from front to end."""

from __future__ import annotations

from soundfile import LibsndfileError, SoundFile

__all__ = ["ForwardFile", "LibsndfileError"]


class ForwardFile(SoundFile):  # type: ignore[misc]
    """A file that is read from front to end.

    soundfile would seek to where it is after each read, which fails at the end of a FLAC file
    of unknown length, and read no more frames than a header states.
    """

    def seekable(self) -> bool:
        """False: that asks for none of this."""
        return False
