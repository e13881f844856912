"""Webhooks to customers: signed, sent until they are taken, bounded in time, and not into private networks."""

from __future__ import annotations

import json
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy.platform import deployment, signing, webhooks
from mitm_ai_proxy.platform.decisions import Decision
from mitm_ai_proxy.platform.records import Delivery, DeliveryState
from mitm_ai_proxy.platform.settings import PlatformSettings
from mitm_ai_proxy.platform.states import Money, State
from mitm_ai_proxy.platform.store import Store
from mitm_ai_proxy.platform.timing import Timing
from mitm_ai_proxy.platform.webhooks import Webhooks
from tests.platform.orders import NOW, claimed, moved, order, stored
from tests.tables import table

SECRET = "whsec_b3VyIG93biBzZWNyZXQgb2YgdGVuYW50"
OTHER = "whsec_dGhlIHNlY3JldCBvZiBsYXN0IG1vbnRo"
ANSWER = b"HTTP/1.1 %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Receiver:
    """A receiver on loopback that answers each request by a function of its connection, and keeps what it got."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self.requests: list[tuple[dict[str, str], bytes, str]] = []
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/hook?a=1"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                head, body = self._read(connection)
                lines = head.decode().split("\r\n")
                fields = dict(line.lower().split(": ", 1) for line in lines[1:])
                self.requests.append(({**fields, "signature": _signature(lines)}, body, lines[0]))
                try:
                    self._answer(connection)
                except OSError:
                    # The sender has lost its patience.
                    continue

    def _read(self, connection: socket.socket) -> tuple[bytes, bytes]:
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        head, _, body = received.partition(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        )
        while len(body) < length:
            body += connection.recv(65536)
        return head, body


def _signature(lines: list[str]) -> str:
    return next((line.split(": ", 1)[1] for line in lines if line.lower().startswith("webhook-signature")), "")


def answering(words: bytes) -> Callable[[socket.socket], None]:
    """What answers with a status line."""
    return lambda connection: connection.sendall(ANSWER % words)


@contextmanager
def receiver(answer: Callable[[socket.socket], None]) -> Iterator[Receiver]:
    """A receiver that is closed in the end."""
    made = Receiver(answer)
    try:
        yield made
    finally:
        made.close()


def _settings(**block: Any) -> PlatformSettings:
    return deployment.read({"platform": {"privateReceivers": True, **block}}, {}, gateway="http://127.0.0.1:9").platform


def _ended(store: Store, url: str, job_id: str = "j") -> None:
    store.accept(order(job_id, callback_url=url, metadata='{"scene":7}'), [], NOW)
    job = claimed(store)
    assert job
    moved(store, job, Decision(State.FAILED, "no", error="invalid", money=Money.RELEASED))


def _sent(store: Store, settings: PlatformSettings, now: float = NOW, **given: Any) -> Delivery:
    """What there is to send, sent; the webhook of job j then."""
    sender = Webhooks(store, settings, clock=lambda: now, **given)
    for future in sender.send_due():
        future.result(20)
    sender._pool.shutdown()
    (found,) = store.deliveries.of_job("j")
    return found


def test_a_webhook_is_signed_and_says_what_has_become_of_the_job(store: Store) -> None:
    settings = _settings(tenants={"default": {"webhookSecret": [SECRET, OTHER]}})
    with receiver(answering(b"204 No Content")) as hook:
        store.accept(order(callback_url=hook.url, metadata='{"scene":7}'), [], NOW)
        job = claimed(store)
        assert job
        stored(store, job)
        delivery = _sent(store, settings)
        fields, body, line = hook.requests[0]

    assert (delivery.state, delivery.status, delivery.tries) == (DeliveryState.DELIVERED, 204, 1)
    assert line == "POST /hook?a=1 HTTP/1.1"
    assert fields["host"] == hook.url.split("/")[2]
    assert json.loads(body) == {
        "id": "evt_j",
        "object": "event",
        "type": "video.completed",
        "created_at": int(NOW),
        "data": {"id": "j", "status": "stored", "metadata": {"scene": 7}},
    }
    found = {**fields, signing.SIGNATURE: fields["signature"]}
    for secret in settings.tenant("default").webhook_secret:
        assert signing.is_genuine([secret], found, body, NOW)
    assert found[signing.ID] == delivery.id


@table(
    ("words", "state", "status", "problem"),
    [
        (b"200 OK", "delivered", 200, ""),
        (b"299 Fine", "delivered", 299, ""),
        (b"302 Found\r\nlocation: http://127.0.0.1:1/", "waiting", 302, "status 302: redirects are not followed"),
        (b"404 Not Found", "waiting", 404, "status 404"),
        (b"500 Oops", "waiting", 500, "status 500"),
        (b"410 Gone", "failed", 410, "status 410: the receiver wants no more"),
    ],
)
def test_only_2xx_has_taken_it(words: bytes, state: str, status: int, problem: str) -> None:
    with _store() as store, receiver(answering(words)) as hook:
        _ended(store, hook.url)
        delivery = _sent(store, _settings())

        assert (delivery.state, delivery.status, delivery.problem) == (state, status, problem)
        assert len(hook.requests) == 1


@contextmanager
def _store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "jobs.db")
        try:
            yield store
        finally:
            store.close()


def test_it_is_tried_again_with_the_waits_of_the_settings_under_the_same_id(store: Store) -> None:
    settings = _settings(timing={"deliver": [0, 5, 300]})
    with receiver(answering(b"500 Oops")) as hook:
        _ended(store, hook.url)
        first = _sent(store, settings)
        assert (first.state, first.next_at, first.tries) == ("waiting", NOW + 5, 1)
        assert _sent(store, settings, NOW + 4).tries == 1
        assert _sent(store, settings, NOW + 5).next_at == NOW + 305
        last = _sent(store, settings, NOW + 305)
        ids = {fields[signing.ID] for fields, _, _ in hook.requests}

    assert (last.state, last.tries, last.problem) == ("failed", 3, "status 500")
    assert ids == {first.id}
    assert len(hook.requests) == 3


def test_the_default_is_eight_tries() -> None:
    assert Timing().deliver == (0, 5, 300, 1800, 7200, 18_000, 36_000, 36_000)


def test_who_answers_410_gets_no_further_webhooks(store: Store) -> None:
    with receiver(answering(b"410 Gone")) as hook:
        _ended(store, hook.url)
        _sent(store, _settings())
        _ended(store, hook.url, "k")

    assert store.deliveries.of_job("k") == []


def _trickle(connection: socket.socket) -> None:
    """An answer whose fields never end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    tick = threading.Event()
    while True:
        connection.sendall(b"x: y\r\n")
        tick.wait(0.05)


