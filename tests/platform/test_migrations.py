"""Databases of earlier programs: what they hold goes on, webhooks that are still to be sent among it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.platform import statements
from mitm_ai_proxy.platform.database import Database
from mitm_ai_proxy.platform.postgres import PostgresDatabase
from mitm_ai_proxy.platform.records import DeliveryState
from mitm_ai_proxy.platform.schema import MIGRATIONS
from mitm_ai_proxy.platform.sqlite import SqliteDatabase
from mitm_ai_proxy.platform.states import State
from mitm_ai_proxy.platform.store import Store
from tests.platform.orders import NOW, claimed
from tests.platform.servers import Postgres

URL: Final = "https://hooks.example/"
_JOB: Final[dict[str, Any]] = {
    "id": "old", "tenant": "acme", "key": "", "path": "/v1/videos/text2video", "model": "kling-v3", "prompt": "a cat",
    "seconds": 5.0, "priority": 0, "metadata": "{}", "callback_url": URL, "has_name": 1, "retry_of": "",
    "state": "queued", "money": "reserved", "estimate": 3000, "created_at": NOW, "position": NOW,
}  # fmt: skip
_ENDED: Final = {**_JOB, "id": "ended", "state": "stored", "money": "settled", "actual": 3000, "ended_at": NOW}
_WEBHOOK: Final[dict[str, Any]] = {
    "id": "msg_1", "job": "ended", "tenant": "acme", "url": URL, "state": "waiting", "created_at": NOW, "next_at": NOW,
    "tries": 2, "status": 503, "problem": "status 503",
}  # fmt: skip
_SENT: Final = {**_WEBHOOK, "id": "msg_0", "state": "delivered", "status": 204, "problem": "", "ended_at": NOW}


def _insert(database: Database, table: str, row: dict[str, Any]) -> None:
    with database.transaction() as transaction:
        names = ", ".join(f":{name}" for name in row)
        transaction.change(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({names})", row)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_an_earlier_program_has_left_goes_on(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    for version in range(2, len(MIGRATIONS)):

        def opened(steps: Any, version: int = version) -> Database:
            if kind == "sqlite":
                return SqliteDatabase(tmp_path / f"{version}.db", steps)
            return PostgresDatabase(Secret(request.getfixturevalue("postgres").url), steps)

        if kind == "postgres":
            server: Postgres = request.getfixturevalue("postgres")
            server.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        database = opened(MIGRATIONS[:version])
        for table, row in (("jobs", _JOB), ("jobs", _ENDED), ("deliveries", _WEBHOOK), ("deliveries", _SENT)):
            _insert(database, table, row)
        database.close()

        database = opened(MIGRATIONS)
        store = Store(database, alarms_to="https://ops.example/")
        sent = {found.id: (found.state, found.tries, found.status) for found in store.deliveries.of_job("ended")}
        assert sent == {"msg_1": (DeliveryState.WAITING, 2, 503), "msg_0": (DeliveryState.DELIVERED, 2, 204)}
        (due,) = store.deliveries.claim(NOW, 60, 10)
        assert (due.id, due.job, due.event, due.url, due.problem) == ("msg_1", "ended", "", URL, "status 503")
        store.deliveries.delivered(due, NOW, 204)
        job = claimed(store)
        assert job
        assert (job.id, job.state, job.pinned_to) == ("old", State.SUBMITTING, "")
        # One without a job can be written, and one of a job that is not there cannot.
        with database.transaction() as transaction:
            statements._post(transaction, "", URL, NOW, {"job": None, "event": "account.paused", "data": "{}"})
        with pytest.raises(Exception, match=r"(?i)foreign key"), database.transaction() as transaction:
            statements._post(transaction, "", URL, NOW, {"job": "nobody", "event": "", "data": ""})
        assert [found.event for found in store.deliveries.claim(NOW, 60, 10)] == ["account.paused"]
        store.close()
