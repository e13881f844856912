"""Names for creates, so that a repetition buys nothing: by a literal clock, call by call."""

from __future__ import annotations

import re

import pytest

from mitm_ai_proxy.kling import paid_once
from mitm_ai_proxy.kling.paid_once import MAX_REMEMBERED, PREFIX, REMEMBERED, PaidOnce

API = "openai/v1/videos"


class Shop:
    """PaidOnce at a time that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.paid = PaidOnce(lambda: self.now)

    def new(self, body: bytes = b"{}") -> str:
        """The name of a first attempt."""
        return self.paid.name(API, body, 0, "")

    def again(self, body: bytes = b"{}", retries: int = 1) -> str:
        """The name of a repetition."""
        return self.paid.name(API, body, retries, "")


def test_four_equal_creates_get_four_names() -> None:
    shop = Shop()
    names = [shop.new() for _ in range(4)]

    assert len(set(names)) == 4
    assert all(re.fullmatch(rf"{PREFIX}[a-z2-7]{{26}}-[0-3]", name) for name in names)


def test_a_name_is_the_same_in_every_replica() -> None:
    assert Shop().new(b"a") == Shop().new(b"a")
    assert Shop().new(b"a") != Shop().new(b"b")
    assert PaidOnce(lambda: 0).name("openai/v1/videoremix", b"a", 0, "") != Shop().new(b"a")


def test_a_repetition_of_a_single_create_gets_its_name_however_it_ended() -> None:
    for answered in (None, False, True):
        shop = Shop()
        name = shop.new()
        if answered is not None:
            shop.paid.settle(name, answered)
        assert [shop.again(), shop.again(retries=2)] == [name, name]


def test_a_repetition_in_a_process_that_knows_nothing_is_that_of_the_first_create() -> None:
    assert Shop().again() == Shop().new()


@pytest.mark.parametrize("doubtful", range(4))
def test_of_equal_creates_a_repetition_gets_the_one_in_doubt(doubtful: int) -> None:
    shop = Shop()
    names = [shop.new() for _ in range(4)]
    for number, name in enumerate(names):
        shop.paid.settle(name, number != doubtful)

    assert shop.again() == names[doubtful]


def test_two_in_doubt_are_repeated_one_each() -> None:
    shop = Shop()
    names = [shop.new() for _ in range(4)]
    for number, name in enumerate(names):
        shop.paid.settle(name, number in (0, 3))

    assert {shop.again(), shop.again()} == set(names[1:3])


def test_a_repetition_takes_one_that_is_not_answered_before_one_that_is() -> None:
    shop = Shop()
    first, second = shop.new(), shop.new()
    shop.paid.settle(second, True)

    assert shop.again() == first


def test_a_create_after_a_repetition_gets_a_name_of_its_own() -> None:
    shop = Shop()
    names = [shop.new(), shop.again(), shop.new()]

    assert names[0] == names[1] != names[2]


def test_with_an_idempotency_key_only_api_and_key_count() -> None:
    def name(api: str, body: bytes, retries: int, key: str) -> str:
        return PaidOnce(lambda: 0).name(api, body, retries, key)

    assert name(API, b"a", 0, "key") == name(API, b"b", 2, "key")
    assert len({name(API, b"a", 0, "key"), name(API, b"a", 0, "kez"), name("other", b"a", 0, "key")}) == 3
    assert re.fullmatch(rf"{PREFIX}[a-z2-7]{{26}}", name(API, b"", 0, "k\udcff" * 10_000))


def test_an_idempotency_key_is_not_in_the_name_and_not_the_hash_of_a_body() -> None:
    secret = "secret"

    assert secret not in Shop().paid.name(API, b"", 0, secret)
    assert Shop().paid.name(API, b"", 0, secret) != Shop().new(secret.encode()).removesuffix("-0")


def test_names_of_keys_are_settled_and_taken_without_a_trace() -> None:
    shop = Shop()
    name = shop.paid.name(API, b"{}", 0, "key")
    shop.paid.settle(name, True)
    shop.paid.settle("", False)
    shop.paid.settle("no name of ours", False)

    assert shop.new() == Shop().new()


def test_equal_creates_are_forgotten_after_an_hour_without_any() -> None:
    shop = Shop()
    first = shop.new()
    shop.now += REMEMBERED - 1
    second = shop.new()
    shop.now += REMEMBERED - 1
    third = shop.new()
    shop.now += REMEMBERED

    assert len({first, second, third}) == 3
    assert shop.new() == first


def test_others_are_forgotten_when_anything_is_named() -> None:
    shop = Shop()
    shop.new(b"old")
    shop.now += REMEMBERED
    shop.new(b"new")

    assert len(shop.paid._equals) == 1


def test_memory_is_bounded_in_the_number_of_different_creates() -> None:
    shop = Shop()
    for number in range(MAX_REMEMBERED + 50):
        shop.new(b"%d" % number)

    assert len(shop.paid._equals) <= MAX_REMEMBERED + 1
    assert shop.again(b"%d" % (MAX_REMEMBERED + 49)) == Shop().new(b"%d" % (MAX_REMEMBERED + 49))


def test_memory_is_bounded_in_the_number_of_equal_creates(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    names = set()
    for _ in range(20_000):
        name = shop.new()
        names.add(name)
    (equal,) = shop.paid._equals.values()

    assert len(names) == 20_000
    assert len(equal.attempts) < 20_000


def test_a_name_that_somebody_else_took_is_replaced_by_one_that_nobody_has() -> None:
    shop = Shop()
    taken = shop.new()
    shop.paid.taken(taken)
    fresh = shop.again()

    assert re.fullmatch(rf"{re.escape(taken.removesuffix('-0'))}-[0-9a-f]{{8}}", fresh)
    assert shop.again(retries=2) == fresh
    assert shop.new() not in (taken, fresh)


def test_two_processes_replace_a_taken_name_differently() -> None:
    names = []
    for _ in range(2):
        shop = Shop()
        shop.paid.taken(shop.new())
        names.append(shop.again())

    assert names[0] != names[1]


def test_a_taken_name_is_never_given_again() -> None:
    shop = Shop()
    taken = shop.new()
    shop.paid.taken(taken)

    assert taken not in [shop.again(), shop.new(), shop.new()]


def test_a_taken_name_of_one_client_does_not_cost_the_repetition_of_another() -> None:
    # The first client does not repeat (max_retries=0). The second one's repetition must find its own create.
    shop = Shop()
    shop.paid.taken(shop.new())
    second = shop.new()
    shop.paid.settle(second, False)

    assert shop.again() == second


def test_the_states_have_different_words() -> None:
    assert len({paid_once.PENDING, paid_once.ANSWERED, paid_once.DOUBTFUL}) == 3
