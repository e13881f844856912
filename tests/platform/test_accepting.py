"""Creates that are accepted together: each for itself, all in one transaction, exact at the edge of a budget."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.platform import repeats
from mitm_ai_proxy.platform.accepting import QueueFull, Result, accept_all
from mitm_ai_proxy.platform.database import StoreError, Unconfirmed
from mitm_ai_proxy.platform.money import Budget, Exceeded
from mitm_ai_proxy.platform.postgres import PostgresDatabase
from mitm_ai_proxy.platform.records import Accepted, Ask, Repeat
from mitm_ai_proxy.platform.schema import MIGRATIONS
from mitm_ai_proxy.platform.statements import RepeatedOtherwise
from mitm_ai_proxy.platform.states import State
from mitm_ai_proxy.platform.store import Store
from tests.platform.orders import NOW, order
from tests.platform.servers import Postgres

DAY = Budget("day", 12_000, NOW + 1)


@pytest.fixture
def store(either_store: Store) -> Store:
    """An empty store, of each kind."""
    return either_store


def _ask(
    name: str, *, most: int | None = None, repeat: Repeat | None = None, budget: Budget = DAY, **changed: Any
) -> Ask:
    return Ask(order(name, **changed), [budget], NOW, most, repeat)


def _said(results: list[Result]) -> list[Any]:
    """The ids of the new jobs, those of known ones in a list, and the types of the errors."""
    return [
        type(result) if isinstance(result, Exception) else result.job.id if result.is_new else [result.job.id]
        for result in results
    ]


def test_in_a_group_each_is_accepted_or_refused_for_itself(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.accept(order("known"), [DAY], NOW, repeat=Repeat("k", "h"))
    results = store.accept_all(
        [
            _ask("a"),
            _ask("too dear", estimate=9_000),
            _ask("b", repeat=Repeat("r", "h")),
            _ask("b again", repeat=Repeat("r", "h")),
            _ask("b otherwise", repeat=Repeat("r", "other")),
            _ask("known again", repeat=Repeat("k", "h")),
            _ask("no room", most=3),
            _ask("of another tenant", tenant="other", budget=Budget("other", None, NOW), most=1),
            _ask("one too many of it", tenant="other", budget=Budget("other", None, NOW), most=1),
            _ask("c"),
            _ask("beyond the budget"),
        ]
    )

    assert _said(results) == [
        "a", Exceeded, "b", ["b"], RepeatedOtherwise, ["known"], QueueFull,
        "of another tenant", QueueFull, "c", Exceeded,
    ]  # fmt: skip
    assert store.counts() == {State.QUEUED: 5}
    assert (store.balance("day"), store.balance("other")) == ((0, 12_000), (0, 3_000))
    assert [event.job for event in store.events()] == ["known", "a", "b", "of another tenant", "c"]
    assert caplog.messages == [], "the group was written at the first try"


def test_what_is_given_back_is_what_was_written(store: Store) -> None:
    results = store.accept_all([_ask("a", seconds=5, prompt="half an emoji \ud83d \0", priority=1), _ask("b")])

    for result in results:
        assert isinstance(result, Accepted)
        assert result.job == store.job(result.job.id)


def test_a_retry_finds_its_first_sending_in_its_own_group(store: Store) -> None:
    results = store.accept_all([_ask(f"j{number}", repeat=repeats.counted("hash", number)) for number in (0, 1, 2)])

    assert _said(results) == ["j0", ["j0"], ["j0"]]
    assert store.balance("day") == (0, 3_000)


def test_one_that_the_database_does_not_take_is_not_the_others_fault(store: Store) -> None:
    unlimited = Budget("month", None, NOW)
    results = store.accept_all([_ask("a"), _ask("odd", estimate=1 << 70, budget=unlimited), _ask("b")])

    assert _said([results[0], results[2]]) == ["a", "b"]
    assert isinstance(results[1], Exception)
    assert not isinstance(results[1], StoreError)
    assert (store.job("odd"), store.balance("month"), store.balance("day")) == (None, (0, 0), (0, 6_000))


def test_where_the_database_is_away_nobody_is_accepted_and_it_is_asked_once() -> None:
    class Away:
        asked = 0

        def transaction(self) -> None:
            self.asked += 1
            raise StoreError("away")

    away: Any = Away()
    assert _said(accept_all(away, [_ask("a"), _ask("b")])) == [StoreError, StoreError]
    assert away.asked == 1


class _Cut(PostgresDatabase):
    """Loses the connection at its next commit: before it has been done, or after."""

    is_done = False
    cuts = 0

    def _commit(self, connection: psycopg.Connection) -> None:
        if self.cuts:
            self.cuts -= 1
            if self.is_done:
                connection.execute("COMMIT")
            connection.close()
        super()._commit(connection)


@pytest.mark.parametrize("is_done", [True, False])
def test_a_commit_whose_answer_is_lost_is_asked_for(is_done: bool, postgres: Postgres) -> None:
    postgres.clear()
    database = _Cut(Secret(postgres.url), MIGRATIONS)
    database.cuts, database.is_done = 1, is_done
    store = Store(database)
    results = store.accept_all([_ask("a"), _ask("too dear", estimate=90_000), _ask("b")])

    assert _said(results) == (["a", Exceeded, "b"] if is_done else [StoreError] * 3)
    assert store.counts() == ({State.QUEUED: 2} if is_done else {})
    store.close()


def test_where_nobody_can_say_whether_it_was_committed_that_is_what_is_said(postgres: Postgres) -> None:
    postgres.clear()
    database = _Cut(Secret(postgres.url), MIGRATIONS)
    database.cuts, database.is_done = 2, True
    store = Store(database)

    assert _said(store.accept_all([_ask("a"), _ask("b")])) == [Unconfirmed, Unconfirmed]
    store.close()
