"""Webhooks to customers as rows: claimed like the steps of jobs, by any number of senders."""

from __future__ import annotations

import secrets
from typing import Final

from .database import Database, Row
from .records import Delivery, DeliveryState

_COLUMNS: Final = ", ".join(Delivery._fields)
_STATE: Final = Delivery._fields.index("state")


class Deliveries:
    """The webhooks in the store. A job that ends writes its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, now: float, lease: float, limit: int = 10) -> list[Delivery]:
        """Take what is due and nobody sends, the longest overdue first. Raises StoreError."""
        claim = secrets.token_hex(16)
        with self._database.transaction() as transaction:
            rows = transaction.rows(
                f"SELECT id FROM deliveries WHERE state = '{DeliveryState.WAITING}' AND next_at <= :now"
                f" AND lease_until <= :now ORDER BY next_at LIMIT :limit{transaction.skip_locked}",
                {"now": now, "limit": limit},
            )
            for row in rows:
                transaction.change(
                    "UPDATE deliveries SET claim = :claim, lease_until = :until WHERE id = :id",
                    {"id": row[0], "claim": claim, "until": now + lease},
                )
            found = transaction.rows(
                f"SELECT {_COLUMNS} FROM deliveries WHERE claim = :claim ORDER BY next_at, id", {"claim": claim}
            )
        return [_read(row) for row in found]

    def delivered(self, delivery: Delivery, now: float, status: int) -> bool:
        """Write that it was taken; False where somebody else has claimed it since."""
        return self._end(delivery, DeliveryState.DELIVERED, now, status, "")

    def failed(self, delivery: Delivery, now: float, status: int, problem: str, *, closes: bool = False) -> bool:
        """Give it up. `closes`: the receiver wants nothing any more, under this address."""
        if closes:
            with self._database.transaction() as transaction:
                transaction.change(
                    "INSERT INTO closed_receivers (tenant, url, at) VALUES (:tenant, :url, :now)"
                    " ON CONFLICT (tenant, url) DO NOTHING",
                    {"tenant": delivery.tenant, "url": delivery.url, "now": now},
                )
        return self._end(delivery, DeliveryState.FAILED, now, status, problem)

    def again(self, delivery: Delivery, next_at: float, status: int, problem: str) -> bool:
        """Have it tried again at a time; False where somebody else has claimed it since."""
        return self._write(
            delivery,
            "next_at = :next_at, status = :status, problem = :problem",
            {"next_at": next_at, "status": status, "problem": problem},
        )

    def redeliver(self, delivery_id: str, tenant: str, now: float) -> bool:
        """Have one that has ended sent again, under its id; False where the tenant has none."""
        with self._database.transaction() as transaction:
            changed = transaction.change(
                f"UPDATE deliveries SET state = '{DeliveryState.WAITING}', next_at = :now, tries = 0, ended_at = 0"
                f" WHERE id = :id AND tenant = :tenant AND state <> '{DeliveryState.WAITING}'",
                {"id": delivery_id, "tenant": tenant, "now": now},
            )
        return bool(changed)

    def of_job(self, job_id: str) -> list[Delivery]:
        """The webhooks of a job."""
        with self._database.transaction(writes=False) as transaction:
            rows = transaction.rows(
                f"SELECT {_COLUMNS} FROM deliveries WHERE job = :job ORDER BY created_at, id", {"job": job_id}
            )
        return [_read(row) for row in rows]

    def counts(self) -> dict[DeliveryState, int]:
        """How many there are in each state."""
        with self._database.transaction(writes=False) as transaction:
            rows = transaction.rows("SELECT state, COUNT(*) FROM deliveries GROUP BY state", {})
        return {DeliveryState(state): count for state, count in rows}

    def _end(self, delivery: Delivery, state: DeliveryState, now: float, status: int, problem: str) -> bool:
        return self._write(
            delivery,
            "state = :state, status = :status, problem = :problem, ended_at = :now",
            {"state": state, "status": status, "problem": problem, "now": now},
        )

    def _write(self, delivery: Delivery, assignments: str, values: dict[str, object]) -> bool:
        with self._database.transaction() as transaction:
            changed = transaction.change(
                f"UPDATE deliveries SET {assignments}, tries = tries + 1, claim = '', lease_until = 0"
                " WHERE id = :id AND claim = :claim",
                {**values, "id": delivery.id, "claim": delivery.claim},
            )
        return bool(changed)


def _read(row: Row) -> Delivery:
    return Delivery(*row)._replace(state=DeliveryState(row[_STATE]))
