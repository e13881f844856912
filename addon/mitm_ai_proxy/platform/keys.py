"""The keys of tenants: shown once, when they are made; kept as hashes."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from . import statements
from .database import Database, Row, Transaction
from .money import NO_LIMIT, Allowance
from .records import Key

PREFIX: Final = "vp_"
_COLUMNS: Final = ", ".join(Key._fields)


class SeenKeys:
    """The keys in a transaction; each is looked up once."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._found: dict[str, Key | None] = {}
        self._exist: bool | None = None

    def find(self, text: str) -> Key | None:
        """The key of a text; None where it is none, or opens nothing any more."""
        if text not in self._found:
            row = self._transaction.row(
                f"SELECT {_COLUMNS} FROM keys WHERE hash = :hash AND revoked_at = 0", {"hash": _hash(text)}
            )
            self._found[text] = _read(row) if row else None
        return self._found[text]

    def exist(self) -> bool:
        """Whether any key opens something."""
        if self._exist is None:
            row = self._transaction.row("SELECT id FROM keys WHERE revoked_at = 0 LIMIT 1", {})
            self._exist = row is not None
        return self._exist


class Keys:
    """The keys in the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def make(self, tenant: str, now: float, *, allowance: Allowance = NO_LIMIT, note: str = "") -> tuple[Key, str]:
        """Make a key for a tenant; it, and its text, which nobody can learn later. Raises StoreError."""
        text = PREFIX + secrets.token_urlsafe(32)
        made = Key(f"key_{secrets.token_hex(8)}", tenant, note, allowance.daily, allowance.monthly, now, 0.0)
        with self._database.transaction() as transaction:
            transaction.change(
                "INSERT INTO keys (id, hash, tenant, note, daily, monthly, created_at)"
                " VALUES (:id, :hash, :tenant, :note, :daily, :monthly, :created_at)",
                {**made._asdict(), "hash": _hash(text)},
            )
        return made, text

    def find(self, text: str) -> Key | None:
        """The key of a text; None where it is none, or opens nothing any more. Raises StoreError."""
        with self.seen() as seen:
            return seen.find(text)

    def exist(self) -> bool:
        """Whether any key opens something. Without one, only callers of this machine are served."""
        with self.seen() as seen:
            return seen.exist()

    @contextmanager
    def seen(self) -> Iterator[SeenKeys]:
        """The keys as they are at one moment, for several questions. Raises StoreError."""
        with self._database.transaction(writes=False) as transaction:
            yield SeenKeys(transaction)

    def all(self, tenant: str | None = None) -> list[Key]:
        """All keys, or those of a tenant, the oldest first."""
        where = "WHERE tenant = :tenant" if tenant is not None else ""
        with self._database.transaction(writes=False) as transaction:
            rows = transaction.rows(
                f"SELECT {_COLUMNS} FROM keys {where} ORDER BY created_at, id",
                {"tenant": tenant} if tenant is not None else {},
            )
        return [_read(row) for row in rows]

    def revoke(self, key_id: str, now: float) -> bool:
        """Have a key open nothing any more; False where there is none that does."""
        with self._database.transaction() as transaction:
            changed = transaction.change(
                "UPDATE keys SET revoked_at = :now WHERE id = :id AND revoked_at = 0", {"id": key_id, "now": now}
            )
        return bool(changed)

    def signing_key(self) -> bytes:
        """What the addresses of callbacks are signed with, the same for all processes: made when first asked for."""
        name = "callback key"
        with self._database.transaction() as transaction:
            transaction.lock(statements.QUEUE)
            row = transaction.row("SELECT value FROM facts WHERE name = :name", {"name": name})
            if row is None:
                row = (secrets.token_hex(32),)
                transaction.change(
                    "INSERT INTO facts (name, value) VALUES (:name, :value)", {"name": name, "value": row[0]}
                )
        return bytes.fromhex(row[0])


def _hash(text: str) -> str:
    # Enough for 32 random bytes, which nobody can guess.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _read(row: Row) -> Key:
    return Key(*row)
