"""The command line: ``speechplan``."""

from __future__ import annotations


def main() -> None:
    """Entry of the console script.

    Processes that ``serve`` spawns import the script, too, and need none of its commands.
    """
    from api.cli.main import app

    app()
