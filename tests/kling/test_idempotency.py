"""The external_task_id of creates and of their retries, with a clock that the test sets."""

from __future__ import annotations

import re

import pytest

from mitm_ai_proxy.kling import idempotency
from mitm_ai_proxy.kling.idempotency import MAX_REMEMBERED, PREFIX, REMEMBERED, Idempotency

API = "openai/v1/videos"


class Creates:
    """Creates of one client, at a time that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.idempotency = Idempotency(lambda: self.now)

    def new(self, body: bytes = b"{}") -> str:
        """The id of a first attempt."""
        return self.idempotency.external_task_id(API, body, 0, "")

    def retry(self, body: bytes = b"{}", retries: int = 1) -> str:
        """The id of a retry."""
        return self.idempotency.external_task_id(API, body, retries, "")


def test_four_equal_creates_get_four_ids() -> None:
    creates = Creates()
    names = [creates.new() for _ in range(4)]

    assert len(set(names)) == 4
    assert all(re.fullmatch(rf"{PREFIX}[a-z2-7]{{26}}-[0-3]", name) for name in names)


def test_an_id_is_the_same_in_every_replica() -> None:
    assert Creates().new(b"a") == Creates().new(b"a")
    assert Creates().new(b"a") != Creates().new(b"b")
    assert Idempotency(lambda: 0).external_task_id("openai/v1/videoremix", b"a", 0, "") != Creates().new(b"a")


def test_a_retry_of_a_single_create_gets_its_id_however_it_ended() -> None:
    for answered in (None, False, True):
        creates = Creates()
        name = creates.new()
        if answered is not None:
            creates.idempotency.record_result(name, answered)
        assert [creates.retry(), creates.retry(retries=2)] == [name, name]


def test_a_retry_in_a_new_process_gets_the_id_of_the_first_create() -> None:
    assert Creates().retry() == Creates().new()


@pytest.mark.parametrize("doubtful", range(4))
def test_of_equal_creates_a_retry_gets_the_id_of_the_uncertain_one(doubtful: int) -> None:
    creates = Creates()
    names = [creates.new() for _ in range(4)]
    for number, name in enumerate(names):
        creates.idempotency.record_result(name, number != doubtful)

    assert creates.retry() == names[doubtful]


def test_two_retries_get_the_ids_of_two_uncertain_creates() -> None:
    creates = Creates()
    names = [creates.new() for _ in range(4)]
    for number, name in enumerate(names):
        creates.idempotency.record_result(name, number in (0, 3))

    assert {creates.retry(), creates.retry()} == set(names[1:3])


def test_a_retry_prefers_the_id_of_an_unanswered_create() -> None:
    creates = Creates()
    first, second = creates.new(), creates.new()
    creates.idempotency.record_result(second, True)

    assert creates.retry() == first


def test_a_create_after_a_retry_gets_a_new_id() -> None:
    creates = Creates()
    names = [creates.new(), creates.retry(), creates.new()]

    assert names[0] == names[1] != names[2]


def test_with_an_idempotency_key_only_api_and_key_count() -> None:
    def name(api: str, body: bytes, retries: int, key: str) -> str:
        return Idempotency(lambda: 0).external_task_id(api, body, retries, key)

    assert name(API, b"a", 0, "key") == name(API, b"b", 2, "key")
    assert len({name(API, b"a", 0, "key"), name(API, b"a", 0, "kez"), name("other", b"a", 0, "key")}) == 3
    assert re.fullmatch(rf"{PREFIX}[a-z2-7]{{26}}", name(API, b"", 0, "k\udcff" * 10_000))


def test_an_idempotency_key_is_not_in_the_id_and_not_hashed_as_a_body() -> None:
    secret = "secret"

    name = Creates().idempotency.external_task_id(API, b"", 0, secret)

    assert secret not in name
    assert name != Creates().new(secret.encode()).removesuffix("-0")


def test_results_for_ids_of_idempotency_keys_change_nothing() -> None:
    creates = Creates()
    name = creates.idempotency.external_task_id(API, b"{}", 0, "key")
    creates.idempotency.record_result(name, True)
    creates.idempotency.record_result("", False)
    creates.idempotency.record_result("no name of ours", False)

    assert creates.new() == Creates().new()


def test_equal_creates_are_forgotten_after_an_hour_without_any() -> None:
    creates = Creates()
    first = creates.new()
    creates.now += REMEMBERED - 1
    second = creates.new()
    creates.now += REMEMBERED - 1
    third = creates.new()
    creates.now += REMEMBERED

    assert len({first, second, third}) == 3
    assert creates.new() == first


def test_old_creates_are_forgotten_at_the_next_create() -> None:
    creates = Creates()
    creates.new(b"old")
    creates.now += REMEMBERED
    creates.new(b"new")

    assert len(creates.idempotency._creates) == 1


def test_memory_is_bounded_in_the_number_of_different_creates() -> None:
    creates = Creates()
    for number in range(MAX_REMEMBERED + 50):
        creates.new(b"%d" % number)

    assert len(creates.idempotency._creates) <= MAX_REMEMBERED + 1
    assert creates.retry(b"%d" % (MAX_REMEMBERED + 49)) == Creates().new(b"%d" % (MAX_REMEMBERED + 49))


def test_memory_is_bounded_in_the_number_of_equal_creates(monkeypatch: pytest.MonkeyPatch) -> None:
    creates = Creates()
    names = set()
    for _ in range(20_000):
        name = creates.new()
        names.add(name)
    (equal,) = creates.idempotency._creates.values()

    assert len(names) == 20_000
    assert len(equal.attempts) < 20_000


def test_an_id_that_is_in_use_is_replaced_by_a_random_one() -> None:
    creates = Creates()
    taken = creates.new()
    creates.idempotency.record_taken(taken)
    fresh = creates.retry()

    assert re.fullmatch(rf"{re.escape(taken.removesuffix('-0'))}-[0-9a-f]{{8}}", fresh)
    assert creates.retry(retries=2) == fresh
    assert creates.new() not in (taken, fresh)


def test_two_processes_replace_an_id_in_use_differently() -> None:
    names = []
    for _ in range(2):
        creates = Creates()
        creates.idempotency.record_taken(creates.new())
        names.append(creates.retry())

    assert names[0] != names[1]


def test_an_id_in_use_is_never_given_again() -> None:
    creates = Creates()
    taken = creates.new()
    creates.idempotency.record_taken(taken)

    assert taken not in [creates.retry(), creates.new(), creates.new()]


def test_an_id_in_use_of_one_client_does_not_change_the_retry_of_another() -> None:
    # The first client does not repeat (max_retries=0). The second one's repetition must find its own create.
    creates = Creates()
    creates.idempotency.record_taken(creates.new())
    second = creates.new()
    creates.idempotency.record_result(second, False)

    assert creates.retry() == second


def test_the_states_are_different() -> None:
    assert len({idempotency.PENDING, idempotency.ANSWERED, idempotency.UNCERTAIN}) == 3
