"""Tables of the store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Index, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Base of the tables."""

    type_annotation_map = {dict[str, Any]: JSON, datetime: DateTime(timezone=True)}  # noqa: RUF012


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class MeasurementRow(Base):
    """A finished measurement; append-only, one row a key."""

    __tablename__ = "measurements"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    task: Mapped[str] = mapped_column(String(8))
    study: Mapped[str] = mapped_column(String(200))
    model: Mapped[str] = mapped_column(String(200))
    document: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (Index("measurements_by_study", "study", "id"),)


class RevisionRow(Base):
    """How much was stored: one row, changed with what is stored, in one transaction."""

    __tablename__ = "revisions"

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    number: Mapped[int]


class UtteranceRow(Base):
    """One utterance's result; written batch by batch while a run goes on."""

    __tablename__ = "utterance_results"

    measurement_key: Mapped[str] = mapped_column(String(64), primary_key=True)
    utterance: Mapped[str] = mapped_column(String(500), primary_key=True)
    document: Mapped[dict[str, Any]]


class VerificationRow(Base):
    """A verification: what was asked and predicted, how far it is, the verdict."""

    __tablename__ = "verifications"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    study: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(16))
    document: Mapped[dict[str, Any]]
    error: Mapped[str | None] = mapped_column(Text, default=None)
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class JudgementRow(Base):
    """What a measurement has shown of a saved prediction; append-only, one row a key."""

    __tablename__ = "judgements"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    study: Mapped[str] = mapped_column(String(200))
    document: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)


class SweepRow(Base):
    """A sweep: what is to be measured."""

    __tablename__ = "sweeps"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    status: Mapped[str] = mapped_column(String(16))
    document: Mapped[dict[str, Any]]
    error: Mapped[str | None] = mapped_column(Text, default=None)
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class SweepRunRow(Base):
    """One run of a sweep: what is run, and what has become of it."""

    __tablename__ = "sweep_runs"

    sweep: Mapped[str] = mapped_column(String(64), primary_key=True)
    run: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int]
    status: Mapped[str] = mapped_column(String(16))
    tries: Mapped[int] = mapped_column(default=0)
    document: Mapped[dict[str, Any]]
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class ClaimRow(Base):
    """Who is at work on a run; void when its owner's heart has stopped."""

    __tablename__ = "claims"

    run: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(200))
    beat_s: Mapped[float]
    barren: Mapped[int] = mapped_column(server_default=text("0"))


class KeyRow(Base):
    """A key of the service, by the digest of its secret."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    scope: Mapped[str] = mapped_column(String(16))
    digest: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
    revoked_at: Mapped[datetime | None] = mapped_column(default=None)


class DeviceTimingRow(Base):
    """Timed runs of one configuration on one device, its weights random."""

    __tablename__ = "device_timings"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    device: Mapped[str] = mapped_column(String(200), index=True)
    document: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)
