"""What is tried next: order, tokens, limits, and random outcomes."""

from __future__ import annotations

import gzip
import random
import time
from email.utils import formatdate

import pytest

from mitm_ai_proxy.chat import stream_errors
from mitm_ai_proxy.config.reliability import ERRORS, Failover, Statuses, statuses
from mitm_ai_proxy.config.values import WrongParts
from mitm_ai_proxy.routing import first_event
from mitm_ai_proxy.routing.health import Health, Place
from mitm_ai_proxy.routing.tries import Failure, Pick, Stop, Tries, reason_against, seconds_of
from mitm_ai_proxy.wire.header_fields import Fields
from tests.chat import converse
from tests.tables import table

NO, UNREACHED = Failure("500", 500), Failure("refused", is_sent=False, is_providers=True)


def _stop(name: str, tokens: int, tries: int, timeout: float = 60) -> Stop:
    return Stop(name, tuple(Place(name, index) for index in range(tokens)) or (Place(name),), tries, ERRORS, timeout)


def _tries(*stops: Stop, health: Health | None = None) -> Tries:
    return Tries(stops, health or Health({}, lambda: 0.0), lambda places: places[0])


def _run(tries: Tries, failure: Failure) -> list[str]:
    """All places that are tried, as long as each fails in this way."""
    tries.first()
    while tries.next(failure):
        pass
    return [f"{place.provider}{'' if place.token is None else place.token}" for place in tries.made]


@table(
    ("stops", "failure", "expected"),
    [
        ([_stop("a", 1, 1)], NO, ["a0"]),
        ([_stop("a", 3, 2)], NO, ["a0", "a1"]),
        ([_stop("a", 2, 9)], NO, ["a0", "a1"]),
        ([_stop("a", 0, 9), _stop("b", 1, 1)], NO, ["a", "b0"]),
        ([_stop("a", 2, 2), _stop("b", 2, 1), _stop("c", 1, 1)], NO, ["a0", "a1", "b0", "c0"]),
        # The way to a provider is the same for each of its tokens.
        ([_stop("a", 2, 2), _stop("b", 2, 2)], UNREACHED, ["a0", "b0", "a1", "b1"]),
        ([_stop("a", 2, 2)], UNREACHED, ["a0", "a1"]),
    ],
)
def test_each_token_is_tried_once_and_the_providers_in_their_order(
    stops: list[Stop], failure: Failure, expected: list[str]
) -> None:
    tries = _tries(*stops)
    assert _run(tries, failure) == expected
    assert tries.total == len(expected)


def test_what_is_left_out_is_not_drawn_and_where_all_are_the_first_that_failed_is() -> None:
    health = Health({name: Failover(enabled=True, failure_threshold=1) for name in "ab"}, lambda: 5.0)
    health.fail(Place("a", 0), "500", is_providers=False)
    assert _run(_tries(_stop("a", 2, 2), _stop("b", 0, 1), health=health), NO) == ["a1", "b"]
    health.fail(Place("b"), "500", is_providers=False)
    health.fail(Place("a", 1), "500", is_providers=False)
    tries = _tries(_stop("a", 2, 2), _stop("b", 0, 1), health=health)
    assert _run(tries, NO) == ["a0"]
    assert not tries.has_next()


@table(
    ("rest", "timeout", "expected"),
    [(0, 60, Pick(Place("a", 1))), (7, 60, Pick(Place("a", 1), 7)), (7, 5, None), (100, 0, Pick(Place("a", 1), 60))],
)
def test_a_token_that_rests_is_waited_for_as_long_as_a_try_may_take(
    rest: float, timeout: float, expected: Pick | None
) -> None:
    health = Health({}, lambda: 100.0)
    health.rest_for(Place("a", 1), rest, "429")
    tries = _tries(_stop("a", 2, 2, timeout), health=health)
    tries.first()
    assert tries.next(NO) == expected


def test_another_provider_that_is_free_comes_before_a_token_that_rests() -> None:
    health = Health({}, lambda: 100.0)
    health.rest_for(Place("a", 1), 3, "429")
    assert _run(_tries(_stop("a", 2, 2), _stop("b", 1, 1), health=health), NO) == ["a0", "b0", "a1"]


@table(
    ("failure", "is_repeatable", "reason"),
    [
        (NO, True, ""),
        (Failure("", None), True, ""),
        (NO, False, "the request may have bought something already"),
        (Failure("broken"), False, "the request may have bought something already"),
        (Failure("", 429), False, ""),
        (Failure("", 401), False, ""),
        (Failure("", 403), False, "the request may have bought something already"),
        (UNREACHED, False, ""),
        (Failure("", 302), True, "302 is not in retryOnStatus"),
        (Failure("", 204), True, "204 is not in retryOnStatus"),
    ],
)
def test_what_may_have_bought_something_is_tried_again_only_after_a_certain_refusal(
    failure: Failure, is_repeatable: bool, reason: str
) -> None:
    tries = _tries(_stop("a", 2, 2))
    tries.first()

    def done() -> str:
        return "" if is_repeatable else "bought something"

    assert reason_against(failure, tries, done) == reason
    tries.next(NO)
    assert reason_against(failure, tries, done) == (reason or "there is no other token or provider to try")


