"""The command line: ``speechplan``."""

from api.cli.main import main

__all__ = ["main"]
