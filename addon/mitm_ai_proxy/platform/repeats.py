"""Creates that a client sends again: by its own word for them, or, from OpenAI's SDKs, by the count of their retries.

The SDKs send no word, and repeat a create whose answer they have not got; a second job for it would be paid twice.
"""

from __future__ import annotations

import secrets
from typing import Final

from . import statements
from .database import Database, Transaction
from .records import Repeat

REMEMBERED: Final = 3600.0
"""Seconds for which a retry of an SDK is expected."""
_NAMED, _COUNTED = "key", "sdk"


def named(key: str, body_hash: str) -> Repeat:
    """A create under the client's own word."""
    return Repeat(f"{_NAMED} {key}", body_hash)


def counted(body_hash: str, retries: int) -> Repeat:
    """A create of an SDK, which says how often it has sent it before."""
    return Repeat(f"{_COUNTED} {retries} {secrets.token_hex(8)}", body_hash)


class Repeats:
    """The creates of SDKs in the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def earlier(self, tenant: str, repeat: Repeat, now: float) -> str | None:
        """The job of an earlier sending of a counted() create, as find() has it."""
        with self._database.transaction() as transaction:
            statements.lock_tenant(transaction, tenant)
            return find(transaction, tenant, repeat, now)


def is_retry(repeat: Repeat) -> bool:
    """Whether an SDK says that it has sent a create before."""
    return _count(repeat.key) > 0


def find(transaction: Transaction, tenant: str, repeat: Repeat, now: float) -> str | None:
    """The job of an earlier sending of a counted() create; None where there is none that can be meant.

    Of several equal ones, it is that of the nearest lower count, so that each is found by one retry only. The caller
    holds the lock of the tenant.
    """
    retries = _count(repeat.key)
    rows = transaction.rows(
        "SELECT repeats.key, repeats.job FROM repeats JOIN jobs ON jobs.id = repeats.job"
        " WHERE repeats.tenant = :tenant AND repeats.body_hash = :hash AND jobs.created_at >= :since"
        " ORDER BY jobs.created_at DESC",
        {"tenant": tenant, "hash": repeat.body_hash, "since": now - REMEMBERED},
    )
    row = max((row for row in rows if _count(row[0]) < retries), key=lambda row: _count(row[0]), default=None)
    if row is None or _count(row[0]) < 0:
        return None
    transaction.change(
        "UPDATE repeats SET key = :new WHERE tenant = :tenant AND key = :old",
        {"tenant": tenant, "old": row[0], "new": repeat.key},
    )
    return str(row[1])


def _count(key: str) -> int:
    """Which retry of a counted() create was the last one; less than that of any for a named() one."""
    kind, _, rest = key.partition(" ")
    return int(rest.partition(" ")[0]) if kind == _COUNTED else -1