def test_no_place_is_drawn_twice_and_no_limit_is_passed_whatever_happens() -> None:
    clock = [0.0]
    for seed in range(300):
        rng = random.Random(seed)
        names = "abcd"[: rng.randint(1, 4)]
        health = Health(
            {name: Failover(enabled=rng.random() < 0.7, failure_threshold=2) for name in names}, lambda: clock[0]
        )
        stops = [_stop(name, rng.randint(0, 3), rng.randint(1, 3), rng.choice([0, 5, 60])) for name in names]
        for _ in range(20):
            tries = Tries(stops, health, rng.choice)
            tries.first()
            while True:
                clock[0] += rng.random() * 4
                failure = Failure("x", rng.choice([None, 429, 500]), is_providers=rng.random() < 0.3)
                health.fail(tries.place, "x", is_providers=failure.is_providers)
                health.rest_for(tries.place, rng.choice([0, 0, 3, 90]), "x")
                could = tries.has_next()
                pick = tries.next(failure)
                if pick is None:
                    break
                assert could
                assert 0 <= pick.wait <= 60
            assert len(set(tries.made)) == len(tries.made) <= tries.total
            for stop in stops:
                assert sum(place.provider == stop.provider for place in tries.made) <= stop.tries


@table(
    ("text", "expected"),
    [("3", 3.0), (" 0.5 ", 0.5), ("-1", 0.0), ("", 0.0), ("soon", 0.0), ("nan", 0.0), ("inf", 0.0), ("1e400", 0.0)],
)
def test_retry_after_is_a_number_of_seconds(text: str, expected: float) -> None:
    assert seconds_of(text, 0) == expected


def test_retry_after_may_be_a_date() -> None:
    now = time.time()
    assert 28 < seconds_of(formatdate(now + 30, usegmt=True), now) <= 30
    assert seconds_of(formatdate(now - 30, usegmt=True), now) == 0


@table(
    ("patterns", "status", "has"),
    [
        (("4.*", "5.*"), 429, True),
        (("4.*", "5.*"), 503, True),
        (("4.*",), 504, True),
        (("4.*", "5.*"), 204, False),
        (("4.*", "5.*"), 205, False),
        ((".*",), 200, False),
        (("503",), 502, False),
        (("4.*", "5.*"), 302, False),
        ((), 500, False),
    ],
)
def test_a_status_is_looked_for_as_the_plugin_does_but_a_success_is_none(
    patterns: tuple[str, ...], status: int, has: bool
) -> None:
    assert Statuses(patterns).have(status) is has


def test_only_a_pattern_that_begins_with_a_success_is_worth_a_word() -> None:
    assert ERRORS.successes == ()
    assert Statuses(("4.*", "2.*", "^20", "429", ".*")).successes == ("2.*", "^20", ".*")
    with pytest.raises(WrongParts) as caught:
        statuses(["4.*", "("])
    assert [where for where, _ in caught.value.reasons] == ["[1]"]


FIRST = [
    (b'data: {"error": {"message": "x", "type": "overloaded_error"}}\n\n', 529),
    (b'event: error\ndata: {"type": "error", "error": {"type": "rate_limit_error", "message": "x"}}\n\n', 429),
    (b"event: error\ndata: oh\n\n", 502),
    (b': wait\n\n: wait\n\ndata: {"error": {"message": "x", "code": 503}}\n\ndata: {}\n\n', 503),
    (b'data: {"choices": []}\n\ndata: {"error": {"message": "x"}}\n\n', None),
    (b'event: message_start\ndata: {"type": "message_start", "message": {"id": "m"}}\n\n', None),
    (b"data: [DONE]\n\n", None),
    (b'{"error": 1}', None),
    (b"", None),
]


