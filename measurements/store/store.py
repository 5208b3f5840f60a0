"""Keeps measurements, checkpoints and verifications in one SQL database."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

from sqlalchemy import func, inspect, make_url, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from measurements.records import DeviceTiming, Measurement, UtteranceResult
from measurements.settings import without_password
from measurements.store.counts import CountTables
from measurements.store.engine import PATIENT_S, create_file, make_engine, migrating
from measurements.store.judgements import JudgementTable
from measurements.store.keys import KeyTable
from measurements.store.sweeps import EVIDENCE, SweepTables
from measurements.store.tables import (
    DeviceTimingRow,
    MeasurementRow,
    UtteranceRow,
    VerificationRow,
)
from models_registry.configuration import Task

SCHEMA_REVISION = "0008"
_REVISION = f"select number from revisions where name = '{EVIDENCE}'"
_MIGRATIONS = Path(__file__).parent / "migrations"

_AT_ONCE = 500
"""Keys in one statement: a database has room for so many parameters only."""


_SETS_OF_A_STUDY = 4
"""Sets of utterances that tell what speech a study is of; most hold one another."""


class StoreError(RuntimeError):
    """The store can't be used; the message says what to do."""


class Store(SweepTables, KeyTable, CountTables, JudgementTable):
    """Measurements in SQLite or PostgreSQL.

    Rows of measurements are append-only and keyed by content: storing the same
    run twice keeps one row.

    Args:
        url: SQLAlchemy URL, for example ``sqlite:////data/speechplan.db``.
        busy_s: How long to wait for a database that somebody else has locked.

    Raises:
        StoreError: The URL is not one, or its driver is not installed.
    """

    def __init__(self, url: str, *, busy_s: float = PATIENT_S) -> None:
        self.url = url
        try:
            self._engine = make_engine(url, busy_s)
        except (SQLAlchemyError, OSError, ImportError) as error:
            raise StoreError(f"{without_password(url)}: {_first_line(error)}") from error

    @classmethod
    def open(cls, url: str, *, busy_s: float = PATIENT_S) -> Store:
        """Opens a store, bringing its tables up to date.

        Args:
            url: Where it is.
            busy_s: How long to wait for a database that somebody else has locked.

        Raises:
            StoreError: The database can't be reached or belongs to a newer version.
        """
        store = cls(url, busy_s=busy_s)
        store.upgrade()
        return store

    @classmethod
    def exists(cls, url: str) -> bool:
        """Whether there is a database to read; a file that is not there yet is none."""
        database = make_url(url).database
        return not url.startswith("sqlite") or bool(database and Path(database).exists())

    def upgrade(self) -> None:
        """Creates or migrates the tables; does nothing when they are up to date.

        Raises:
            StoreError: The database can't be reached or belongs to a newer version.
        """
        try:
            create_file(self.url)
            found = self._schema_revision()
            if found == SCHEMA_REVISION:
                return
            if found is not None and found > SCHEMA_REVISION:
                raise StoreError(
                    f"{self.shown_url} was written by a newer speechplan (schema {found})"
                )
            with migrating(self.url):
                # Another process may have done it meanwhile.
                if self._schema_revision() != SCHEMA_REVISION:
                    self._migrate()
        except (SQLAlchemyError, OSError) as error:
            raise StoreError(f"{self.shown_url}: {_first_line(error)}") from error

    def close(self) -> None:
        """Gives back all connections."""
        self._engine.dispose()

    def add_measurement(self, measurement: Measurement) -> bool:
        """Stores a finished measurement.

        Returns:
            Whether it was new.
        """
        return self.add_measurements([measurement]) == 1

    def add_measurements(self, measurements: Iterable[Measurement]) -> int:
        """Stores measurements, all of them or none.

        Returns:
            How many were new.
        """
        rows = [
            {
                "key": measurement.key,
                "task": measurement.configuration.task,
                "study": measurement.study,
                "model": measurement.configuration.model,
                "document": measurement.model_dump(mode="json"),
            }
            for measurement in measurements
        ]
        return self._insert_new(MeasurementRow, rows, evidence=True)

    def measurement(self, key: str) -> Measurement | None:
        """The measurement with a key, if there is one."""
        with Session(self._engine) as session:
            found = session.scalar(select(MeasurementRow.document).where(MeasurementRow.key == key))
        return None if found is None else Measurement.model_validate(found)

    def measurements_of(self, keys: Iterable[str]) -> dict[str, Measurement]:
        """Those that there are of some keys."""
        wanted, found = sorted(set(keys)), {}
        with Session(self._engine) as session:
            for start in range(0, len(wanted), _AT_ONCE):
                part = MeasurementRow.key.in_(wanted[start : start + _AT_ONCE])
                for document in session.scalars(select(MeasurementRow.document).where(part)):
                    measurement = Measurement.model_validate(document)
                    found[measurement.key] = measurement
        return found

    def study_tasks(self) -> dict[str, Task]:
        """The task of every study, by its first measurement."""
        first = select(func.min(MeasurementRow.id)).group_by(MeasurementRow.study)
        query = select(MeasurementRow.study, MeasurementRow.task).where(
            MeasurementRow.id.in_(first)
        )
        with Session(self._engine) as session:
            return {study: cast("Task", task) for study, task in session.execute(query)}

    def measurements(
        self,
        *,
        task: str | None = None,
        study: str | None = None,
        after: int = 0,
        limit: int | None = None,
    ) -> list[tuple[int, Measurement]]:
        """Measurements in the order they were stored, each with its cursor.

        Args:
            task: Only of this task.
            study: Only of this study.
            after: Only those behind this cursor.
            limit: At most so many.
        """
        query = select(MeasurementRow.id, MeasurementRow.document)
        query = query.where(MeasurementRow.id > after).order_by(MeasurementRow.id)
        if task is not None:
            query = query.where(MeasurementRow.task == task)
        if study is not None:
            query = query.where(MeasurementRow.study == study)
        if limit is not None:
            query = query.limit(limit)
        with Session(self._engine) as session:
            rows = session.execute(query).all()
        return [(cursor, Measurement.model_validate(document)) for cursor, document in rows]

    def revision(self) -> int:
        """A number that grows with every measurement and every device timing stored."""
        # Asked for with every question: the driver's own words take a sixth of the time.
        with self._engine.connect() as connection:
            return int(connection.exec_driver_sql(_REVISION).scalar_one())

    def add_utterances(self, key: str, results: Iterable[UtteranceResult]) -> int:
        """Stores results of a run that is under way; those already there stay.

        Returns:
            How many were new.
        """
        return self._insert_new(
            UtteranceRow,
            [
                {
                    "measurement_key": key,
                    "utterance": result.utterance,
                    "document": result.model_dump(mode="json"),
                }
                for result in results
            ],
        )

    def utterances(self, key: str) -> list[UtteranceResult]:
        """Results of a run's utterances so far, in order of their ids."""
        query = select(UtteranceRow.document).where(UtteranceRow.measurement_key == key)
        with Session(self._engine) as session:
            documents = session.scalars(query.order_by(UtteranceRow.utterance)).all()
        return [UtteranceResult.model_validate(document) for document in documents]

    def add_device_timing(self, timing: DeviceTiming) -> bool:
        """Stores what timing a configuration on a device gave.

        Returns:
            Whether it was new.
        """
        row = {
            "key": timing.key,
            "device": timing.device.id,
            "document": timing.model_dump(mode="json"),
        }
        return self._insert_new(DeviceTimingRow, [row], evidence=True) == 1

    def speech_of(self, study: str) -> list[tuple[str, list[UtteranceResult]]]:
        """Results of the utterances that a study was measured on, with the command of each run.

        One run for each set of utterances, the largest sets first, and not all of many.
        """
        dataset = MeasurementRow.document["dataset"]
        query = select(
            MeasurementRow.key,
            MeasurementRow.document["provenance"].as_string(),
            dataset["fingerprint"].as_string(),
            dataset["utterances"].as_integer(),
        ).where(MeasurementRow.study == study)
        with Session(self._engine) as session:
            rows = session.execute(query.order_by(MeasurementRow.id)).all()
        sets = {fingerprint: (count or 0, key, said) for key, said, fingerprint, count in rows}
        largest = sorted(sets.values(), reverse=True)
        # What was taken in from elsewhere has no results of utterances.
        read = ((said, self.utterances(key)) for _, key, said in largest)
        return list(islice(((said, found) for said, found in read if found), _SETS_OF_A_STUDY))

    def device_timings(self, device: str | None = None) -> list[DeviceTiming]:
        """Timings of a device, or of all, oldest first."""
        query = select(DeviceTimingRow.document)
        if device is not None:
            query = query.where(DeviceTimingRow.device == device)
        with Session(self._engine) as session:
            ordered = query.order_by(DeviceTimingRow.created_at, DeviceTimingRow.key)
            documents = session.scalars(ordered).all()
        return [DeviceTiming.model_validate(document) for document in documents]

    def put_verification(
        self,
        identifier: str,
        *,
        study: str,
        status: str,
        document: dict[str, Any],
        error: str | None = None,
    ) -> None:
        """Stores a verification, or what has become of it; a cancelled one stays as it is."""
        row = {"id": identifier, "study": study, "status": status, "document": document}
        self._put(VerificationRow, {**row, "error": error}, unless="cancelled")

    def verification(self, identifier: str) -> VerificationRow | None:
        """The verification with an id, if there is one."""
        with Session(self._engine, expire_on_commit=False) as session:
            return session.get(VerificationRow, identifier)

    def verification_like(self, beginning: str) -> str | None:
        """Id of a verification, the first whose id begins like that; none where there is none."""
        query = select(VerificationRow.id).where(VerificationRow.id.startswith(beginning))
        with Session(self._engine) as session:
            return session.scalars(query.order_by(VerificationRow.id).limit(1)).first()

    def verifications(
        self, *, study: str | None = None, status: str | None = None
    ) -> Sequence[VerificationRow]:
        """Verifications, oldest first."""
        query = select(VerificationRow).order_by(VerificationRow.created_at, VerificationRow.id)
        if study is not None:
            query = query.where(VerificationRow.study == study)
        if status is not None:
            query = query.where(VerificationRow.status == status)
        with Session(self._engine, expire_on_commit=False) as session:
            return session.scalars(query).all()

    def recent_verifications(
        self, *, study: str | None = None, before: str | None = None, limit: int = 20
    ) -> Sequence[VerificationRow]:
        """Verifications, newest first.

        Args:
            study: Only of this study.
            before: Only those older than the one with this id.
            limit: At most so many.
        """
        where = () if study is None else (VerificationRow.study == study,)
        return self._recent(VerificationRow, before, limit, *where)

    def ping(self) -> None:
        """Asks the database for an answer.

        Raises:
            StoreError: There is none, or the tables are not there.
        """
        try:
            self.revision()
        except SQLAlchemyError as error:
            raise StoreError(f"{self.shown_url}: {_first_line(error)}") from error

    def schema(self) -> str | None:
        """Revision of the tables; none where there are none.

        Raises:
            StoreError: The database does not answer.
        """
        try:
            return self._schema_revision()
        except SQLAlchemyError as error:
            raise StoreError(f"{self.shown_url}: {_first_line(error)}") from error

    def check_schema(self) -> None:
        """Makes sure that the tables are this version's.

        Raises:
            StoreError: They are not, or the database does not answer.
        """
        found = self.schema()
        if found != SCHEMA_REVISION:
            raise StoreError(
                f"{self.shown_url} has schema {found or 'none'} where this version needs"
                f" {SCHEMA_REVISION}: 'speechplan db upgrade'"
            )

    @property
    def shown_url(self) -> str:
        """The URL without its password."""
        return without_password(self.url)

    def _schema_revision(self) -> str | None:
        with self._engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            found = connection.execute(text("select version_num from alembic_version")).scalar()
            return None if found is None else str(found)

    def _migrate(self) -> None:
        # Imported here: it takes half a second that a read-only command need not spend.
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        with warnings.catch_warnings(), self._engine.begin() as connection:
            warnings.simplefilter("ignore")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]
