"""Keys of the service in the store: their digests, never themselves."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from measurements.store.tables import KeyRow, now


class KeyTable:
    """The part of a store that keys are kept in."""

    _engine: Engine

    def add_api_key(self, identifier: str, *, name: str, scope: str, digest: str) -> None:
        """Stores a key by its digest."""
        with Session(self._engine) as session, session.begin():
            session.add(KeyRow(id=identifier, name=name, scope=scope, digest=digest))

    def api_key(self, identifier: str) -> KeyRow | None:
        """The key with an id, revoked or not."""
        with Session(self._engine, expire_on_commit=False) as session:
            return session.get(KeyRow, identifier)

    def api_keys(self) -> Sequence[KeyRow]:
        """Every key, oldest first."""
        query = select(KeyRow).order_by(KeyRow.created_at, KeyRow.id)
        with Session(self._engine, expire_on_commit=False) as session:
            return session.scalars(query).all()

    def revoke_api_key(self, identifier: str) -> bool:
        """Takes a key's rights away; whether it had any."""
        statement = update(KeyRow).where(KeyRow.id == identifier, KeyRow.revoked_at.is_(None))
        with self._engine.begin() as connection:
            return connection.execute(statement.values(revoked_at=now())).rowcount == 1
