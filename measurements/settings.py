"""Settings, read from the environment (``SPEECHPLAN_*``)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from models_registry.paths import cache_dir

_PREFIX = "SPEECHPLAN_"
_HIDDEN = "**********"

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "json", "console"]


def _rate(text: str) -> str:
    from limits import parse

    if text != "off":
        try:
            parse(text)
        except ValueError:
            raise ValueError(f"{text!r} is no rate such as '600/minute', nor 'off'") from None
    return text


Rate = Annotated[str, AfterValidator(_rate)]
"""So many in so long, for example ``600/minute``; ``off`` for no limit."""


class Settings(BaseSettings):
    """Where things are kept, how the service listens, what it lets through and says."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="ignore")

    database_url: str = Field(
        default_factory=lambda: (
            f"sqlite:///{platformdirs.user_data_path('speechplan')}/speechplan.db"
        ),
        repr=False,
        json_schema_extra={"default_said": "SQLite in the user's data folder"},
        description="the store: SQLite or PostgreSQL (`postgresql+psycopg://USER@HOST/NAME`)",
    )
    jobs_url: str | None = Field(
        default=None,
        repr=False,
        json_schema_extra={"default_said": "beside the store"},
        description="the job engine's database",
    )
    data_roots: tuple[Path, ...] = Field(
        default=(),
        json_schema_extra={"default_said": "none"},
        description="JSON list of folders whose data sets may be named over HTTP",
    )
    cache_dir: Path = Field(
        default_factory=cache_dir,
        json_schema_extra={"default_said": "the user's cache folder"},
        description="converted weights, adapters, read-outs",
    )
    host: str = Field(
        default="127.0.0.1",
        description="address that the service listens on; any but loopback demands a key",
    )
    port: int = Field(default=8000, ge=1, le=65535, description="port that it listens on")
    url: str = Field(
        default="http://127.0.0.1:8000", description="where the Python client finds the service"
    )
    api_key: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="a key that may do everything, 16 characters or more; the client sends it too",
    )
    max_body_bytes: int = Field(default=1_000_000, ge=1_000, description="largest request body")
    ask_rate: Rate = Field(
        default="6000/minute",
        description="requests of one key, or of one address that isn't loopback;"
        " `off` for no limit",
    )
    work_rate: Rate = Field(
        default="60/minute", description="of those, how many may start real runs or take results in"
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=("127.0.0.1", "::1"),
        description="JSON list of the proxies whose `X-Forwarded-For` and `-Proto` are believed",
    )
    shutdown_grace_s: int = Field(
        default=30, ge=0, description="longest time that requests under way may take after SIGTERM"
    )
    timing_budget_s: float = Field(
        default=30.0, gt=0, description="longest time that repeats of a configuration's timing take"
    )
    check_device: bool = Field(
        default=True,
        description="whether the speed of this machine is compared with what its timings were"
        " taken at, by a test of two seconds that is repeated after 12 hours",
    )
    log_level: LogLevel = Field(default="info", description="`debug`, `info`, `warning` or `error`")
    log_format: LogFormat = Field(
        default="auto",
        description="`json`, `console`, or `auto`: console on a terminal, JSON elsewhere",
    )
    debug: bool = Field(
        default=False,
        description="`1` shows the command line's unexpected errors with their traceback",
    )

    @property
    def resolved_jobs_url(self) -> str:
        """URL of the job engine's database."""
        if self.jobs_url is not None:
            return self.jobs_url
        if self.database_url.startswith("sqlite"):
            return self.database_url.removesuffix(".db") + "-jobs.db"
        return self.database_url.replace("postgresql+psycopg://", "postgresql://")


@dataclass(frozen=True)
class Described:
    """A setting as it stands.

    Attributes:
        variable: Environment variable that sets it.
        default: What it is when left out.
        value: What it is now; secrets and passwords are hidden.
        set: Whether it was set.
        description: What it is for.
    """

    variable: str
    default: str
    value: str
    set: bool
    description: str


def described(settings: Settings) -> Iterator[Described]:
    """Every setting with its default, its value and what it is for."""
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        said = extra.get("default_said")
        yield Described(
            variable=f"{_PREFIX}{name.upper()}",
            default=_said(field.default) if said is None else str(said),
            value=_said(getattr(settings, name)),
            set=name in settings.model_fields_set,
            description=field.description or "",
        )


def table() -> str:
    """The table of the settings as the documentation has it, in Markdown."""
    rows = [
        f"| `{one.variable}` | {one.default} | {one.description} |"
        for one in described(Settings.model_construct())
    ]
    return "\n".join(["| variable | default | what |", "| --- | --- | --- |", *rows])


def without_password(url: str) -> str:
    """A database URL that may be shown."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:  # not a URL: what it is can't be told, so none of it is shown
        return _HIDDEN


def _said(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, SecretStr):
        return _HIDDEN
    if isinstance(value, tuple):
        return json.dumps([str(one) for one in value])
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str) and "://" in value:
        return without_password(value)
    return str(value)
