"""The error of this package."""


class AudioFileError(ValueError):
    """A file whose sound can't be read whole; the message begins with its path."""
