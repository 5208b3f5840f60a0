"""A bar for commands that go through many files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

_Item = TypeVar("_Item")


def watched(items: Sequence[_Item], title: str, *, quiet: bool) -> Iterator[_Item]:
    """Goes through items, with a bar on standard error where there are several of them.

    Args:
        items: What is gone through.
        title: What the bar says is done.
        quiet: Whether there is no bar; nor is there one where nobody looks at it.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed
    from rich.progress import TimeRemainingColumn as Remaining

    errors = Console(stderr=True, highlight=False)
    if quiet or len(items) < 2 or not errors.is_terminal:
        yield from items
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns,
        *(Elapsed(), Remaining()),
        console=errors,
        transient=True,
        # What is printed meanwhile goes above the bar; into a file or a pipe it goes as ever.
        redirect_stdout=sys.stdout.isatty(),
    ) as bar:
        yield from bar.track(items, description=title)
