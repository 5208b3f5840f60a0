"""Settings, read from the environment (``SPEECHPLAN_*``)."""

from __future__ import annotations

from pathlib import Path

import platformdirs
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where things are kept and how the service listens.

    Attributes:
        database_url: SQLAlchemy URL of the store.
        jobs_url: URL of the job engine's own database; beside the store when
            left out (the same database on PostgreSQL).
        data_roots: Folders whose data sets may be named over HTTP.
        host: Address that the service listens on.
        port: Port that it listens on.
        api_key: Key that requests must carry; needed beyond loopback.
        max_body_bytes: Largest request body.
        timing_budget_s: Longest time that repeats of a configuration's timing take.
    """

    model_config = SettingsConfigDict(env_prefix="SPEECHPLAN_", extra="ignore")

    database_url: str = Field(
        default_factory=lambda: (
            f"sqlite:///{platformdirs.user_data_path('speechplan')}/speechplan.db"
        )
    )
    jobs_url: str | None = None
    data_roots: tuple[Path, ...] = ()
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    api_key: str | None = Field(default=None, min_length=16)
    max_body_bytes: int = Field(default=1_000_000, ge=1_000)
    timing_budget_s: float = Field(default=30.0, gt=0)

    @property
    def resolved_jobs_url(self) -> str:
        """URL of the job engine's database."""
        if self.jobs_url is not None:
            return self.jobs_url
        if self.database_url.startswith("sqlite"):
            return self.database_url.removesuffix(".db") + "-jobs.db"
        return self.database_url.replace("postgresql+psycopg://", "postgresql://")
