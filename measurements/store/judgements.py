"""Judgements in the store: what came of predictions that were saved."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from measurements.store.tables import Base, JudgementRow, MeasurementRow

if TYPE_CHECKING:
    from measurements.judgements import Judgement


class JudgementTable:
    """The part of a store that judgements are kept in; append-only, one row a key."""

    _engine: Engine

    def _insert_new(
        self, table: type[Base], rows: list[dict[str, Any]], *, evidence: bool = False
    ) -> int:
        raise NotImplementedError

    def add_judgements(self, judgements: Iterable[Judgement]) -> int:
        """Stores judgements; of a prediction that has one already that one stays.

        Returns:
            How many were new.
        """
        rows = [
            {"key": one.key, "study": one.study, "document": one.model_dump(mode="json")}
            for one in judgements
        ]
        return self._insert_new(JudgementRow, rows)

    def judgements(self) -> list[Judgement]:
        """Every judgement, oldest first."""
        # Only here: it imports the planner, which most that is asked of a store can do without.
        from measurements.judgements import Judgement

        query = select(JudgementRow.document).order_by(JudgementRow.created_at, JudgementRow.key)
        with Session(self._engine) as session:
            return [Judgement.model_validate(document) for document in session.scalars(query)]

    def stored_at(self, study: str) -> dict[str, datetime]:
        """When each measurement of a study was stored, by its key."""
        query = select(MeasurementRow.key, MeasurementRow.created_at)
        with Session(self._engine) as session:
            rows = session.execute(query.where(MeasurementRow.study == study)).all()
        # SQLite keeps no time zone: all of them are UTC.
        return {key: at if at.tzinfo else at.replace(tzinfo=UTC) for key, at in rows}
