"""Sweeps in the store: what is to be run, what became of it, who is at work on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from measurements.store.tables import (
    Base,
    ClaimRow,
    SweepRow,
    SweepRunRow,
    VerificationRow,
    now,
)


class SweepTables:
    """The part of a store that sweeps are kept in."""

    _engine: Engine

    def put_sweep(self, identifier: str, *, status: str, document: dict[str, Any]) -> None:
        """Stores a sweep, or what has become of it."""
        self._put(SweepRow, {"id": identifier, "status": status, "document": document})

    def sweep(self, identifier: str) -> SweepRow | None:
        """The sweep with an id, if there is one."""
        with Session(self._engine, expire_on_commit=False) as session:
            return session.get(SweepRow, identifier)

    def sweeps(self) -> Sequence[SweepRow]:
        """Sweeps, oldest first."""
        query = select(SweepRow).order_by(SweepRow.created_at, SweepRow.id)
        with Session(self._engine, expire_on_commit=False) as session:
            return session.scalars(query).all()

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
        return self._insert_new(ClaimRow, [{"run": run, "owner": owner, "beat_s": now_s}]) == 1

    def claims(self) -> dict[str, tuple[str, float]]:
        """Owner and last heartbeat, in seconds since the epoch, by run."""
        with Session(self._engine) as session:
            return {row.run: (row.owner, row.beat_s) for row in session.scalars(select(ClaimRow))}

    def beat(self, run: str, owner: str, now_s: float) -> bool:
        """Renews a claim; whether it is still the owner's."""
        statement = update(ClaimRow).where(ClaimRow.run == run, ClaimRow.owner == owner)
        with self._engine.begin() as connection:
            return connection.execute(statement.values(beat_s=now_s)).rowcount == 1

    def release(self, run: str, owner: str, *, beat_s: float | None = None) -> bool:
        """Gives a claim up, or a dead owner's away.

        Args:
            run: Which run.
            owner: Whose claim.
            beat_s: Only if its heart has not beaten since.

        Returns:
            Whether it was there.
        """
        statement = delete(ClaimRow).where(ClaimRow.run == run, ClaimRow.owner == owner)
        if beat_s is not None:
            statement = statement.where(ClaimRow.beat_s == beat_s)
        with self._engine.begin() as connection:
            return connection.execute(statement).rowcount == 1

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

    def _insert_new(self, table: type[Base], rows: list[dict[str, Any]]) -> int:
        if not rows:
            return 0
        statement = self._insert(table).on_conflict_do_nothing()
        with self._engine.begin() as connection:
            return sum(connection.execute(statement, row).rowcount for row in rows)

    def _insert(self, table: type[Base]) -> postgresql.Insert | sqlite.Insert:
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        return dialect.insert(table.__table__)
