"""The external_task_id of creates and of their retries, with a clock that the test sets."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mitm_ai_proxy.kling import idempotency
from mitm_ai_proxy.kling.idempotency import (
    AWAITED,
    MAX_ATTEMPTS,
    MAX_NAME,
    MAX_REMEMBERED,
    PREFIX,
    REMEMBERED,
    Choice,
    Idempotency,
    with_new_name,
)
from mitm_ai_proxy.kling.ids import VideoParameters, add_parameters, split_parameters
from tests.tables import table

API = "openai/v1/videos"


class Creates:
    """Creates of one client, at a time that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.idempotency = Idempotency(lambda: self.now)

    def new(self, body: bytes = b"{}") -> str:
        """The id of a first attempt."""
        return self.idempotency.choose(API, body).name

    def retry(self, body: bytes = b"{}", retries: int = 1) -> str:
        """The id of a retry."""
        return self.idempotency.choose(API, body, retries).name

    def fail(self, name: str) -> None:
        """Let a create end in doubt, a second later."""
        self.now += 1
        self.idempotency.record_result(name, False)

    def answer(self, name: str) -> None:
        """Let a create be answered with a task, a second later."""
        self.now += 1
        self.idempotency.record_result(name, True)

    def refuse(self, name: str) -> None:
        """Let a create be refused, a second later."""
        self.now += 1
        self.idempotency.record_refusal(name)


def test_four_equal_creates_get_four_ids() -> None:
    creates = Creates()
    names = [creates.new() for _ in range(4)]

    assert len(set(names)) == 4
    assert all(re.fullmatch(rf"{PREFIX}[a-z2-7]{{26}}-[0-3]", name) for name in names)


def test_an_id_is_the_same_in_every_replica() -> None:
    assert Creates().new(b"a") == Creates().new(b"a")
    assert Creates().new(b"a") != Creates().new(b"b")
    assert Idempotency(lambda: 0).choose("openai/v1/videoremix", b"a").name != Creates().new(b"a")


def test_a_retry_of_a_single_create_gets_its_id_however_it_ended() -> None:
    for answered in (None, False, True):
        creates = Creates()
        name = creates.new()
        if answered is not None:
            creates.idempotency.record_result(name, answered)
        assert [creates.retry(), creates.retry(retries=2)] == [name, name]


def test_a_retry_in_a_new_process_gets_the_id_of_the_first_create() -> None:
    assert Creates().retry() == Creates().new()


@table("doubtful", range(4))
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


def test_a_retry_prefers_an_answered_create_to_one_whose_client_still_waits() -> None:
    # The client that waits does not retry, so the answer to the other one was lost.
    creates = Creates()
    waiting, answered = creates.new(), creates.new()
    creates.answer(answered)

    assert creates.retry() == answered
    assert creates.retry() == waiting


def test_a_client_that_waits_is_left_alone_also_where_its_count_is_the_nearest() -> None:
    creates = Creates()
    waiting = creates.new()
    creates.fail(waiting)
    assert creates.retry() == waiting
    answered = creates.new()
    creates.answer(answered)

    assert creates.retry(retries=2) == answered


def test_a_retry_gets_the_create_that_was_answered_last() -> None:
    creates = Creates()
    names = [creates.new() for _ in range(3)]
    for name in (names[1], names[0], names[2]):
        creates.answer(name)

    assert [creates.retry() for _ in range(3)] == [names[2], names[0], names[1]]


def test_the_retry_count_tells_equal_creates_apart() -> None:
    creates = Creates()
    first, second = creates.new(), creates.new()
    creates.fail(first)
    assert creates.retry() == first
    creates.fail(first)
    creates.fail(second)

    assert creates.retry(retries=2) == first
    assert creates.retry(retries=1) == second


def test_a_count_that_is_reached_already_is_of_another_client() -> None:
    creates = Creates()
    name = creates.new()
    creates.fail(name)
    assert creates.retry(retries=2) == name
    creates.fail(name)

    assert name not in (creates.retry(retries=2), creates.retry(retries=1))


def test_a_count_that_was_not_seen_here_gets_the_nearest_lower_one() -> None:
    creates = Creates()
    names = [creates.new(), creates.new()]
    for name in names:
        creates.fail(name)
    assert creates.retry() == names[1]
    creates.fail(names[1])

    assert creates.retry(retries=3) == names[1]
    assert creates.retry(retries=3) == names[0]


def test_a_create_that_was_refused_keeps_its_name_for_its_retry() -> None:
    creates = Creates()
    refused, answered = creates.new(), creates.new()
    creates.refuse(refused)
    creates.answer(answered)

    assert creates.idempotency.choose(API, b"{}", 1) == Choice(refused, False)
    assert creates.new() not in (refused, answered)


def test_a_refused_create_is_not_awaited_for_ever() -> None:
    creates = Creates()
    refused, answered = creates.new(), creates.new()
    creates.answer(answered)
    creates.refuse(refused)
    creates.now += AWAITED

    assert creates.retry() == answered