_OVERLOADED = converse.frame("throttlingException", {"message": "x"}, "exception")
FRAMES = [
    (_OVERLOADED, 429),
    (converse.frame("modelStreamErrorException", {"message": "x"}, "exception"), 424),
    (converse.frame("newException", {}, "exception"), 502),
    (converse.frame("messageStart", {"role": "assistant"}) + _OVERLOADED, None),
    (_OVERLOADED[:-1] + b"?", 502),
    (b"", None),
]
LINES = [
    (b'{"error": "model requires more memory"}\n', 502),
    (b'\r\n\n{"error": {"message": "x", "code": 429}}\r\n{"done": true}', 429),
    (b'{"error": {"type": "overloaded_error", "message": "a \\"\\n\\" b"}}', 529),
    (b'{"model": "m", "message": {"role": "assistant", "content": "a"}, "done": false}\n{"error": "x"}\n', None),
    (b'{"text_output": "a"}\n', None),
    (b"no JSON\n", None),
    (b"", None),
]
SEQUENCE = [(b"\x1e" + text, status) for text, status in LINES[:1] + LINES[3:5]]
DOCUMENTS = [
    (b'[{"error": {"code": 503, "message": "x", "status": "UNAVAILABLE"}}]', 503),
    (
        b' \r\n[ \n{"error": {"message": "]}, [{\\\\\\"]}", "code": 429, "details": [[], {}]}}\n, {"a": 1}]\n',
        429,
    ),
    (b'[{"candidates": [{"content": "[{\\"error\\""}]}, {"error": {"code": 503, "message": "x"}}]', None),
    (b'[{"error": {"message": "cut"', None),
    (b'[[1, 2], {"error": {"code": 503, "message": "x"}}]', None),
    (b"[]", None),
    (b'{"error": {"message": "x", "type": "rate_limit_error"}}', 429),
    (b'{"base_resp": {"status_code": 1002, "status_msg": "x"}}', 429),
    (b'{"code": 11200, "message": "x"}', 403),
    (b'{"code": 4011, "msg": "x", "data": null}', 502),
    (b'{"code": 20000, "message": "OK", "data": {"a": 1}}', None),
    (b'{"code": "ok", "message": "OK", "choices": [{}]}', None),
    (b'{"error_code": 18, "error_msg": "x", "result": [1]}', 429),
    (b'{"choices": [], "error": null}', None),
    (b'{"choices": [], "error": "", "code": 0, "message": "ok"}', None),
    (b'{"choices": [], "error": {}}', None),
    (b'{"a": [{"error": 1}]', None),
    (b'"error"', None),
    (b"", None),
]
FORMS = {
    "text/event-stream; charset=utf-8": FIRST,
    "Application/vnd.amazon.eventstream": FRAMES,
    "application/x-ndjson": LINES,
    "application/jsonl": LINES,
    "application/stream+json": LINES,
    "application/json-seq": SEQUENCE,
    "application/json; charset=UTF-8": DOCUMENTS,
}


@table(("type", "text", "status"), [(type, *row) for type, rows in FORMS.items() for row in rows])
def test_an_error_as_the_first_event_is_a_failure_however_it_is_cut(type: str, text: bytes, status: int | None) -> None:
    packed = gzip.compress(text)
    for encoding, sent in (("", text), ("gzip", packed)):
        fields = ((b"content-type", type.encode()), (b"content-encoding", encoding.encode()))
        assert _status(first_event.failure_in("POST", fields, sent)) == status
        # What is fetched may be about the error of something else.
        assert first_event.failure_in("GET", fields, sent) is None
        for cut in range(len(sent) + 1):
            first = first_event.begun("POST", fields)
            assert first
            for piece in (sent[:cut], sent[cut:]):
                if not first.is_known:
                    first.feed(piece)
            if not first.is_known:
                first.feed(b"", is_end=True)
            assert first.is_known
            assert _status(first.failure) == status


def _status(failure: Failure | None) -> int | None:
    # Told in the body, it is no certain refusal.
    assert failure is None or not failure.is_certain
    return failure.status if failure else None


@table(
    ("fields", "body"),
    [
        (((b"content-type", b"application/json"), (b"content-encoding", b"br")), DOCUMENTS[0][0]),
        (((b"content-type", b"application/json"), (b"content-encoding", b"gzip")), DOCUMENTS[0][0]),
        (((b"content-type", b"text/plain"),), DOCUMENTS[0][0]),
        ((), DOCUMENTS[0][0]),
        (((b"content-type", b"application/json"),), b" " * first_event.MOST_HELD + DOCUMENTS[0][0]),
    ],
)
def test_what_cannot_be_read_or_begins_late_is_no_failure(fields: Fields, body: bytes) -> None:
    assert first_event.failure_in("POST", fields, body) is None


def test_a_document_that_has_no_member_of_errors_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_errors, "json", None)
    body = b'{"choices": [{"message": {"content": "\\"error\\""}}]}'
    assert first_event.failure_in("POST", ((b"content-type", b"application/json"),), body) is None


def test_a_stream_is_read_no_further_than_its_first_event() -> None:
    first = first_event.begun("POST", ((b"content-type", b"application/json"),))
    assert first
    first.feed(b'[{"a": 1},')
    assert (first.is_known, first.failure) == (True, None)


def test_a_token_without_room_is_passed_over_for_the_next_provider_that_has_some() -> None:
    stops = [_stop("a", 2, 2), _stop("b", 1, 1)]
    health, full = Health({}, lambda: 0.0), {Place("a", 0), Place("a", 1)}
    tries = Tries(stops, health, lambda places: places[0], lambda place: place not in full)
    assert tries.first() == Place("b", 0)
    # Where none has room, it is the first that is there at all, in whose line the request waits.
    tries = Tries(stops, health, lambda places: places[0], lambda place: False)
    assert tries.first() == Place("a", 0)


def test_a_token_that_stands_there_twice_is_drawn_as_often_and_tried_once() -> None:
    same, other = Place("a", 0), Place("a", 2)
    stop = Stop("a", (same, same, other), 9, ERRORS)
    assert _run(_tries(stop), NO) == ["a0", "a2"]
    assert _tries(stop).total == 2
    assert Tries([stop], Health({}, lambda: 0.0), lambda places: places[len(places) - 1]).first() == other
    assert Tries([stop], Health({}, lambda: 0.0), lambda places: places[1]).first() == same
