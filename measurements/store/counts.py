"""How much of what is in a store, counted by the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from measurements.store.tables import JudgementRow, MeasurementRow, SweepRunRow, VerificationRow


@dataclass(frozen=True)
class Counts:
    """Rows of a store.

    Attributes:
        measurements: By task and source.
        verifications: By status.
        sweep_runs: By status.
    """

    measurements: dict[tuple[str, str], int]
    verifications: dict[str, int]
    sweep_runs: dict[str, int]


class CountTables:
    """The part of a store that counts."""

    _engine: Engine

    def counts(self) -> Counts:
        """Rows by what they are."""
        source = MeasurementRow.document["source"].as_string()
        measured = select(MeasurementRow.task, source, func.count())
        with Session(self._engine) as session:
            return Counts(
                measurements={
                    (task, kind): n
                    for task, kind, n in session.execute(
                        measured.group_by(MeasurementRow.task, source)
                    )
                },
                verifications=_by_status(session, VerificationRow),
                sweep_runs=_by_status(session, SweepRunRow),
            )

    def record_state(self) -> tuple[int, datetime | None, int]:
        """Changes whenever a verification does, or a prediction is judged."""
        query = select(func.count(), func.max(VerificationRow.updated_at))
        judged = select(func.count()).select_from(JudgementRow)
        with Session(self._engine) as session:
            number, newest = session.execute(query.select_from(VerificationRow)).one()
            return number, newest, session.scalar(judged) or 0


def _by_status(
    session: Session, table: type[VerificationRow] | type[SweepRunRow]
) -> dict[str, int]:
    query = select(table.status, func.count()).group_by(table.status)
    return dict(session.execute(query).all())
