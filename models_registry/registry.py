"""One registry for every kind of named thing: models, devices, data sets.

A name that is not known is answered with the nearest names that are. Other
distributions add entries through an entry-point group.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@lru_cache(maxsize=1)
def _entry_points() -> Any:
    """Every installed distribution's; reading them all costs the same as one group."""
    return entry_points()


class UnknownNameError(LookupError):
    """A name that no entry answers to.

    Attributes:
        kind: What was looked for, for example ``"model"``.
        name: The name as it was asked for.
        suggestions: Known names close to it, best first.
        choices: Every known name.
        made_by: The command that makes the first one, where there may be none.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        choices: list[str],
        aliases: Mapping[str, str] | None = None,
        made_by: str | None = None,
    ) -> None:
        self.kind = kind
        self.name = name
        self.choices = choices
        self.made_by = made_by
        folded = {choice.casefold(): choice for choice in choices} | dict(aliases or {})
        close = difflib.get_close_matches(name.casefold(), list(folded), n=6, cutoff=0.5)
        self.suggestions = list(dict.fromkeys(folded[match] for match in close))[:3]
        super().__init__(str(self))

    def __str__(self) -> str:
        if self.suggestions:
            hint = f"did you mean {', '.join(self.suggestions)}?"
        elif self.choices:
            hint = f"choose one of {', '.join(self.choices)}"
        else:
            hint = "there is none yet" + (f"; '{self.made_by}' makes one" if self.made_by else "")
        return f"unknown {self.kind} {self.name!r}: {hint}"


class Registry(Generic[T]):
    """Named entries of one kind, with aliases and entry-point plug-ins.

    Args:
        kind: What an entry is, in the singular; used in messages.
        entry_point_group: Group whose entry points name callables that are
            given this registry and add to it. They are read on the first
            look-up that the built-in entries can't answer.
    """

    def __init__(self, kind: str, entry_point_group: str | None = None) -> None:
        self.kind = kind
        self._group = entry_point_group
        self._entries: dict[str, T] = {}
        self._aliases: dict[str, str] = {}
        self._plugins_loaded = False

    def add(self, name: str, entry: T, *, aliases: tuple[str, ...] = ()) -> T:
        """Adds an entry.

        Raises:
            ValueError: The name or an alias is taken.
        """
        for label in (name, *aliases):
            if label.casefold() in self._aliases:
                raise ValueError(f"{self.kind} {label!r} is registered already")
        self._entries[name] = entry
        for label in (name, *aliases):
            self._aliases[label.casefold()] = name
        return entry

    def canonical(self, name: str) -> str:
        """The entry's own name for ``name`` or one of its aliases, in any case.

        Raises:
            UnknownNameError: No entry answers to it.
        """
        folded = name.strip().casefold()
        if folded not in self._aliases:
            self._load_plugins()
        try:
            return self._aliases[folded]
        except KeyError:
            raise UnknownNameError(self.kind, name, self.names(), self._aliases) from None

    def get(self, name: str) -> T:
        """The entry called ``name``.

        Raises:
            UnknownNameError: No entry answers to it.
        """
        return self._entries[self.canonical(name)]

    def names(self) -> list[str]:
        """Every entry's name, in the order they were added."""
        self._load_plugins()
        return list(self._entries)

    def __contains__(self, name: str) -> bool:
        try:
            self.canonical(name)
        except UnknownNameError:
            return False
        return True

    def __iter__(self) -> Iterator[T]:
        self._load_plugins()
        return iter(list(self._entries.values()))

    def __len__(self) -> int:
        self._load_plugins()
        return len(self._entries)

    def _load_plugins(self) -> None:
        if self._plugins_loaded:
            return
        # Set first: a plug-in that looks something up must not load plug-ins again.
        self._plugins_loaded = True
        if self._group is None:
            return
        for entry_point in _entry_points().select(group=self._group):
            entry_point.load()(self)
