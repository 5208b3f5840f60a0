"""Keeps measurements, checkpoints and verifications in one SQL database."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, func, inspect, make_url, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from measurements.records import DeviceTiming, Measurement, UtteranceResult
from measurements.store.keys import KeyTable
from measurements.store.sweeps import SweepTables
from measurements.store.tables import (
    DeviceTimingRow,
    MeasurementRow,
    UtteranceRow,
    VerificationRow,
)

SCHEMA_REVISION = "0004"
_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_S = 30


class StoreError(RuntimeError):
    """The store can't be used; the message says what to do."""


class Store(SweepTables, KeyTable):
    """Measurements in SQLite or PostgreSQL.

    Rows of measurements are append-only and keyed by content: storing the same
    run twice keeps one row.

    Args:
        url: SQLAlchemy URL, for example ``sqlite:////data/speechplan.db``.

    Raises:
        StoreError: The URL is not one, or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self._engine = _engine(url)
        except (SQLAlchemyError, OSError, ImportError) as error:
            raise StoreError(f"{url}: {_first_line(error)}") from error

    @classmethod
    def open(cls, url: str) -> Store:
        """Opens a store, bringing its tables up to date.

        Raises:
            StoreError: The database can't be reached or belongs to a newer version.
        """
        store = cls(url)
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
            found = self._schema_revision()
            if found == SCHEMA_REVISION:
                return
            if found is not None and found > SCHEMA_REVISION:
                raise StoreError(f"{self.url} was written by a newer speechplan (schema {found})")
            self._migrate()
        except (SQLAlchemyError, OSError) as error:
            raise StoreError(f"{self.url}: {_first_line(error)}") from error

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
        return self._insert_new(MeasurementRow, rows)

    def measurement(self, key: str) -> Measurement | None:
        """The measurement with a key, if there is one."""
        with Session(self._engine) as session:
            found = session.scalar(select(MeasurementRow.document).where(MeasurementRow.key == key))
        return None if found is None else Measurement.model_validate(found)

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
        with Session(self._engine) as session:
            measured = session.scalar(select(func.max(MeasurementRow.id))) or 0
            return measured + (session.scalar(select(func.count(DeviceTimingRow.key))) or 0)

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
        return self._insert_new(DeviceTimingRow, [row]) == 1

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

    def ping(self) -> None:
        """Asks the database for an answer.

        Raises:
            StoreError: There is none, or the tables are not there.
        """
        try:
            self.revision()
        except SQLAlchemyError as error:
            raise StoreError(f"{self.url}: {_first_line(error)}") from error

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


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True)
    database = make_url(url).database
    if database and database != ":memory:":
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": _BUSY_S})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        # Readers and the one writer do not wait for each other.
        cursor.execute("pragma journal_mode=wal")
        cursor.execute("pragma synchronous=normal")
        cursor.close()

    return engine


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]