def test_a_refusal_of_a_repetition_does_not_say_that_the_first_attempt_was_refused() -> None:
    creates = Creates()
    name = creates.new()
    creates.fail(name)
    assert creates.retry() == name
    creates.refuse(name)

    assert creates.idempotency.choose(API, b"{}", 2) == Choice(name, True)


def test_a_create_whose_equal_is_in_doubt_takes_its_name() -> None:
    creates = Creates()
    name = creates.new()
    assert creates.idempotency.choose(API, b"other") == Choice(Creates().new(b"other"), False)
    creates.fail(name)

    assert creates.idempotency.choose(API, b"{}") == Choice(name, True)
    assert creates.idempotency.choose(API, b"{}").repeated is False


def test_a_client_that_lost_its_name_to_another_gets_a_new_one() -> None:
    creates = Creates()
    name = creates.new()
    creates.fail(name)
    assert creates.new() == name
    retried = creates.idempotency.choose(API, b"{}", 1)

    assert retried.name != name
    assert retried.repeated is False
    # Of the attempts in doubt, one of a client that may have ended its retries is the last choice.
    creates.fail(retried.name)
    creates.fail(name)
    assert [creates.new(), creates.new()] == [name, retried.name]


def test_an_answered_create_is_not_in_doubt() -> None:
    creates = Creates()
    for end in (creates.answer, creates.refuse):
        name = creates.new(b"%r" % end)
        end(name)
        assert creates.new(b"%r" % end) != name


def test_a_create_after_a_retry_gets_a_new_id() -> None:
    creates = Creates()
    names = [creates.new(), creates.retry(), creates.new()]

    assert names[0] == names[1] != names[2]


def test_with_an_idempotency_key_only_api_and_key_count() -> None:
    def name(api: str, body: bytes, retries: int, key: str) -> str:
        return Idempotency(lambda: 0).choose(api, body, retries, key).name

    assert name(API, b"a", 0, "key") == name(API, b"b", 2, "key")
    assert len({name(API, b"a", 0, "key"), name(API, b"a", 0, "kez"), name("other", b"a", 0, "key")}) == 3
    assert re.fullmatch(rf"{PREFIX}[a-z2-7]{{26}}", name(API, b"", 0, "k\udcff" * 10_000))


def test_an_idempotency_key_keeps_its_name_when_the_parameters_change() -> None:
    creates = Creates()

    def name(key: str, *parameters: str) -> str:
        return creates.idempotency.choose(API, b"", 0, key, VideoParameters(*parameters)).name

    first = name("key", "sora-2", "4", "1280x720")
    assert split_parameters(first)[1] == VideoParameters("sora-2", "4", "1280x720")
    creates.now += REMEMBERED - 1
    assert name("key", "sora-2-pro", "8", "720x1280") == first
    for number in range(MAX_REMEMBERED + 50):
        name(f"{number}")
    assert len(creates.idempotency._creates) <= MAX_REMEMBERED + 1
    assert name("key", "sora-2-pro") != first


def test_an_idempotency_key_is_not_in_the_id_and_not_hashed_as_a_body() -> None:
    secret = "secret"

    name = Creates().idempotency.choose(API, b"", 0, secret).name

    assert secret not in name
    assert name != Creates().new(secret.encode()).removesuffix("-0")


def test_results_for_ids_of_idempotency_keys_change_nothing() -> None:
    creates = Creates()
    name = creates.idempotency.choose(API, b"{}", 0, "key").name
    for end in (creates.answer, creates.fail, creates.refuse):
        for ended in (name, "", "no name of ours"):
            end(ended)

    assert creates.new() == Creates().new()
    assert creates.idempotency.choose(API, b"{}", 0, "key") == Choice(name, True)


PARAMETERS = VideoParameters("sora-2", "4", "1280x720")


def test_the_parameters_are_in_a_new_name_and_do_not_hide_the_attempt() -> None:
    creates = Creates()
    plain = creates.new(b"plain")
    first = creates.idempotency.choose(API, b"plain", parameters=PARAMETERS).name
    assert first == add_parameters(plain.removesuffix("-0") + "-1", PARAMETERS)
    creates.answer(plain)
    creates.fail(first)
    # A model that is another one for the client only does not change the name.
    assert creates.idempotency.choose(API, b"plain", 1, parameters=VideoParameters("kling-v3")) == Choice(first, True)

    creates.fail(first)
    assert creates.new(b"plain") == first
    displaced = creates.idempotency.choose(API, b"plain", 2).name
    creates.idempotency.record_taken(displaced)
    replaced = creates.idempotency.choose(API, b"plain", 3).name
    assert len({first, displaced, replaced}) == 3
    assert [split_parameters(name)[1] for name in (displaced, replaced)] == [PARAMETERS] * 2


