"""Sweeps in the store: what is to be run, what became of it, who is at work on it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sqlalchemy import Engine, delete, select, tuple_, update
from sqlalchemy.orm import Session

from measurements.store.tables import (
    Base,
    ClaimRow,
    RevisionRow,
    SweepRow,
    SweepRunRow,
    VerificationRow,
    now,
)

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.dialects import postgresql, sqlite

_Dated = TypeVar("_Dated", SweepRow, VerificationRow)

EVIDENCE = "evidence"
"""Name of the revision that measurements and device timings make."""


class Claim(NamedTuple):
    """Who is at work on a run.

    Attributes:
        owner: Which process, or which it was.
        beat_s: Its last heartbeat, in seconds since the epoch.
        barren: Owners in a row, this one included, that have left no new result.
    """

    owner: str
    beat_s: float
    barren: int


class SweepTables:
    """The part of a store that sweeps are kept in."""

    _engine: Engine

    def put_sweep(
        self, identifier: str, *, status: str, document: dict[str, Any], error: str | None = None
    ) -> None:
        """Stores a sweep, or what has become of it, and why it failed if it did."""
        row = {"id": identifier, "status": status, "document": document, "error": error}
        self._put(SweepRow, row)

    def sweep(self, identifier: str) -> SweepRow | None:
        """The sweep with an id, if there is one."""
        with Session(self._engine, expire_on_commit=False) as session:
            return session.get(SweepRow, identifier)

    def sweeps(self) -> Sequence[SweepRow]:
        """Sweeps, oldest first."""
        query = select(SweepRow).order_by(SweepRow.created_at, SweepRow.id)
        with Session(self._engine, expire_on_commit=False) as session:
            return session.scalars(query).all()

    def recent_sweeps(self, *, before: str | None = None, limit: int = 20) -> Sequence[SweepRow]:
        """Sweeps, newest first.

        Args:
            before: Only those older than the one with this id.
            limit: At most so many.
        """
        return self._recent(SweepRow, before, limit)

    def add_sweep_runs(self, sweep: str, runs: Sequence[tuple[str, dict[str, Any]]]) -> int:
        """Stores runs of a sweep as waiting, behind those it has; known ones stay as they are.

        Returns:
            How many are new.
        """
        known = self.sweep_runs(sweep)
        first = max((row.position for row in known), default=-1) + 1
        rows = [
            {
                "sweep": sweep,
                "run": run,
                "position": first + place,
                "status": "waiting",
                "document": document,
            }
            for place, (run, document) in enumerate(runs)
        ]
        return self._insert_new(SweepRunRow, rows)

    def sweep_runs(self, sweep: str) -> Sequence[SweepRunRow]:
        """Runs of a sweep, in their order."""
        query = select(SweepRunRow).where(SweepRunRow.sweep == sweep)
        with Session(self._engine, expire_on_commit=False) as session:
            return session.scalars(query.order_by(SweepRunRow.position)).all()

    def put_sweep_run(
        self, sweep: str, run: str, *, status: str, tries: int, document: dict[str, Any]
    ) -> None:
        """Stores what has become of a run."""
        values = {"status": status, "tries": tries, "document": document}
        with Session(self._engine) as session, session.begin():
            session.execute(
                update(SweepRunRow)
                .where(SweepRunRow.sweep == sweep, SweepRunRow.run == run)
                .values(values)
            )

    def claim(self, run: str, owner: str, now_s: float) -> bool:
        """Takes a run that nobody has; of several processes one succeeds."""
        row = {"run": run, "owner": owner, "beat_s": now_s, "barren": 1}
        return self._insert_new(ClaimRow, [row]) == 1

    def claims(self) -> dict[str, Claim]:
        """Claims by run."""
        with Session(self._engine) as session:
            rows = session.scalars(select(ClaimRow))
            return {row.run: Claim(row.owner, row.beat_s, row.barren) for row in rows}

    def take_over(self, run: str, claim: Claim, owner: str, now_s: float) -> bool:
        """Takes a dead owner's claim, unless somebody has done so or its heart has beaten."""
        values = {"owner": owner, "beat_s": now_s, "barren": ClaimRow.barren + 1}
        return self._change_claim(run, claim.owner, values, beat_s=claim.beat_s)

    def beat(self, run: str, owner: str, now_s: float) -> bool:
        """Renews a claim; whether it is still the owner's."""
        return self._change_claim(run, owner, {"beat_s": now_s})

    def bear(self, run: str, owner: str) -> bool:
        """Notes that a claim's owner has left a new result; whether it is still the owner's."""
        return self._change_claim(run, owner, {"barren": 0})

    def release(self, run: str, owner: str) -> bool:
        """Gives a claim up; whether it was there."""
        statement = delete(ClaimRow).where(ClaimRow.run == run, ClaimRow.owner == owner)
        with self._engine.begin() as connection:
            return connection.execute(statement).rowcount == 1

    def _change_claim(
        self, run: str, owner: str, values: dict[str, Any], *, beat_s: float | None = None
    ) -> bool:
        statement = update(ClaimRow).where(ClaimRow.run == run, ClaimRow.owner == owner)
        if beat_s is not None:
            statement = statement.where(ClaimRow.beat_s == beat_s)
        with self._engine.begin() as connection:
            return connection.execute(statement.values(values)).rowcount == 1

    def _put(
        self,
        table: type[SweepRow | VerificationRow],
        row: dict[str, Any],
        *,
        unless: str | None = None,
    ) -> None:
        """Inserts a row or, where its id is there already, changes it.

        Args:
            table: Where.
            row: What.
            unless: Status of rows that are not changed any more.
        """
        changed = {name: value for name, value in row.items() if name != "id"}
        statement = self._insert(table).values(row)
        statement = statement.on_conflict_do_update(
            index_elements=["id"],
            set_={**changed, "updated_at": now()},
            where=None if unless is None else table.status != unless,
        )
        with self._engine.begin() as connection:
            connection.execute(statement)

    def _recent(
        self, table: type[_Dated], before: str | None, limit: int, *where: ColumnElement[bool]
    ) -> Sequence[_Dated]:
        query = select(table).where(*where)
        newest_first = query.order_by(table.created_at.desc(), table.id.desc()).limit(limit)
        with Session(self._engine, expire_on_commit=False) as session:
            if before is not None:
                last = session.get(table, before)
                if last is None:
                    return []
                place = tuple_(table.created_at, table.id)
                newest_first = newest_first.where(place < (last.created_at, last.id))
            return session.scalars(newest_first).all()

    def _insert_new(
        self, table: type[Base], rows: list[dict[str, Any]], *, evidence: bool = False
    ) -> int:
        """Inserts the rows whose keys are not there yet, all of them or none.

        Args:
            table: Where.
            rows: What.
            evidence: Whether the revision grows with them.

        Returns:
            How many were new.
        """
        if not rows:
            return 0
        statement = self._insert(table).on_conflict_do_nothing()
        statement = statement.execution_options(preserve_rowcount=True)
        counter = update(RevisionRow).where(RevisionRow.name == EVIDENCE)
        with self._engine.begin() as connection:
            if evidence:
                # Takes the row's lock, so that ids are in the order of the transactions' ends
                # and nobody who reads behind a cursor misses a row that comes late.
                connection.execute(counter.values(number=RevisionRow.number))
            new = sum(connection.execute(statement, row).rowcount for row in rows)
            if evidence and new:
                connection.execute(counter.values(number=RevisionRow.number + new))
            return new

    def _insert(self, table: type[Base]) -> postgresql.Insert | sqlite.Insert:
        # Only the one that is used: the other takes a fiftieth of a start.
        dialect = import_module(f"sqlalchemy.dialects.{self._engine.dialect.name}")
        statement: postgresql.Insert | sqlite.Insert = dialect.insert(table.__table__)
        return statement