def _silent(connection: socket.socket) -> None:
    """No answer."""
    connection.recv(1)


@table("answer", [_trickle, _silent])
def test_a_slow_receiver_is_left_after_the_time_that_it_has(answer: Callable[[socket.socket], None]) -> None:
    with _store() as store, receiver(answer) as hook:
        _ended(store, hook.url)
        delivery = _sent(store, _settings(timing={"deliverTimeout": 0.3}))

        assert (delivery.state, delivery.status) == ("waiting", 0)
        assert delivery.problem in ("it took more than 0.3 s", "not sent: ReadTimeoutError", "not sent: TimeoutError")


@table(
    "answer",
    [
        lambda connection: None,
        lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n"),
        lambda connection: connection.sendall(b"HTTP/1.1 999999 x\r\n\r\n"),
    ],
)
def test_what_is_no_answer_is_tried_again(answer: Callable[[socket.socket], None]) -> None:
    with _store() as store, receiver(answer) as hook:
        _ended(store, hook.url)
        delivery = _sent(store, _settings())

        assert (delivery.state, delivery.tries) == ("waiting", 1)
        assert delivery.problem


def test_a_receiver_that_is_away_is_tried_again(store: Store) -> None:
    with receiver(answering(b"200 OK")) as hook:
        url = hook.url
    _ended(store, url)

    assert _sent(store, _settings()).problem == "not sent: ConnectionRefusedError"