@table("length", range(0, 100, 7))
def test_parameters_that_do_not_fit_are_left_out(length: int) -> None:
    creates = Creates()
    parameters = VideoParameters("m" * length, "4", "1280x720")
    name = creates.idempotency.choose(API, b"", parameters=parameters).name

    assert len(name) <= MAX_NAME
    assert split_parameters(name)[0] == Creates().new(b"")
    assert split_parameters(name)[1] == (parameters if length <= 42 else VideoParameters())
    creates.fail(name)
    assert creates.retry(b"") == name


def _chosen(creates: Idempotency, **more: Any) -> str:
    return creates.choose(API, b"a create", **more).name


@table(
    "more",
    [{}, {"idempotency_key": "own"}, {"parameters": PARAMETERS}, {"retries": 1}],
    ids="new key parameters retry".split(),
)
def test_a_run_has_names_of_its_own_and_the_same_ones_in_each_process(more: dict[str, Any]) -> None:
    names = []
    for run in ("", "1f", "2e", "1f"):
        creates = Creates().idempotency
        creates.begin_run(run)
        names.append(_chosen(creates, **more))
    assert names[1] == names[3]
    assert len(set(names)) == 3
    assert {split_parameters(name)[1] for name in names} == {more.get("parameters", VideoParameters())}
    assert {len(name) for name in names} == {len(_chosen(Creates().idempotency, **more))}


def test_a_repetition_in_a_run_has_the_name_of_its_create() -> None:
    creates = Creates()
    creates.idempotency.begin_run("1f")
    first = creates.new(b"")
    creates.fail(first)
    assert creates.retry(b"") == first
    assert creates.idempotency.was_sent(API, b"")


def test_a_name_without_a_number_is_random_and_found_again_in_this_process() -> None:
    creates = Creates()
    names = [creates.idempotency.choose(API, b"", is_numbered=False).name for _ in range(2)]
    assert len({*names, Creates().idempotency.choose(API, b"", is_numbered=False).name}) == 3
    assert creates.new(b"") == Creates().new(b"")
    creates.fail(names[1])

    assert creates.idempotency.choose(API, b"", is_numbered=False) == Choice(names[1], True)


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
    for _ in range(2 * MAX_ATTEMPTS):
        name = creates.new()
        names.add(name)
    (equal,) = creates.idempotency._creates.values()

    assert len(names) == 2 * MAX_ATTEMPTS
    assert len(equal.attempts) <= MAX_ATTEMPTS + 1


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
    creates.fail(second)

    assert creates.retry() == second


def test_clients_whose_ids_are_in_use_get_one_each() -> None:
    creates = Creates()
    taken = [creates.new() for _ in range(3)]
    for name in taken:
        creates.idempotency.record_taken(name)
    choices = [creates.idempotency.choose(API, b"{}", 1) for _ in range(3)]

    assert len({*taken, *(choice.name for choice in choices)}) == 6
    assert not any(choice.repeated for choice in choices)


def test_an_id_in_use_that_is_replaced_is_a_new_one_without_retry_count_too() -> None:
    creates = Creates()
    for _ in range(3):
        creates.new()
    taken = Creates()
    name = taken.new()
    taken.idempotency.record_taken(name)

    assert taken.new() not in {f"{name.removesuffix('-0')}-{number}" for number in range(3)}


def test_a_retry_of_a_create_of_another_process_is_known_to_be_one() -> None:
    assert Creates().idempotency.choose(API, b"{}", 1) == Choice(Creates().new(), True)


def test_the_states_are_different() -> None:
    assert len({idempotency.PENDING, idempotency.ANSWERED, idempotency.UNCERTAIN, idempotency.FREE}) == 4


@table(
    "body, old",
    [
        (b'{"prompt":"a","external_task_id": "ai-proxy-abc-0" }', "ai-proxy-abc-0"),
        (b'{"external_task_id":"mine"}', "mine"),
        (b'{"external_task_id":"mine-again-0123abcd"}', "mine-again-0123abcd"),
        (b'{"options":{"external_task_id":"m\\u0069ne"},"a":1.0}', "mine"),
        (b'{"a":1}', ""), (b'{"external_task_id":7}', ""), (b'{"external_task_id":""}', ""),
        (b"", ""), (b"external_task_id", ""),
        (b'{"a":"external_task_id"', ""),
    ],
)  # fmt: skip
def test_a_create_is_asked_for_again_under_another_name_and_nothing_else_of_it_changes(body: bytes, old: str) -> None:
    found, before, after = with_new_name(body)

    assert before == old
    if not old:
        assert (found, after) == (body, "")
        return
    assert after != old
    assert len(after) <= MAX_NAME
    assert with_new_name(body)[2] != after
    assert after.startswith("ai-proxy-abc-" if old.startswith("ai-proxy") else "mine-again-")
    assert after.count("-again-") <= 1
    assert found.replace(after.encode(), b"") == body.replace(old.encode(), b"").replace(b"m\\u0069ne", b"")