@table("url", ["http://127.0.0.1:9/", "http://localhost:9/", "http://[::1]:9/", "http://hooks.example:9/"])
def test_nothing_is_sent_into_a_private_network(url: str) -> None:
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    with _store() as store:
        _ended(store, url)
        delivery = _sent(store, _settings(privateReceivers=False), resolve=resolve)

        assert (delivery.state, delivery.status) == ("failed", 0)
        assert "privateReceivers" in delivery.problem


def test_a_name_is_asked_for_once_and_the_address_that_was_checked_is_connected_to(store: Store) -> None:
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    with receiver(answering(b"200 OK")) as hook:
        port = hook.url.split(":")[2].split("/")[0]
        _ended(store, f"http://hooks.example:{port}/hook")
        delivery = _sent(store, _settings(), resolve=lambda host, port: next(answers))
        fields, _, _ = hook.requests[0]

    assert delivery.state == "delivered"
    assert fields["host"] == f"hooks.example:{port}"
    assert next(answers) == ["10.0.0.1"]


def test_a_name_that_is_not_known_is_tried_again(store: Store) -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise socket.gaierror

    _ended(store, "https://hooks.example/")
    delivery = _sent(store, _settings(), resolve=resolve)

    assert (delivery.state, delivery.problem) == ("waiting", "the name of the receiver is not known")


def test_without_a_secret_it_is_sent_unsigned(store: Store) -> None:
    with receiver(answering(b"200 OK")) as hook:
        _ended(store, hook.url)
        _sent(store, _settings())
        fields, _, _ = hook.requests[0]

    assert fields["signature"] == ""
    assert fields[signing.ID].startswith("msg_")


def test_slow_receivers_hold_up_the_others_only_as_far_as_there_are_threads(store: Store) -> None:
    let_go = threading.Event()

    def slow(connection: socket.socket) -> None:
        let_go.wait(20)

    with receiver(slow) as bad, receiver(answering(b"200 OK")) as good:
        _ended(store, bad.url, "bad")
        _ended(store, good.url, "j")
        sender = Webhooks(store, _settings(), clock=lambda: NOW)
        begun = sender.send_due()
        assert len(begun) == 2
        begun[1].result(20)
        assert store.deliveries.of_job("j")[0].state == "delivered"
        let_go.set()
        begun[0].result(20)
        sender._pool.shutdown()


def test_started_it_sends_what_comes_up_and_stops_when_that_is_sent(store: Store) -> None:
    arrived = threading.Event()

    def answer(connection: socket.socket) -> None:
        answering(b"200 OK")(connection)
        arrived.set()

    with receiver(answer) as hook:
        sender = Webhooks(store, _settings(timing={"sweep": 0.02}), clock=lambda: NOW)
        sender.start()
        _ended(store, hook.url)
        assert arrived.wait(20)
        sender.stop()

    assert store.deliveries.of_job("j")[0].state == "delivered"


def test_what_goes_wrong_ends_no_later_round(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    problems = [OSError("no such thing")]
    claim = store.deliveries.claim

    def failing(*given: Any) -> list[Delivery]:
        if problems:
            raise problems.pop()
        return claim(*given)

    monkeypatch.setattr(store.deliveries, "claim", failing)
    arrived = threading.Event()

    def answer(connection: socket.socket) -> None:
        answering(b"200 OK")(connection)
        arrived.set()

    with receiver(answer) as hook:
        sender = Webhooks(store, _settings(timing={"sweep": 0.02}), clock=lambda: NOW)
        sender.start()
        _ended(store, hook.url)
        assert arrived.wait(20)
        sender.stop()

    assert problems == []


def test_the_content_holds_nothing_of_the_receivers_address(store: Store) -> None:
    _ended(store, "https://hooks.example/?token=secret")
    job = store.job("j")
    assert job

    assert b"secret" not in webhooks.content(job)
